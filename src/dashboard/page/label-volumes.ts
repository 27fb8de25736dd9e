// Volumes that are derived from labels, x fastest.

/**
 * The labeled voxels that touch another label: a voxel is kept where one of its six neighbors
 * differs, the edge of the volume included.
 * @param extents x, y, z
 */
export function outline(labels: Uint16Array, [width, height, depth]: readonly [number, number, number]): Uint16Array {
  const result = new Uint16Array(labels.length)
  const strides = [1, width, width * height] as const
  const extents = [width, height, depth] as const
  for (let index = 0; index < labels.length; index++) {
    const label = labels[index] as number
    if (label === 0) continue
    const place = [index % width, Math.floor(index / width) % height, Math.floor(index / (width * height))] as const
    const isEdge = ([0, 1, 2] as const).some((axis) => {
      const [at, extent, stride] = [place[axis], extents[axis], strides[axis]]
      // A flat image has no neighbors along its missing axis.
      if (extent === 1) return false
      return at === 0 || at === extent - 1 || labels[index - stride] !== label || labels[index + stride] !== label
    })
    if (isEdge) result[index] = label
  }
  return result
}

/** Per voxel: 0 alike, 1 missed, 2 predicted where nothing is, 3 another class. */
export function differences(truth: Uint16Array, prediction: Uint16Array): Uint8Array {
  return Uint8Array.from(truth, (label, index) => {
    const predicted = prediction[index] ?? 0
    if (label === predicted) return 0
    if (predicted === 0) return 1
    return label === 0 ? 2 : 3
  })
}
