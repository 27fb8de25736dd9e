// The few rules of Python and numpy on which the planner's numbers depend.

/** Rounds half to even, as Python's round and numpy do. */
export function roundHalfToEven(value: number): number {
  const floor = Math.floor(value)
  const rest = value - floor
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1
  return floor % 2 === 0 ? floor : floor + 1
}

/** numpy.percentile with linear interpolation. @param percent 0 to 100 */
export function percentile(values: number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const position = (sorted.length - 1) * (percent / 100)
  const below = sorted[Math.floor(position)] as number
  const above = sorted[Math.min(Math.floor(position) + 1, sorted.length - 1)] as number
  const weight = position - Math.floor(position)
  // numpy interpolates from the nearer end.
  return weight >= 0.5 ? above - (above - below) * (1 - weight) : below + (above - below) * weight
}

/** numpy.sum of float64 values in its order of additions: eight sums side by side, above 128 values in halves. */
export function pairwiseSum(values: readonly number[]): number {
  const { length } = values
  if (length > 128) {
    const half = (length >> 1) - ((length >> 1) % 8)
    return pairwiseSum(values.slice(0, half)) + pairwiseSum(values.slice(half))
  }
  const sums = new Float64Array(8)
  const whole = length - (length % 8)
  for (let i = 0; i < whole; i++) sums[i % 8] = (sums[i % 8] as number) + (values[i] as number)
  const [a, b, c, d, e, f, g, h] = sums as unknown as [number, number, number, number, number, number, number, number]
  const start = a + b + (c + d) + (e + f + (g + h))
  return values.slice(whole).reduce((sum, value) => sum + value, start)
}

/** numpy.median */
export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] as number
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2
}

/** Index of the first largest value. */
export function argmax(values: number[]): number {
  return values.indexOf(Math.max(...values))
}

/** Index of the last largest value: the last entry of numpy.argsort for a few values. */
export function lastArgmax(values: number[]): number {
  return values.lastIndexOf(Math.max(...values))
}

export function product(values: readonly number[]): number {
  return values.reduce((result, value) => result * value, 1)
}

/** Column `axis` of a table. */
export function column(table: number[][], axis: number): number[] {
  return table.map((row) => row[axis] as number)
}
