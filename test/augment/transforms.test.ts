// Each transform with fixed parameters against batchgeneratorsv2's own result (goldens/make_augment.py), the composed
// twins of the kernels against the kernels, and Philox against Random123's known answers.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import type { NativeTensor, OpArgument } from '../../src/native/binding.js'
import { readNpz } from '../npz.js'
import { callOp, callOp1, difference } from './op.js'

const goldens = fileURLToPath(new URL('../goldens/augment/', import.meta.url))
const arrays = readNpz(`${goldens}arrays.npz`) as Record<string, NativeTensor>
const cases = JSON.parse(readFileSync(`${goldens}cases.json`, 'utf8')) as {
  name: string
  op: string
  inputs: string[]
  arguments: OpArgument[]
  outputs: string[]
}[]

const array = (key: string): NativeTensor => {
  const found = arrays[key]
  if (!found) throw new Error(`no golden array ${key}`)
  return found
}

describe('transforms equal batchgeneratorsv2', () => {
  it.each(cases)('$name', ({ op, inputs, arguments: rest, outputs }) => {
    const results = callOp(op, [...inputs.map(array), ...rest])
    expect(results.length).toBe(outputs.length)
    for (const [i, key] of outputs.entries()) {
      const [result, expected] = [results[i] as NativeTensor, array(key)]
      expect(result.shape).toEqual(expected.shape)
      const { largest, count } = difference(result, expected)
      if (key.endsWith('segmentation_out')) expect(count).toBe(0)
      else expect(largest).toBeLessThan(1e-4)
    }
  })
})

describe('composed twins equal the kernels', () => {
  const image = array('spatial_rotated/image')
  const segmentation = array('spatial_rotated/segmentation')
  const labels = { data: segmentation.data, shape: [1, ...segmentation.shape] }
  it.each([
    ['inside', [0.9, 0.1, -0.2, 0.1, 0.7, 0.2, -0.1, 0.2, 0.8]],
    ['partly outside', [1.9, 0.4, -0.2, 0.1, 1.7, 0.2, -0.1, 0.9, 1.8]],
    ['half voxels', [0.5, 0, 0, 0, 0.5, 0, 0, 0, 2]],
  ])('warp, %s', (_, matrix) => {
    for (const [nearestImage, nearestLabels] of [
      [false, false],
      [false, true],
      [true, true],
    ] as const) {
      const arguments_ = [image, labels, matrix, [12, 14, 10], nearestImage, nearestLabels]
      const kernel = callOp('warp', arguments_)
      const composed = callOp('warp_composed', arguments_)
      expect(difference(kernel[0] as NativeTensor, composed[0] as NativeTensor).largest).toBeLessThan(1e-5)
      expect(difference(kernel[1] as NativeTensor, composed[1] as NativeTensor).count).toBe(0)
    }
  })

  it.each([1, 4, 1001])('normal field of %i numbers', (count) => {
    const zeros = { data: new Float32Array(count), shape: [count] }
    const words = [0xffffffff, 0x80000001, (7 << 16) | 65535, 0xfffffffe, 3]
    const kernel = callOp1('add_normal_field_', [zeros, 1, words])
    const composed = callOp1('add_normal_field_composed_', [zeros, 1, words])
    expect(difference(kernel, composed).largest).toBeLessThan(5e-6)
  })
})

describe('Philox4x32-10', () => {
  const pi = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344]
  it.each([
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [Array(4).fill(0xffffffff), [0xffffffff, 0xffffffff], [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]],
    [pi, [0xa4093822, 0x299f31d0], [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]],
  ])('gives the known answer of counter %j', (counter, key, expected) => {
    const words = callOp1('philox_block', [counter, key]).data
    expect(Array.from(words, Number)).toEqual(expected)
  })
})

describe('callOp', () => {
  it('names an unknown op, a wrong count and a wrong argument', () => {
    expect(() => callOp('nothing', [])).toThrow(/no op voxgrad::nothing/)
    expect(() => callOp('philox_block', [[0, 0, 0, 0]])).toThrow(/expected 2 arguments, found 1/)
    expect(() => callOp('philox_block', ['a', [0, 0]])).toThrow(/argument counter must be of type/)
  })

  it('refuses shapes that do not fit', () => {
    const image = { data: new Float32Array(8), shape: [1, 2, 2, 2] }
    const segmentation = { data: new Int16Array(4), shape: [1, 2, 2] }
    const call = () =>
      callOp('spatial', [image, segmentation, true, false, [0, 0, 0], [1, 1, 1], [2, 2, 2], false, false])
    expect(call).toThrow(/expected an image .* Found \(1, 2, 2, 2\), \(1, 2, 2\) and \(2, 2, 2\)/)
    const slices = { data: new Int16Array(8), shape: [2, 2, 2] }
    const dummy2d = () => callOp('spatial', [image, slices, false, true, [1, 0, 0], [1, 1, 1], [1, 2, 2], false, false])
    expect(dummy2d).toThrow(/must have the patch's 1 slices. Found 2/)
    expect(() => callOp('gaussian_blur_', [image, 0, [1, 1, 1]])).toThrow(/Gaussian blur: .* needs at least 4/)
    expect(() => callOp('median_filter_', [image, 0, 7])).toThrow(/median filter: .* needs at least 3/)
  })
})
