// Losses and counts against nnU-Net's own (test/goldens/make_labels.py), finite differences, and plain restatements.
import { readFileSync } from 'node:fs'
import { describe, expect, it, test } from 'vitest'
import type { NativeTensor, OpArgument } from '../../src/native/binding.js'
import { callOp, callOp1 } from '../augment/op.js'
import { readNpz } from '../npz.js'

interface LossCase {
  kind: 'dice_ce' | 'dice_topk' | 'ce' | 'topk' | 'dice' | 'dice_bce'
  batch_dice: boolean
  smooth: number
  ignore: number | null
  regions: boolean
  everywhere: boolean
  smoothing?: number
  value: number
}
const file = (name: string) => new URL(`../goldens/${name}`, import.meta.url).pathname
const golden = JSON.parse(readFileSync(file('labels.json'), 'utf8')) as {
  losses: LossCase[]
  counts: { regions: boolean; ignore: number | null; counts: number[][] }[]
}
const arrays = readNpz(file('labels.npz'))
const array = (name: string) => arrays[name] as unknown as NativeTensor

/** The labels of each output, each list ended by -1. */
const outputsOf = (regions: boolean) => (regions ? [1, 2, 3, -1, 2, 3, -1, 3, -1] : [0, -1, 1, -1, 2, -1, 3, -1])

interface Level {
  logits: NativeTensor
  labels: NativeTensor
  regions: boolean
  ignore: number | null
  weights?: [number, number]
  topKPercent?: number
  labelSmoothing?: number
  annotatedMean?: boolean
  batchDice?: boolean
  smooth?: number
}

function lossOf(level: Level): { value: number; gradient: NativeTensor } {
  const [value, gradient] = callOp('level_loss', [
    level.logits,
    level.labels,
    outputsOf(level.regions),
    level.regions,
    level.ignore ?? -1,
    level.weights ?? [1, 1],
    level.topKPercent ?? 100,
    level.labelSmoothing ?? 0,
    level.annotatedMean ?? false,
    level.batchDice ?? false,
    level.smooth ?? 1e-5,
  ] as OpArgument[])
  return { value: Number(value?.data[0]), gradient: gradient as NativeTensor }
}

const largest = (values: Iterable<number>) => Math.max(...Array.from(values, Math.abs))
const names = golden.losses.map(
  ({ kind, batch_dice, smooth, ignore, regions, everywhere, smoothing }, index) =>
    [
      `${index}: ${kind}, batch_dice ${batch_dice}, smooth ${smooth}, ignore ${ignore}${everywhere ? ' everywhere' : ''}${regions ? ', regions' : ''}${smoothing ? `, label smoothing ${smoothing}` : ''}`,
      index,
    ] as const,
)

test.each(names)("nnU-Net's loss and gradient, %s", (_, index) => {
  const { kind, batch_dice, smooth, ignore, regions, smoothing, value } = golden.losses[index] as LossCase
  const found = lossOf({
    logits: array(`loss${index}/logits`),
    labels: array(`loss${index}/labels`),
    regions,
    ignore,
    weights: [kind.startsWith('dice') ? 1 : 0, kind === 'dice' ? 0 : 1],
    topKPercent: kind.endsWith('topk') ? 10 : 100,
    labelSmoothing: smoothing ?? 0,
    batchDice: batch_dice,
    smooth,
  })
  expect(Math.abs(found.value - value)).toBeLessThan(1e-6 * Math.max(1, Math.abs(value)))
  const expected = array(`loss${index}/gradient`).data as Float32Array
  const gradient = found.gradient.data as Float32Array
  expect(largest(gradient.map((slope, i) => slope - (expected[i] as number)))).toBeLessThanOrEqual(
    2e-6 * largest(expected),
  )
})

const shape = [2, 3, 2, 4]
const count = shape.reduce((product, n) => product * n, 1)
const wave = (length: number, pitch: number) => Float64Array.from({ length }, (_, i) => 2 * Math.sin(pitch * i + 1))
const labels = (ignore: boolean): NativeTensor => ({
  data: Int16Array.from({ length: count }, (_, i) => (ignore && i % 3 === 0 ? 4 : (i * 7) % 4)),
  shape,
})
const logitsOf = (regions: boolean): NativeTensor => {
  const channels = regions ? 3 : 4
  return { data: wave(count * channels, 1.7), shape: [2, channels, ...shape.slice(1)] }
}

describe('in float64 the gradient is that of finite differences', () => {
  const variants = [false, true].flatMap((regions) =>
    [null, 4].flatMap((ignore) =>
      [
        { batchDice: true },
        { weights: [0.3, 2] as [number, number], annotatedMean: true },
        ...(regions ? [] : [{ topKPercent: 25, labelSmoothing: 0.2, annotatedMean: true }]),
      ].map((options) => ({ regions, ignore, ...options })),
    ),
  )
  it.each(variants)('%j', (options) => {
    const level = { ...options, logits: logitsOf(options.regions), labels: labels(options.ignore !== null) }
    const { gradient } = lossOf(level)
    const data = level.logits.data as Float64Array
    const step = 1e-5
    const valueAt = (i: number, shift: number) =>
      lossOf({ ...level, logits: { ...level.logits, data: data.with(i, (data[i] as number) + shift) } }).value
    for (let i = 0; i < data.length; i += 5) {
      const slope = (valueAt(i, step) - valueAt(i, -step)) / (2 * step)
      expect(Math.abs(slope - Number(gradient.data[i]))).toBeLessThan(1e-9)
    }
  })
})

describe('with an ignore label, means over what is annotated', () => {
  const voxels = count
  const isAnnotated = (i: number) => i % 3 !== 0
  const annotated = Array.from({ length: voxels }, (_, i) => i).filter(isAnnotated)
  const place = (voxel: number, channel: number, channels: number) => {
    const perSample = voxels / 2
    return (Math.floor(voxel / perSample) * channels + channel) * perSample + (voxel % perSample)
  }

  it('binary cross-entropy is the mean over regions, where nnU-Net sums them', () => {
    const logits = logitsOf(true)
    const data = logits.data as Float64Array
    const truth = labels(true).data as Int16Array
    const covered = [[1, 2, 3], [2, 3], [3]]
    let sum = 0
    for (const voxel of annotated) {
      for (const [channel, region] of covered.entries()) {
        const x = data[place(voxel, channel, 3)] as number
        sum += Math.log1p(Math.exp(x)) - (region.includes(truth[voxel] as number) ? x : 0)
      }
    }
    const level: Level = { logits, labels: labels(true), regions: true, ignore: 4, weights: [0, 1] }
    expect(lossOf({ ...level, annotatedMean: true }).value).toBeCloseTo(sum / (3 * annotated.length), 12)
    expect(lossOf({ ...level, annotatedMean: false }).value).toBeCloseTo(sum / annotated.length, 12)
  })

  it('the hardest voxels are a share of the annotated ones, where nnU-Net takes the share of all', () => {
    const logits = logitsOf(false)
    const data = logits.data as Float64Array
    const truth = labels(true).data as Int16Array
    const terms = annotated
      .map((voxel) => {
        const scores = [0, 1, 2, 3].map((channel) => data[place(voxel, channel, 4)] as number)
        return Math.log(scores.reduce((sum, x) => sum + Math.exp(x), 0)) - (scores[truth[voxel] as number] as number)
      })
      .sort((a, b) => b - a)
    const mean = (values: number[], number: number) => values.slice(0, number).reduce((a, b) => a + b, 0) / number
    const level: Level = {
      logits,
      labels: labels(true),
      regions: false,
      ignore: 4,
      weights: [0, 1],
      topKPercent: 80,
    }
    expect(lossOf({ ...level, annotatedMean: true }).value).toBeCloseTo(mean(terms, Math.floor(0.8 * terms.length)), 12)
    expect(lossOf({ ...level, annotatedMean: false }).value).toBeCloseTo(mean(terms, Math.floor(0.8 * voxels)), 12)
  })

  it.each([false, true])('nothing annotated at all gives a finite loss and no gradient (regions: %s)', (regions) => {
    const nothing = { data: new Int16Array(voxels).fill(4), shape }
    const { value, gradient } = lossOf({ logits: logitsOf(regions), labels: nothing, regions, ignore: 4 })
    expect(Number.isFinite(value)).toBe(true)
    expect(largest(gradient.data as Float64Array)).toBe(0)
  })
})

test.each(golden.counts.map((entry, index) => ({ ...entry, index })))(
  "counts of nnU-Net's validation step, regions $regions, ignore $ignore",
  ({ regions, ignore, counts, index }) => {
    const { data } = callOp1('count_dice', [
      array(`counts${index}/logits`),
      array(`counts${index}/labels`),
      outputsOf(regions),
      regions,
      ignore ?? -1,
      ...[1, false, 1],
    ])
    expect(Array.from(data, Number)).toEqual(counts.flat())
  },
)
