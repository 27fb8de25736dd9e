// Probabilities on the original grid against plain loops: softmax and sigmoid, crop box, transpose, and the labels of them.
import { describe, expect, test } from 'vitest'
import type { NativeImage } from '../../src/native/binding.js'
import { native } from '../../src/native/load.js'
import { labelsOfProbabilities } from '../../src/preprocess/export-case.js'

const classes = 3
/** Transposed order, as CASE.pkl has it. */
const whole = [4, 5, 6] as const
const box = [
  [1, 3],
  [0, 4],
  [2, 6],
] as [number, number][]
const cropped = box.map(([begin, end]) => end - begin) as [number, number, number]
const voxels = cropped.reduce((product, extent) => product * extent, 1)
/** Axis i of the network's grid is this axis of the image. */
const transposeForward = [2, 0, 1]
const logits: NativeImage = {
  data: Float32Array.from({ length: classes * voxels }, (_, i) => 3 * Math.sin(12.9898 * i)),
  shape: [classes, ...cropped],
}
const properties = {
  spacing: [1, 1, 1],
  shapeBeforeCropping: [...whole],
  boundingBox: box,
  shapeAfterCropping: cropped,
}
const resampling = { isSegmentation: false, order: 1, orderZ: 0, forceSeparateZ: null }

describe.each([false, true])('overlapping %s', (overlapping) => {
  test('equals plain loops', async () => {
    const job = { logits, properties, targetSpacing: [1, 1, 1], transposeForward, resampling, overlapping }
    const found = await native().exportProbabilities(job)
    // Image axes (a, b, c) are axes (1, 2, 0) of the network's grid.
    expect(found.shape).toEqual([classes, whole[1], whole[2], whole[0]])
    let i = 0
    for (let channel = 0; channel < classes; channel++) {
      for (let a = 0; a < whole[1]; a++) {
        for (let b = 0; b < whole[2]; b++) {
          for (let c = 0; c < whole[0]; c++) {
            const value = found.data[i++] as number
            expect(Math.abs(value - expectedAt(channel, [c, a, b]))).toBeLessThan(1e-6)
          }
        }
      }
    }
    const labels = labelsOfProbabilities(found, overlapping ? [2, 1, 3] : null)
    expect(labels.shape).toEqual(found.shape.slice(1))
    const count = labels.labels.length
    for (const [voxel, label] of labels.labels.entries()) {
      const here = [0, 1, 2].map((channel) => found.data[channel * count + voxel] as number)
      const last = here.findLastIndex((value) => value > 0.5)
      expect(label).toBe(overlapping ? ([2, 1, 3][last] ?? 0) : here.indexOf(Math.max(...here)))
    }
    expect(new Set(labels.labels)).toEqual(new Set(overlapping ? [0, 1, 2, 3] : [0, 1, 2]))
  })

  function expectedAt(channel: number, place: number[]): number {
    const isInside = box.every(
      ([begin, end], axis) => (place[axis] as number) >= begin && (place[axis] as number) < end,
    )
    if (!isInside) return overlapping || channel > 0 ? 0 : 1
    const [z, y, x] = place.map((position, axis) => position - (box[axis]?.[0] ?? 0)) as [number, number, number]
    const at = (one: number) => logits.data[one * voxels + (z * cropped[1] + y) * cropped[2] + x] as number
    if (overlapping) return 1 / (1 + Math.exp(-at(channel)))
    return Math.exp(at(channel)) / [0, 1, 2].reduce((sum, one) => sum + Math.exp(at(one)), 0)
  }
})
