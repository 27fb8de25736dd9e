// Instance norm + leaky ReLU against a naive reference in float64, where channels have means far from zero too.
import { describe, expect, it } from 'vitest'
import { callOp } from '../augment/op.js'

const eps = 1e-5

/** Pseudo-random numbers in [-1, 1). */
const noise = (count: number, seed: number) =>
  Float32Array.from({ length: count }, (_, i) => {
    const value = Math.sin((i + 1) * 12.9898 + seed) * 43758.5453
    return 2 * (value - Math.floor(value)) - 1
  })

interface Reference {
  y: Float64Array
  dx: Float64Array
  dweight: Float64Array
  dbias: Float64Array
}

interface Problem {
  x: Float32Array
  g: Float32Array
  weight: Float32Array
  bias: Float32Array
  samples: number
  slope: number
}

function reference({ x, g, weight, bias, samples, slope }: Problem): Reference {
  const channels = weight.length
  const voxels = x.length / samples / channels
  const result = {
    y: new Float64Array(x.length),
    dx: new Float64Array(x.length),
    dweight: new Float64Array(channels),
    dbias: new Float64Array(channels),
  }
  for (let row = 0; row < samples * channels; row++) {
    const c = row % channels
    const [w, b] = [weight[c] ?? 0, bias[c] ?? 0]
    const at = (list: ArrayLike<number>, i: number) => list[row * voxels + i] ?? Number.NaN
    let mean = 0
    for (let i = 0; i < voxels; i++) mean += at(x, i) / voxels
    let variance = 0
    for (let i = 0; i < voxels; i++) variance += (at(x, i) - mean) ** 2 / voxels
    const inverse = 1 / Math.sqrt(variance + eps)
    const gradient = new Float64Array(voxels)
    let [sum, product] = [0, 0]
    for (let i = 0; i < voxels; i++) {
      const normalized = (at(x, i) - mean) * inverse
      const y = normalized * w + b
      result.y[row * voxels + i] = y > 0 ? y : slope * y
      gradient[i] = at(g, i) * (y > 0 ? 1 : slope)
      sum += gradient[i] ?? 0
      product += (gradient[i] ?? 0) * normalized
    }
    for (let i = 0; i < voxels; i++) {
      const normalized = (at(x, i) - mean) * inverse
      result.dx[row * voxels + i] = w * inverse * ((gradient[i] ?? 0) - sum / voxels - (normalized * product) / voxels)
    }
    result.dweight[c] = (result.dweight[c] ?? 0) + product
    result.dbias[c] = (result.dbias[c] ?? 0) + sum
  }
  return result
}

/** |ours - theirs| / |theirs|, Euclidean. */
function deviation(ours: ArrayLike<number | bigint>, theirs: Float64Array): number {
  let [difference, size] = [0, 0]
  for (let i = 0; i < theirs.length; i++) {
    difference += (Number(ours[i]) - (theirs[i] ?? 0)) ** 2
    size += (theirs[i] ?? 0) ** 2
  }
  return Math.sqrt(difference / size)
}

const shapes: [string, number[], number][] = [
  ['3D', [2, 8, 20, 28, 20], 0],
  ['3D, mean 1', [2, 8, 20, 28, 20], 1],
  ['3D, mean 5', [1, 5, 33, 17, 9], 5],
  ['2D', [3, 7, 41, 13], 0.5],
  ['a few voxels', [2, 3, 1, 2, 3], 0],
  ['1 channel', [2, 1, 9, 8, 7], 0.5],
  ['117 channels', [1, 117, 4, 5, 6], 2],
  ['more partial sums than one fold takes', [1, 2, 32, 40, 33], 0.1],
  ['a first voxel far from the mean', [1, 4, 24, 28, 24], 0],
]
const ways: [string, boolean, boolean, boolean][] = [
  ["the CPU's loops", true, false, false],
  ["the CPU's loops, input kept", true, true, false],
  ["an accelerator's kernels", true, false, true],
  ["an accelerator's kernels, input kept", true, true, true],
  ['kernels, contiguous', false, false, true],
]

describe.each(ways)('instance norm and leaky ReLU by %s', (_, channelsLast, keepInput, kernels) => {
  it.each(shapes)('%s', (name, shape, mean) => {
    const [samples = 0, channels = 0] = shape
    const slope = keepInput ? 1 : 0.01
    const count = shape.reduce((product, extent) => product * extent, 1)
    const x = noise(count, 1).map((value) => value + mean)
    if (name.startsWith('a first voxel')) for (let c = 0; c < channels; c++) x[(c * count) / channels / samples] = 20
    const g = noise(count, 2)
    const weight = noise(channels, 3).map((value) => value + 1.5)
    const bias = noise(channels, 4)
    const tensors = [
      { data: x, shape },
      { data: g, shape },
      { data: weight, shape: [channels] },
      { data: bias, shape: [channels] },
    ]
    const options = [eps, slope, channelsLast, keepInput, kernels]
    const results = callOp('instance_norm_leaky_relu', [...tensors, ...options]).map(({ data }) => data)
    const expected = reference({ x, g, weight, bias, samples, slope })
    expect(deviation(results[0] ?? [], expected.y)).toBeLessThan(1e-6)
    // A value whose sign behind the norm is lost to rounding passes its gradient differently: few, so a looser bound.
    expect(deviation(results[1] ?? [], expected.dx)).toBeLessThan(1e-3)
    expect(deviation(results[2] ?? [], expected.dweight)).toBeLessThan(1e-5)
    expect(deviation(results[3] ?? [], expected.dbias)).toBeLessThan(1e-5)
  })
})
