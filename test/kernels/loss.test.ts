// The loss kernels against a naive reference in float64: loss and gradient, labels read at full resolution.
import { describe, expect, it } from 'vitest'
import { callOp } from '../augment/op.js'

interface Problem {
  /** (samples, classes, ...): the level's. */
  shape: number[]
  /** Spatial extents of the labels; the level's own if left out. */
  full?: number[]
  regions?: boolean
  ignore?: number
  /** Everything is ignored. */
  nothing?: boolean
  weights?: [number, number]
  labelSmoothing?: number
  annotatedMean?: boolean
  batchDice?: boolean
  smooth?: number
}
interface Found {
  loss: number
  gradient: ArrayLike<number | bigint>
}

const product = (values: number[]) => values.reduce((result, value) => result * value, 1)

/** Multiples of 1/16 between -4 and 4, which every number format holds exactly. */
const logitsOf = (count: number) =>
  Float32Array.from({ length: count }, (_, i) => Math.round(64 * Math.sin(1.7 * i * i + 0.3 * i + 1)) / 16)

/** The labels of each output: classes, or region r of all labels above r. */
const outputsOf = (channels: number, regions: boolean) =>
  Array.from({ length: channels }, (_, output) =>
    regions ? Array.from({ length: channels - output }, (_, i) => output + 1 + i) : [output],
  )

function dataOf(problem: Problem) {
  const { shape, regions = false, ignore, nothing = false } = problem
  const [samples = 0, channels = 0] = shape
  const full = problem.full ?? shape.slice(2)
  const labels = Int16Array.from({ length: samples * product(full) }, (_, i) => {
    if (ignore !== undefined && (nothing || i % 5 === 2)) return ignore
    return (Math.floor(i / 3) * 7 + (i % 2)) % (channels + (regions ? 1 : 0))
  })
  return { logits: logitsOf(product(shape)), labels, full, outputs: outputsOf(channels, regions) }
}

function reference(problem: Problem, changed?: Float64Array): { loss: number; gradient: Float64Array } {
  const { shape, regions = false, ignore, weights = [1, 1], labelSmoothing = 0 } = problem
  const { annotatedMean = false, batchDice = false, smooth = 1e-5 } = problem
  const { labels, full, outputs, ...given } = dataOf(problem)
  const logits = changed ?? given.logits
  const [samples = 0, channels = 0, ...extents] = shape
  const voxels = product(extents)
  const labelAt = (sample: number, voxel: number) => {
    let [place, rest, stride] = [sample * product(full), voxel, 1]
    for (let axis = extents.length - 1; axis >= 0; axis--) {
      const [size = 1, from = 1] = [extents[axis], full[axis]]
      place += stride * Math.min(Math.floor((((rest % size) + 0.5) * from) / size), from - 1)
      rest = Math.floor(rest / size)
      stride *= from
    }
    return labels[place] ?? -1
  }
  const place = (b: number, c: number, v: number) => (b * channels + c) * voxels + v
  const first = regions ? 0 : 1
  const rows = Array.from({ length: batchDice ? 1 : samples }, () =>
    Array.from({ length: channels }, () => ({ both: 0, volume: 0 })),
  )
  const p = new Float64Array(logits.length)
  const y = new Float64Array(logits.length)
  let [entropy, annotated] = [0, 0]
  const counts = (b: number, v: number) => labelAt(b, v) !== ignore
  const target = (i: number) => (regions ? (y[i] ?? 0) : (1 - labelSmoothing) * (y[i] ?? 0) + labelSmoothing / channels)
  for (let b = 0; b < samples; b++) {
    for (let v = 0; v < voxels; v++) {
      const x = Array.from({ length: channels }, (_, c) => logits[place(b, c, v)] ?? 0)
      const sum = Math.log(x.reduce((total, value) => total + Math.exp(value), 0))
      for (const [c, value] of x.entries()) {
        const i = place(b, c, v)
        p[i] = regions ? 1 / (1 + Math.exp(-value)) : Math.exp(value - sum)
        y[i] = counts(b, v) && outputs[c]?.includes(labelAt(b, v)) ? 1 : 0
        if (!counts(b, v)) continue
        entropy += regions ? Math.log1p(Math.exp(value)) - value * (y[i] ?? 0) : target(i) * (sum - value)
        const row = rows[batchDice ? 0 : b]?.[c]
        if (row) {
          row.both += (p[i] ?? 0) * (y[i] ?? 0)
          row.volume += (p[i] ?? 0) + (y[i] ?? 0)
        }
      }
      annotated += counts(b, v) ? 1 : 0
    }
  }
  let terms = samples * voxels * (regions ? channels : 1)
  if (ignore !== undefined) terms = Math.max(1, annotated * (regions && annotatedMean ? channels : 1))
  const number = rows.length * (channels - first)
  let dice = 0
  for (const row of rows) {
    for (const { both, volume } of row.slice(first))
      dice += (2 * both + smooth) / Math.max(volume + smooth, 1e-8) / number
  }
  const gradient = new Float64Array(logits.length)
  for (let b = 0; b < samples; b++) {
    for (let v = 0; v < voxels; v++) {
      if (!counts(b, v)) continue
      const slopes = Array.from({ length: channels }, (_, c) => {
        const { both, volume } = rows[batchDice ? 0 : b]?.[c] ?? { both: 0, volume: 0 }
        if (c < first) return 0
        const divisor = Math.max(volume + smooth, 1e-8)
        const each = volume + smooth < 1e-8 ? 0 : (2 * both + smooth) / divisor ** 2
        return (-weights[0] / number) * ((2 * (y[place(b, c, v)] ?? 0)) / divisor - each)
      })
      const mean = slopes.reduce((sum, slope, c) => sum + slope * (p[place(b, c, v)] ?? 0), 0)
      for (const [c, slope] of slopes.entries()) {
        const i = place(b, c, v)
        const q = p[i] ?? 0
        gradient[i] = q * (regions ? (1 - q) * slope : slope - mean) + (weights[1] / terms) * (q - target(i))
      }
    }
  }
  return { loss: weights[1] * (entropy / terms) - weights[0] * dice, gradient }
}

const formats = ['float32', 'bfloat16', 'float16']

function fused(problem: Problem, format: string, layout: number, kernels: boolean, bytes = false): Found {
  const { shape, regions = false, ignore = -1, weights = [1, 1], labelSmoothing = 0 } = problem
  const { logits, labels, full, outputs } = dataOf(problem)
  const [loss, gradient] = callOp('fused_loss', [
    { data: logits, shape },
    { data: bytes ? Int8Array.from(labels) : labels, shape: [shape[0] ?? 0, ...full] },
    outputs.flatMap((list) => [...list, -1]),
    regions,
    ignore,
    weights,
    labelSmoothing,
    problem.annotatedMean ?? false,
    problem.batchDice ?? false,
    problem.smooth ?? 1e-5,
    formats.indexOf(format),
    layout,
    kernels,
    1,
  ])
  return { loss: Number(loss?.data[0]), gradient: gradient?.data ?? [] }
}

/** The largest difference, relative to the largest number. */
function deviation(found: ArrayLike<number | bigint>, expected: Float64Array): number {
  let [difference, largest] = [0, 0]
  for (let i = 0; i < expected.length; i++) {
    const distance = Math.abs(Number(found[i]) - (expected[i] ?? 0))
    if (!(distance <= difference)) difference = distance
    largest = Math.max(largest, Math.abs(expected[i] ?? 0))
  }
  return difference / largest
}

const problems: [string, Problem][] = [
  ['3 classes', { shape: [2, 3, 20, 24, 18] }],
  ['batch Dice, weights', { shape: [3, 4, 5, 7, 9], batchDice: true, weights: [0.3, 2] }],
  ['a lower level', { shape: [2, 3, 5, 6, 4], full: [20, 24, 8] }],
  ['a lower level of odd extents', { shape: [2, 3, 4, 7, 3], full: [7, 13, 5] }],
  ['2D', { shape: [3, 5, 33, 17], full: [66, 35] }],
  ['one voxel', { shape: [1, 3, 1, 1, 1] }],
  ['one voxel a sample of a larger patch', { shape: [2, 2, 1, 1, 1], full: [3, 5, 4] }],
  ['an ignore label', { shape: [2, 4, 9, 8, 7], ignore: 4 }],
  ['an ignore label, annotated mean', { shape: [2, 4, 9, 8, 7], ignore: 4, annotatedMean: true }],
  ['8 classes', { shape: [1, 8, 6, 7, 5], labelSmoothing: 0.1 }],
  ['9 classes', { shape: [2, 9, 6, 7, 5], labelSmoothing: 0.1, ignore: 9 }],
  ['117 classes', { shape: [2, 117, 4, 5, 6], full: [8, 10, 6] }],
  ['more partial sums than one fold takes', { shape: [1, 2, 32, 40, 33] }],
  ['cross-entropy alone', { shape: [2, 3, 6, 7, 5], weights: [0, 1] }],
  ['cross-entropy alone of one class', { shape: [2, 1, 6, 7, 5], weights: [0, 1] }],
  ['Dice alone', { shape: [2, 3, 6, 7, 5], weights: [1, 0] }],
  ['without smoothing', { shape: [2, 3, 6, 7, 5], smooth: 0 }],
  ['regions', { shape: [2, 3, 9, 8, 7], regions: true }],
  ['one region', { shape: [2, 1, 5, 6, 4], full: [10, 12, 4], regions: true }],
  ['117 regions', { shape: [1, 117, 3, 4, 5], regions: true, batchDice: true }],
  ['regions, an ignore label', { shape: [2, 3, 9, 8, 7], regions: true, ignore: 4 }],
  ['regions, annotated mean', { shape: [2, 3, 9, 8, 7], regions: true, ignore: 4, annotatedMean: true }],
]
const ways: [string, number, boolean][] = [
  ["the CPU's loops, contiguous", 0, false],
  ["the CPU's loops, channels-last", 1, false],
  ["the CPU's loops, neither", 2, false],
  ["an accelerator's kernels, contiguous", 0, true],
  ["an accelerator's kernels, channels-last", 1, true],
  ["an accelerator's kernels, neither", 2, true],
]

describe("in float64 the reference's gradient is that of finite differences", () => {
  it.each(problems)('%s', (_, problem) => {
    const logits = Float64Array.from(dataOf(problem).logits)
    const { gradient } = reference(problem, logits)
    const step = 1e-5
    const lossAt = (i: number, shift: number) => reference(problem, logits.with(i, (logits[i] ?? 0) + shift)).loss
    const stride = Math.ceil(logits.length / (logits.length > 10000 ? 4 : 16))
    for (let i = 0; i < logits.length; i += stride) {
      const slope = (lossAt(i, step) - lossAt(i, -step)) / (2 * step)
      // The loss is near 1: its last digit over the step.
      expect(Math.abs(slope - (gradient[i] ?? 0))).toBeLessThan(1e-9)
    }
  })
})

describe.each(ways)('Dice and cross-entropy by %s', (_, layout, kernels) => {
  it.each(problems)('%s', (_, problem) => {
    const expected = reference(problem)
    const found = fused(problem, 'float32', layout, kernels)
    expect(Math.abs(found.loss - expected.loss)).toBeLessThan(1e-6 * Math.max(1, Math.abs(expected.loss)))
    if (problem.weights?.[0] !== 0 || problem.shape[1] !== 1)
      expect(deviation(found.gradient, expected.gradient)).toBeLessThan(2e-6)
    expect(fused(problem, 'float32', layout, kernels, true)).toEqual(found)
  })

  // The logits are exact in both formats; sums are made in float32, and the gradient is rounded once.
  it.each([
    ['bfloat16', 2 ** -8],
    ['float16', 2 ** -9],
  ])('%s', (format, rounding) => {
    for (const problem of [{ shape: [2, 3, 9, 8, 7] }, { shape: [2, 12, 4, 5, 3], regions: true }]) {
      const expected = reference(problem)
      const found = fused(problem, format, layout, kernels)
      expect(Math.abs(found.loss - expected.loss)).toBeLessThan(1e-6)
      expect(deviation(found.gradient, expected.gradient)).toBeLessThan(rounding)
    }
  })

  it.each([false, true])('without an annotated voxel the loss is finite and the gradient 0, regions %s', (regions) => {
    const problem = { shape: [2, 3, 4, 5, 6], ignore: 4, nothing: true, regions }
    const { loss, gradient } = fused(problem, 'float32', layout, kernels)
    expect(loss).toBeCloseTo(reference(problem).loss, 6)
    expect(Array.from(gradient, Number).every((slope) => slope === 0)).toBe(true)
  })
})
