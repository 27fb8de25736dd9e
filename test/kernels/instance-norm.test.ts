// Instance norm + leaky ReLU against a naive reference in float64, where channels have means far from zero too; the
// reference's gradients against finite differences.
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
  x: ArrayLike<number>
  g: ArrayLike<number>
  weight: ArrayLike<number>
  bias: ArrayLike<number>
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

/** |ours - theirs| / |theirs|, Euclidean; absolute where theirs is small. */
function deviation(ours: ArrayLike<number | bigint>, theirs: Float64Array): number {
  let [difference, size] = [0, 0]
  for (let i = 0; i < theirs.length; i++) {
    difference += (Number(ours[i]) - (theirs[i] ?? 0)) ** 2
    size += (theirs[i] ?? 0) ** 2
  }
  return Math.sqrt(difference / Math.max(size, 1))
}

const shapes: [string, number[], number][] = [
  ['3D', [2, 8, 20, 28, 20], 0],
  ['3D, mean 1', [2, 8, 20, 28, 20], 1],
  ['3D, mean 5', [1, 5, 33, 17, 9], 5],
  ['2D', [3, 7, 41, 13], 0.5],
  ['a few voxels', [2, 3, 1, 2, 3], 0],
  ['one voxel', [2, 3, 1, 1, 1], 0.5],
  ['1 channel', [2, 1, 9, 8, 7], 0.5],
  ['117 channels', [1, 117, 4, 5, 6], 2],
  ['more partial sums than one fold takes', [1, 2, 32, 40, 33], 0.1],
  ['a first voxel far from the mean', [1, 4, 24, 28, 24], 0],
  ['no variance', [2, 3, 3, 5, 4], 0.5],
]

function problemOf(name: string, shape: number[], mean: number, slope: number): Problem {
  const [samples = 0, channels = 0] = shape
  const count = shape.reduce((product, extent) => product * extent, 1)
  const x = noise(count, 1).map((value) => (name === 'no variance' ? 0 : value) + mean)
  if (name.startsWith('a first voxel')) for (let c = 0; c < channels; c++) x[(c * count) / channels / samples] = 20
  const weight = noise(channels, 3).map((value) => value + 1.5)
  return { x, g: noise(count, 2), weight, bias: noise(channels, 4), samples, slope }
}

describe("in float64 the reference's gradients are those of finite differences", () => {
  it.each(shapes)('%s', (name, shape, mean) => {
    const problem = problemOf(name, shape, mean, 0.01)
    const found = reference(problem)
    const objective = (changed: Partial<Problem>) =>
      reference({ ...problem, ...changed }).y.reduce((sum, value, i) => sum + value * (problem.g[i] ?? 0), 0)
    const step = 1e-6
    for (const [key, gradient] of [
      ['x', found.dx],
      ['weight', found.dweight],
      ['bias', found.dbias],
    ] as const) {
      const values = Float64Array.from(problem[key])
      const stride = Math.ceil(values.length / (problem.x.length > 5000 ? 2 : 8))
      for (let i = 0; i < values.length; i += stride) {
        const at = (shift: number) => objective({ [key]: values.with(i, (values[i] ?? 0) + shift) })
        const slope = (at(step) - at(-step)) / (2 * step)
        // Sums of up to 10^5 terms, some of which may bend within the step, over twice the step.
        expect(Math.abs(slope - (gradient[i] ?? 0))).toBeLessThan(1e-5 * Math.max(1, Math.abs(slope)))
      }
    }
  })
})

const [contiguous, last, neither] = [0, 1, 2]
const ways: [string, number, number, boolean, boolean][] = [
  ["the CPU's loops", last, last, false, false],
  ["the CPU's loops, input kept", last, last, true, false],
  ["the CPU's loops, a gradient of another layout", last, contiguous, false, false],
  ["the CPU's loops, a gradient with gaps", last, neither, false, false],
  ["an accelerator's kernels", last, last, false, true],
  ["an accelerator's kernels, input kept", last, last, true, true],
  ['kernels, contiguous', contiguous, contiguous, false, true],
  ['kernels, contiguous, a gradient with gaps', contiguous, neither, false, true],
]

describe.each(ways)('instance norm and leaky ReLU by %s', (_, layout, gradientLayout, keepInput, kernels) => {
  it.each(shapes)('%s', (name, shape, mean) => {
    const problem = problemOf(name, shape, mean, keepInput ? 1 : 0.01)
    const { x, g, weight, bias, slope } = problem
    const tensors = [
      { data: Float32Array.from(x), shape },
      { data: Float32Array.from(g), shape },
      { data: Float32Array.from(weight), shape: [weight.length] },
      { data: Float32Array.from(bias), shape: [bias.length] },
    ]
    const options = [eps, slope, layout, gradientLayout, keepInput, kernels, 1]
    const results = callOp('instance_norm_leaky_relu', [...tensors, ...options]).map(({ data }) => data)
    const expected = reference(problem)
    expect(deviation(results[0] ?? [], expected.y)).toBeLessThan(1e-6)
    // A value whose sign behind the norm is lost to rounding passes its gradient differently: few, so a looser bound.
    expect(deviation(results[1] ?? [], expected.dx)).toBeLessThan(1e-3)
    expect(deviation(results[2] ?? [], expected.dweight)).toBeLessThan(1e-5)
    expect(deviation(results[3] ?? [], expected.dbias)).toBeLessThan(1e-5)
  })
})

it('refuses an input with gaps, which could not be changed in place', () => {
  const tensors = [1, 1].map((value) => ({ data: new Float32Array(24).fill(value), shape: [1, 2, 3, 4] }))
  const rows = [1, 1].map((value) => ({ data: new Float32Array(2).fill(value), shape: [2] }))
  const call = () =>
    callOp('instance_norm_leaky_relu', [...tensors, ...rows, eps, 0.01, neither, last, false, false, 1])
  expect(call).toThrow(/expected a dense tensor/)
})
