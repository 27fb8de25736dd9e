// The gather against its parts composed of ATen's ops: crop, warp, mirror, removal of label -1.
import { describe, expect, it } from 'vitest'
import type { NativeTensor } from '../../src/native/binding.js'
import { callOp, difference } from '../augment/op.js'

/** Numbers in [0, 1), the same every time. */
function numbers(count: number, seed: number): number[] {
  let state = seed * 2654435761 + 1
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  })
}

const volume = ([z, y, x]: number[]) => (z as number) * (y as number) * (x as number)

function example(channels: number, shape: number[], labels: 'int16' | 'int8') {
  const voxels = volume(shape)
  const image = {
    data: Float32Array.from(numbers(channels * voxels, 1), (v) => 4 * v - 2),
    shape: [channels, ...shape],
  }
  // Blobs, so that uniform neighborhoods, borders and ties all occur.
  const [, height, width] = shape as [number, number, number]
  const label = (i: number) => {
    const [z, y, x] = [Math.floor(i / height / width), Math.floor(i / width) % height, i % width]
    return z + y < 4 ? -1 : (Math.floor(x / 3) + Math.floor(y / 4)) % 3
  }
  const values = Array.from({ length: voxels }, (_, i) => label(i))
  const data = labels === 'int8' ? Int8Array.from(values) : Int16Array.from(values)
  return { image, segmentation: { data, shape }, wide: { data: Int16Array.from(values), shape } }
}

const rotated = [0.9, 0.1, -0.2, 0.1, 0.7, 0.2, -0.1, 0.2, 0.8]
const wide = [1.9, 0.4, -0.2, 0.1, 1.7, 0.2, -0.1, 0.9, 1.8]
const halves = [0.5, 0, 0, 0, 0.5, 0, 0, 0, 2]

const first = (outputs: NativeTensor[], i: number) => outputs[i] as NativeTensor

describe('gather', () => {
  it.each([
    ['the middle of a box inside', 1, [9, 11, 10], [1, 2, 1], [7, 8, 8], [], [5, 6, 4]],
    ['the middle of a box that is larger than the case', 2, [6, 5, 7], [-3, -2, -4], [12, 10, 14], [], [10, 9, 12]],
    ['one voxel', 3, [1, 1, 1], [0, 0, 0], [1, 1, 1], [], [1, 1, 1]],
    ['one voxel, rotated', 1, [1, 1, 1], [-2, -1, 0], [4, 3, 1], rotated, [3, 5, 1]],
    ['a rotation', 1, [12, 13, 11], [1, 0, 1], [11, 12, 9], rotated, [8, 9, 7]],
    ['a rotation beyond the case', 4, [8, 9, 7], [-3, 2, -4], [14, 12, 15], wide, [9, 10, 11]],
    ['positions halfway between voxels', 2, [8, 9, 7], [0, -1, 0], [8, 10, 7], halves, [12, 14, 10]],
    ['a slice', 1, [3, 20, 17], [1, -2, 1], [1, 18, 15], [1, 0, 0, 0, 0.8, 0.3, 0, -0.3, 0.8], [1, 15, 12]],
  ] as const)('equals crop, warp and mirror: %s', (_, channels, shape, start, box, matrix, output) => {
    for (const type of ['int16', 'int8'] as const) {
      const { image, segmentation, wide } = example(channels, [...shape], type)
      for (const [flip, nearestImage, nearestLabels, background, half, channelsLast] of [
        [[0, 0, 0], false, false, false, false, false],
        [[1, 0, 1], false, false, true, false, true],
        [[0, 1, 0], false, true, true, false, false],
        [[1, 1, 1], true, true, false, false, true],
        [[0, 0, 1], false, false, true, true, false],
      ] as const) {
        const call = (kernels: boolean) =>
          callOp(
            'gather',
            [
              image,
              segmentation,
              start,
              box,
              matrix,
              output,
              flip,
              nearestImage,
              nearestLabels,
              background,
              half,
              channelsLast,
              kernels,
            ].map((value) => (Array.isArray(value) ? [...value] : value)) as Parameters<typeof callOp>[1],
          )
        const loops = call(false)
        const cut = callOp('crop', [image, wide, [...start], [...box]])
        let expected: NativeTensor[]
        if (matrix.length > 0) {
          const labels = { data: first(cut, 1).data, shape: [1, ...first(cut, 1).shape] }
          const warped = callOp('warp_composed', [
            first(cut, 0),
            labels,
            [...matrix],
            [...output],
            nearestImage,
            nearestLabels,
          ])
          expected = [first(warped, 0), { data: first(warped, 1).data, shape: [...output] }]
        } else {
          const middle = start.map((s, axis) => {
            const [b, o] = [box[axis] as number, output[axis] as number]
            return s + Math.floor(b / 2) - Math.floor(o / 2)
          })
          expected = callOp('crop', [image, wide, middle, [...output]])
        }
        expected = callOp('mirror', [first(expected, 0), first(expected, 1), [0, 1, 2].filter((axis) => flip[axis])])
        if (background) expected = [first(expected, 0), ...callOp('remove_label_', [first(expected, 1)])]
        // A stored float16 has 11 significant bits; values are below 2.
        expect(difference(first(loops, 0), first(expected, 0)).largest).toBeLessThan(half ? 2 ** -10 : 2e-6)
        expect(difference(first(loops, 1), first(expected, 1)).count).toBe(0)
        const kernels = call(true)
        for (const i of [0, 1]) expect(difference(first(kernels, i), first(loops, i)).count).toBe(0)
      }
    }
  })
})
