// What a box plot shows of some numbers, and fewer points for a long curve.

export interface BoxNumbers {
  count: number
  minimum: number
  lowerQuartile: number
  median: number
  upperQuartile: number
  maximum: number
  mean: number
  /** Furthest values within 1.5 times the distance of the quartiles (Tukey). */
  lowerWhisker: number
  upperWhisker: number
}

/** Values that are not finite are left out; null if none is left. */
export function boxNumbers(values: readonly (number | null)[]): BoxNumbers | null {
  const sorted = values.filter((value): value is number => value !== null && Number.isFinite(value))
  sorted.sort((a, b) => a - b)
  if (sorted.length === 0) return null
  const [lowerQuartile, median, upperQuartile] = [0.25, 0.5, 0.75].map((share) => quantile(sorted, share)) as [
    number,
    number,
    number,
  ]
  const reach = 1.5 * (upperQuartile - lowerQuartile)
  const inside = sorted.filter((value) => value >= lowerQuartile - reach && value <= upperQuartile + reach)
  return {
    count: sorted.length,
    minimum: sorted[0] as number,
    lowerQuartile,
    median,
    upperQuartile,
    maximum: sorted.at(-1) as number,
    mean: sorted.reduce((sum, value) => sum + value, 0) / sorted.length,
    lowerWhisker: Math.min(inside[0] as number, lowerQuartile),
    upperWhisker: Math.max(inside.at(-1) as number, upperQuartile),
  }
}

/** Linear between the neighbors, as NumPy's default. */
function quantile(sorted: readonly number[], share: number): number {
  const place = share * (sorted.length - 1)
  const below = sorted[Math.floor(place)] as number
  const above = sorted[Math.ceil(place)] as number
  return below + (above - below) * (place - Math.floor(place))
}

export function median(values: readonly (number | null | undefined)[]): number | null {
  return boxNumbers(values.map((value) => value ?? null))?.median ?? null
}

export interface Point {
  x: number
  /** null breaks the line. */
  y: number | null
}

/** At most `most` points: means over neighbors where there are more. */
export function thinned(points: readonly Point[], most: number): Point[] {
  const size = Math.ceil(points.length / most)
  if (size <= 1) return [...points]
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
  return Array.from({ length: Math.ceil(points.length / size) }, (_, index) => {
    const group = points.slice(index * size, (index + 1) * size)
    const known = group.flatMap(({ y }) => (y === null || !Number.isFinite(y) ? [] : [y]))
    return { x: mean(group.map(({ x }) => x)), y: known.length === 0 ? null : mean(known) }
  })
}
