// Fewer points for the same picture: of each pixel column the first, lowest, highest and last value of every line.
// Method: M4 (Jugel, Jerzak, Hackenbroich, Markl: M4, a visualization-oriented time series data aggregation, VLDB 2014).

export type Values = readonly (number | null)[]

/**
 * Indices to draw of lines that share their x, ascending.
 * @param x ascending
 * @param lines values of each line at x
 * @param range the visible part of x; one point beyond each end is kept, so that lines leave the picture
 * @param width pixel columns
 */
export function decimate(
  x: readonly number[],
  lines: readonly Values[],
  range: readonly [number, number],
  width: number,
): number[] {
  const from = Math.max(0, lowerBound(x, range[0]) - 1)
  const to = Math.min(x.length, upperBound(x, range[1]) + 1)
  const mostPerColumn = 2 * lines.length + 2
  if (to - from <= mostPerColumn * width) return Array.from({ length: to - from }, (_, index) => from + index)
  const scale = width / (range[1] - range[0])
  const kept: number[] = []
  for (let begin = from; begin < to; ) {
    const column = Math.floor(((x[begin] ?? 0) - range[0]) * scale)
    let end = begin + 1
    while (end < to && Math.floor(((x[end] ?? 0) - range[0]) * scale) === column) end++
    const chosen = new Set([begin, end - 1])
    for (const line of lines) {
      let [lowest, highest] = [-1, -1]
      for (let index = begin; index < end; index++) {
        const value = line[index]
        if (value === null || value === undefined) continue
        if (lowest < 0 || value < (line[lowest] as number)) lowest = index
        if (highest < 0 || value > (line[highest] as number)) highest = index
      }
      if (lowest >= 0) chosen.add(lowest).add(highest)
    }
    kept.push(...[...chosen].sort((a, b) => a - b))
    begin = end
  }
  return kept
}

/** The first index with x[index] >= value. */
export function lowerBound(x: readonly number[], value: number): number {
  let [low, high] = [0, x.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((x[middle] as number) < value) low = middle + 1
    else high = middle
  }
  return low
}

/** The first index with x[index] > value. */
export function upperBound(x: readonly number[], value: number): number {
  let [low, high] = [0, x.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((x[middle] as number) <= value) low = middle + 1
    else high = middle
  }
  return low
}

/** The index of the x that is nearest to a value; -1 without any. */
export function nearest(x: readonly number[], value: number): number {
  const above = lowerBound(x, value)
  if (above === x.length) return x.length - 1
  if (above === 0) return 0
  return value - (x[above - 1] as number) < (x[above] as number) - value ? above - 1 : above
}
