// Summaries of measured times.

export interface Summary {
  min: number
  p50: number
  p95: number
}

/** The value that a share of the values does not exceed, interpolated between neighbors; NaN of none. */
export function quantile(values: ArrayLike<number>, share: number): number {
  const sorted = Array.from(values).sort((a, b) => a - b)
  const place = share * (sorted.length - 1)
  const below = sorted[Math.floor(place)] ?? Number.NaN
  const above = sorted[Math.ceil(place)] ?? Number.NaN
  return below + (above - below) * (place - Math.floor(place))
}

export function summarize(values: ArrayLike<number>): Summary {
  return { min: quantile(values, 0), p50: quantile(values, 0.5), p95: quantile(values, 0.95) }
}

export const meanOf = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length
