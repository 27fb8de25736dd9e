// Which slice of a volume to show, and slices as small 2D arrays.

export interface Slice {
  values: Float32Array
  width: number
  height: number
  /** Millimeters, (vertical, horizontal). */
  spacing: [number, number]
}

interface Segmented {
  truth: Uint8Array | Float32Array | undefined
  prediction: Uint8Array | Float32Array
  shape: [number, number, number]
  spacing: [number, number, number]
}

interface Rectangle {
  top: number
  left: number
  height: number
  width: number
}

/** Voxels that count, in each slice along an axis. */
function profileOf(shape: Segmented['shape'], axis: number, counts: (index: number) => boolean): number[] {
  const [, height, width] = shape
  const profile = new Array<number>(shape[axis] ?? 0).fill(0)
  const voxels = shape[0] * height * width
  for (let index = 0; index < voxels; index++) {
    if (!counts(index)) continue
    const position = [Math.floor(index / (height * width)), Math.floor(index / width) % height, index % width]
    const slice = position[axis] ?? 0
    profile[slice] = (profile[slice] ?? 0) + 1
  }
  return profile
}

/** Foreground voxels of the truth (or else the prediction) in each slice along an axis. */
function foregroundProfile(entry: Segmented, axis: number): number[] {
  const labels = entry.truth?.some((label) => label > 0) ? entry.truth : entry.prediction
  return profileOf(entry.shape, axis, (index) => (labels[index] ?? 0) > 0)
}

/**
 * The axis that all cases are cut along: the one of the thick slices where spacing is anisotropic (1.5 times or more),
 * else the one whose best slices show the largest foreground area in all cases together.
 */
export function viewingAxis(cases: readonly Segmented[]): number {
  const areas = [0, 0, 0]
  for (const entry of cases) {
    const sorted = [...entry.spacing].sort((a, b) => b - a) as [number, number, number]
    if (sorted[0] >= 1.5 * sorted[1]) return entry.spacing.indexOf(sorted[0])
    for (const axis of [0, 1, 2]) {
      const area = entry.spacing.reduce((product, value) => product * value, 1) / (entry.spacing[axis] ?? 1)
      areas[axis] = (areas[axis] ?? 0) + Math.max(...foregroundProfile(entry, axis)) * area
    }
  }
  return areas.indexOf(Math.max(...areas))
}

/** The slice with most foreground; the middle one where there is none. */
export function viewingSlice(entry: Segmented, axis: number): number {
  const profile = foregroundProfile(entry, axis)
  const most = Math.max(...profile)
  return most === 0 ? Math.floor(profile.length / 2) : profile.indexOf(most)
}

/** The slice where prediction and truth differ in most voxels; null where they are the same everywhere. */
export function differingSlice({ truth, prediction, shape }: Segmented, axis: number): number | null {
  const profile = profileOf(shape, axis, (index) => truth?.[index] !== prediction[index])
  const most = Math.max(...profile)
  return most === 0 ? null : profile.indexOf(most)
}

/**
 * Cuts slice `index` along an axis out of a volume (z, y, x). The remaining two axes keep their order; z goes upwards, as
 * pictures of a standing patient have it.
 */
export function cutSlice(
  volume: ArrayLike<number>,
  shape: readonly [number, number, number],
  spacing: readonly [number, number, number],
  axis: number,
  index: number,
): Slice {
  const [vertical, horizontal] = [0, 1, 2].filter((other) => other !== axis) as [0 | 1 | 2, 0 | 1 | 2]
  const strides = [shape[1] * shape[2], shape[2], 1] as const
  const height = shape[vertical]
  const width = shape[horizontal]
  const values = new Float32Array(height * width)
  const start = index * (strides[axis] ?? 0)
  for (let y = 0; y < height; y++) {
    const row = vertical === 0 ? height - 1 - y : y
    for (let x = 0; x < width; x++) {
      values[row * width + x] = volume[start + y * strides[vertical] + x * strides[horizontal]] ?? 0
    }
  }
  return { values, width, height, spacing: [spacing[vertical], spacing[horizontal]] }
}

/**
 * Where to look: all of a small slice, else the foreground of the given segmentations with as much room around it
 * on each side as it is large (80 pixels a side at least).
 */
export function foregroundBox(slices: readonly [Slice, ...Slice[]]): Rectangle {
  const { width, height } = slices[0]
  let [top, bottom, left, right] = [height, -1, width, -1]
  for (const slice of slices) {
    slice.values.forEach((label, index) => {
      if (label === 0) return
      const [y, x] = [Math.floor(index / width), index % width]
      top = Math.min(top, y)
      bottom = Math.max(bottom, y)
      left = Math.min(left, x)
      right = Math.max(right, x)
    })
  }
  if (bottom < 0) return { top: 0, left: 0, height, width }
  const span = (from: number, to: number, limit: number): [number, number] => {
    const wanted = Math.min(limit, Math.max(80, 3 * (to - from + 1)))
    const start = Math.round((from + to + 1 - wanted) / 2)
    return [Math.max(0, Math.min(limit - wanted, start)), wanted]
  }
  const [y, boxHeight] = span(top, bottom, height)
  const [x, boxWidth] = span(left, right, width)
  return { top: y, left: x, height: boxHeight, width: boxWidth }
}

/** The part of a slice in a rectangle. */
export function cropTo(slice: Slice, box: Rectangle): Slice {
  const values = new Float32Array(box.width * box.height)
  for (let y = 0; y < box.height; y++) {
    const start = (box.top + y) * slice.width + box.left
    values.set(slice.values.subarray(start, start + box.width), y * box.width)
  }
  return { values, width: box.width, height: box.height, spacing: slice.spacing }
}

/** The intensities shown as black and white: percentiles 0.5 and 99.5. */
export function grayWindow(values: Float32Array): { low: number; high: number } {
  const sorted = values.filter((value) => Number.isFinite(value)).sort()
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))] ?? 0
  const low = at(0.005)
  return { low, high: Math.max(at(0.995), low + 1e-6) }
}

/** Labels of a slice on a finer grid: each label's mask is interpolated linearly and the largest share wins. */
export function smoothLabels(slice: Slice, width: number, height: number): Uint8Array {
  const labels = [...new Set(slice.values)]
  const result = new Uint8Array(width * height)
  const inside = (value: number, limit: number) => Math.max(0, Math.min(limit - 1, value))
  for (let y = 0; y < height; y++) {
    const sourceY = inside(((y + 0.5) * slice.height) / height - 0.5, slice.height)
    const y0 = Math.floor(sourceY)
    const y1 = inside(y0 + 1, slice.height)
    for (let x = 0; x < width; x++) {
      const sourceX = inside(((x + 0.5) * slice.width) / width - 0.5, slice.width)
      const x0 = Math.floor(sourceX)
      const x1 = inside(x0 + 1, slice.width)
      const [fy, fx] = [sourceY - y0, sourceX - x0]
      const corners: [number, number][] = [
        [slice.values[y0 * slice.width + x0] ?? 0, (1 - fy) * (1 - fx)],
        [slice.values[y0 * slice.width + x1] ?? 0, (1 - fy) * fx],
        [slice.values[y1 * slice.width + x0] ?? 0, fy * (1 - fx)],
        [slice.values[y1 * slice.width + x1] ?? 0, fy * fx],
      ]
      let most = -1
      for (const label of labels) {
        let share = 0
        for (const [corner, weight] of corners) if (corner === label) share += weight
        if (share > most) {
          most = share
          result[y * width + x] = label
        }
      }
    }
  }
  return result
}
