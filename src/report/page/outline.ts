// The outline of a mask as an SVG path: the pixels' edges, smoothed as a quadratic spline.

/**
 * Closed curves around the pixels of a mask (fill rule evenodd), in units of pixels from the corner of the first one.
 * A curve stays within half a pixel of the pixels' edges.
 * @param mask row by row; what is not 0 is inside
 */
export function outlinePath(mask: ArrayLike<number>, width: number, height: number): string {
  const inside = (x: number, y: number) =>
    x >= 0 && y >= 0 && x < width && y < height && (mask[y * width + x] ?? 0) !== 0
  // Corner (x, y) is the upper left one of pixel (x, y). Edges go around the inside clockwise, from corner to corner.
  const next = new Map<number, number[]>()
  const corner = (x: number, y: number) => y * (width + 1) + x
  const add = (from: number, to: number) => next.set(from, [...(next.get(from) ?? []), to])
  for (let y = 0; y <= height; y++) {
    for (let x = 0; x <= width; x++) {
      if (inside(x, y) && !inside(x, y - 1)) add(corner(x, y), corner(x + 1, y))
      if (!inside(x, y) && inside(x, y - 1)) add(corner(x + 1, y), corner(x, y))
      if (inside(x, y) && !inside(x - 1, y)) add(corner(x, y + 1), corner(x, y))
      if (!inside(x, y) && inside(x - 1, y)) add(corner(x, y), corner(x, y + 1))
    }
  }
  let path = ''
  for (const start of next.keys()) {
    while ((next.get(start) ?? []).length > 0) path += smoothed(loopFrom(start, next), width + 1)
  }
  return path
}

/** Takes a closed row of corners out of the edges. */
function loopFrom(start: number, next: Map<number, number[]>): number[] {
  const loop = [start]
  for (let at = next.get(start)?.pop(); at !== undefined && at !== start; at = next.get(at)?.pop()) loop.push(at)
  return loop
}

/** A spline whose control points are the middles of the edges, so that the steps of a slanted line become straight. */
function smoothed(loop: readonly number[], stride: number): string {
  const corners = loop.map((at): Place => [at % stride, Math.floor(at / stride)])
  const controls = middles(corners)
  const ends = middles(controls)
  let at = ends.at(-1) as Place
  const steps = controls.map((control, index) => {
    const [x, y] = at
    const [controlX, controlY] = [control[0] - x, control[1] - y]
    at = ends[index] as Place
    const [toX, toY] = [at[0] - x, at[1] - y]
    const isStraight = controlX * toY === controlY * toX
    return isStraight ? `l${toX} ${toY}` : `q${controlX} ${controlY} ${toX} ${toY}`
  })
  return `M${(ends.at(-1) as Place).join(' ')}${merged(steps).join('')}z`
}

type Place = [x: number, y: number]

/** Halfway from each place of a loop to the next one; all are exact in binary. */
const middles = (loop: readonly Place[]): Place[] =>
  loop.map(([x, y], index) => {
    const [nextX, nextY] = loop[(index + 1) % loop.length] as Place
    return [(x + nextX) / 2, (y + nextY) / 2]
  })

/** Straight steps in one direction become one. */
function merged(steps: readonly string[]): string[] {
  const result: string[] = []
  let run: [number, number] | null = null
  const flush = () => {
    if (run) result.push(`l${run[0]} ${run[1]}`)
    run = null
  }
  for (const step of steps) {
    if (!step.startsWith('l')) {
      flush()
      result.push(step)
      continue
    }
    const [dx, dy] = step.slice(1).split(' ').map(Number) as [number, number]
    if (run && run[0] * dy === run[1] * dx) run = [run[0] + dx, run[1] + dy]
    else {
      flush()
      run = [dx, dy]
    }
  }
  flush()
  return result
}
