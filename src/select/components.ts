// Connected components of labels, and the removal of all but the largest.
// Source: acvl_utils, morphology_helper.py, remove_all_but_largest_component; nnU-Net, remove_connected_components.py.

/**
 * Sets to 0 what has one of the given labels but does not belong to the largest component that they form together. Voxels
 * are neighbors if they share a face, an edge or a corner. All components of the largest size stay.
 * @param labels in C order
 * @param shape (z, y, x)
 * @returns changed labels; the ones given if nothing is removed
 */
export function keepLargestComponent(
  labels: Float32Array,
  [depth, height, width]: readonly [number, number, number],
  wanted: readonly number[],
): Float32Array {
  // A frame of background spares every look for the border.
  const row = width + 2
  const slice = row * (height + 2)
  const isWaiting = new Uint8Array(slice * (depth + 2))
  let count = 0
  const isWanted = new Set(wanted)
  eachVoxel((voxel, place) => {
    if (!isWanted.has(labels[voxel] as number)) return
    isWaiting[place] = 1
    count++
  })

  const steps = [-slice, 0, slice].flatMap((z) => [-row, 0, row].flatMap((y) => [-1, 0, 1].map((x) => z + y + x)))
  // Components lie one behind the other; each is also the queue of its own search.
  const places = new Int32Array(count)
  const ends: number[] = []
  let end = 0
  for (let place = isWaiting.indexOf(1); place !== -1; place = isWaiting.indexOf(1, place)) {
    isWaiting[place] = 0
    let next = end
    places[end++] = place
    for (; next < end; next++) {
      for (const step of steps) {
        const neighbor = (places[next] as number) + step
        if (isWaiting[neighbor] === 0) continue
        isWaiting[neighbor] = 0
        places[end++] = neighbor
      }
    }
    ends.push(end)
  }
  if (ends.length < 2) return labels

  const sizes = ends.map((last, i) => last - (ends[i - 1] ?? 0))
  const largest = sizes.reduce((most, size) => Math.max(most, size), 0)
  for (const [i, size] of sizes.entries()) {
    if (size === largest) continue
    const last = ends[i] as number
    for (let at = last - size; at < last; at++) isWaiting[places[at] as number] = 1
  }
  const result = labels.slice()
  eachVoxel((voxel, place) => {
    if (isWaiting[place] === 1) result[voxel] = 0
  })
  return result

  function eachVoxel(visit: (voxel: number, place: number) => void): void {
    let voxel = 0
    for (let z = 1; z <= depth; z++) {
      for (let y = 1; y <= height; y++) {
        const start = z * slice + y * row + 1
        for (let x = 0; x < width; x++) visit(voxel++, start + x)
      }
    }
  }
}
