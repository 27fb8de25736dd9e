// Rates and distributions of the DA5 chain against the documented ones; parity/augmentation.test.ts compares with
// nnU-Net's draws.
import { describe, expect, it } from 'vitest'
import { columns, da5Config, flatten } from './default-config.js'
import { callOp1 } from './op.js'
import { binomialDeviation, kolmogorovSmirnov } from './statistics.js'

const STEPS = 20000
const PATCH = [24, 28, 24]
const drawFor = (patch: number[]) =>
  columns(callOp1('draw_augmentation', [flatten(da5Config), patch, 2, 11, 0, STEPS, 0]), 2)
const draws = drawFor(PATCH)
type Channel = (typeof draws.channels)[number]
const [first, second] = draws.channels as [Channel, Channel]
const acting = (values: number[] | undefined) => (values ?? []).filter((value) => value !== 0)
const both = (select: (channel: Channel) => number[]) => draws.channels.flatMap(select)
const where = (condition: (step: number) => boolean) => Array.from({ length: STEPS }, (_, i) => Number(condition(i)))
const at = (column: number[] | undefined, step: number) => column?.[step] as number
const changed = (column: number[] | undefined) => (step: number) => at(column, step) !== 0

describe('rates', () => {
  const scaled = (axis: number) => (step: number) => at(draws.scales[axis], step) !== 1
  const clamped = (step: number) => at(draws.contrastClamped, step) === 1
  it.each([
    ['any rotation or scaling', where(changed(draws.spatial)), 0.52],
    ['rotation about axis 0', where(changed(draws.angles[0])), 0.2],
    ['rotation about axes 0 and 2', where((i) => changed(draws.angles[0])(i) && changed(draws.angles[2])(i)), 0.1],
    ['scaling', where(scaled(0)), 0.2],
    ['a factor of its own for each axis', where((i) => at(draws.scales[0], i) !== at(draws.scales[2], i)), 0.2],
    ['a turn by 90, 180 or 270 degrees', where(changed(draws.turns)), 0.375],
    ['a turn by 180 degrees', where((i) => at(draws.turns, i) === 2), 0.125],
    ['a turn in a plane of unequal extents', where((i) => at(draws.plane[1], i) === 1), 0],
    ['an exchange of the equal axes', where((i) => at(draws.order[0], i) === 2), 0.25],
    ['a move of the unequal axis', where((i) => at(draws.order[1], i) !== 1), 0],
    ['median filter of one channel', where(changed(first.median)), 0.05],
    ['median filter of size 7', where((i) => at(first.median, i) === 7), 0.05 / 6],
    ['blur of one channel', where(changed(second.sigmas[0])), 0.05],
    ['blur of both channels', where((i) => changed(first.sigmas[0])(i) && changed(second.sigmas[0])(i)), 0.025],
    ['median filter and blur', where((i) => changed(first.median)(i) && changed(second.sigmas[0])(i)), 0],
    ['blur with unequal sigmas', where((i) => at(first.sigmas[0], i) !== at(first.sigmas[2], i)), 0],
    ['noise', where(changed(draws.noise)), 0.1],
    ['multiplicative brightness', where(changed(first.brightness)), 0],
    ['additive brightness of one channel', where(changed(first.additiveBrightness)), 0.05],
    [
      'additive brightness of both',
      where((i) => at(first.additiveBrightness, i) * at(second.additiveBrightness, i) !== 0),
      0.025,
    ],
    ['contrast within the range', where((i) => changed(first.contrast)(i) && clamped(i)), 0.05],
    ['contrast beyond the range', where((i) => changed(first.contrast)(i) && !clamped(i)), 0.05],
    ['contrast below 1', where((i) => changed(first.contrast)(i) && at(first.contrast, i) < 1), 0.05],
    ['low resolution of one channel', where(changed(first.lowResolution)), 0.075],
    ['inverted gamma', where(changed(first.gammaInverted)), 0.1],
    [
      'inverted gamma twice',
      where((i) => changed(first.gammaInverted)(i) && changed(first.secondGammaInverted)(i)),
      0.01,
    ],
    ['gamma that is not inverted', where(changed(first.gamma)), 0],
    ['rectangles in one channel', where(changed(first.rectangles)), 0.2],
    ['three rectangles', where((i) => at(first.rectangles, i) === 3), 0.05],
    ['brightness gradient of one channel', where(changed(first.gradient)), 0.15],
    ['brightness gradient that brightens', where((i) => at(first.gradient, i) > 0), 0.075],
    ['local gamma of one channel', where(changed(first.localGamma)), 0.15],
    ['local gamma above 1', where((i) => at(first.localGamma, i) > 1), 0.075],
    ['sharpening of one channel', where(changed(first.sharpening)), 0.1],
    ['mirroring of axis 1', where(changed(draws.mirror[1])), 0.5],
  ])('%s', (_, values, probability) => {
    const count = acting(values).length
    if (probability === 0) expect(count).toBe(0)
    // 3.9 standard deviations: p > 1e-4
    else expect(binomialDeviation(count, STEPS, probability)).toBeLessThan(3.9)
  })

  it('exchanges all three axes of a cube alike', () => {
    const cube = drawFor([16, 16, 16])
    const count = (table: number[][], row: number[]) =>
      where((i) => row.every((value, axis) => at(table[axis], i) === value)).filter(Boolean).length
    for (const plane of [
      [0, 1],
      [0, 2],
      [1, 2],
    ])
      expect(binomialDeviation(count(cube.plane, plane), STEPS, 1 / 6)).toBeLessThan(3.9)
    for (const order of [
      [0, 2, 1],
      [1, 0, 2],
      [1, 2, 0],
      [2, 0, 1],
      [2, 1, 0],
    ])
      expect(binomialDeviation(count(cube.order, order), STEPS, 1 / 12)).toBeLessThan(3.9)
  })

  it('exchanges nothing where all extents differ', () => {
    const unequal = drawFor([16, 20, 24])
    expect(acting(unequal.turns)).toEqual([])
    expect(acting(unequal.transposed)).toEqual([])
  })
})

describe('documented distributions', () => {
  /** As many numbers as evenly spaced quantiles of a distribution, given its inverse distribution function. */
  const quantiles = (inverse: (p: number) => number) =>
    Array.from({ length: 5000 }, (_, i) => inverse((i + 0.5) / 5000))
  const between = (low: number, high: number) => quantiles((p) => low + (high - low) * p)
  const axes = (select: (channel: Channel) => number[][]) =>
    draws.channels.flatMap((channel) =>
      select(channel).flatMap((column, axis) => acting(column).map((value) => value / (PATCH[axis] as number))),
    )
  const absolute = (values: number[]) => acting(values).map(Math.abs)
  it.each([
    ['scale', draws.scales.flat().filter((scale) => scale !== 1), between(0.7, 1.43)],
    ['blur', acting(both((c) => c.sigmas[0] ?? [])), between(0.3, 1.5)],
    ['scale of the low resolution', acting(both((c) => c.lowResolution)), between(0.25, 1)],
    ['contrast', acting(both((c) => c.contrast)), [...between(0.5, 1), ...between(1, 2)]],
    ['strength of the gradient', absolute(both((c) => c.gradient)), between(1, 5)],
    ['exponent of the local gamma', acting(both((c) => c.localGamma)), [...between(0.01, 0.8), ...between(1.5, 4)]],
    ['sharpening', acting(both((c) => c.sharpening)), between(0.1, 1)],
    ['center of a gradient', axes((c) => c.gradientCenter), between(-0.5, 1.5)],
    ['center of a local gamma', axes((c) => c.localGammaCenter), between(-0.5, 1.5)],
    [
      'width of a gradient along the second axis',
      acting(both((c) => c.gradientWidth[1] ?? [])),
      quantiles((p) => 4 * (28 / 4) ** p),
    ],
    [
      'width of a local gamma along the first axis',
      acting(both((c) => c.localGammaWidth[0] ?? [])),
      quantiles((p) => 4 * (24 / 4) ** p),
    ],
    [
      'extent of a rectangle along the first axis',
      acting(both((c) => c.rectangleExtent[0] ?? [])),
      quantiles((p) => 2 + Math.floor(6 * p)),
    ],
  ])('%s', (_, ours, documented) => {
    expect(kolmogorovSmirnov(ours, documented)).toBeGreaterThan(1e-4)
  })

  it('keeps rectangles in the patch', () => {
    for (const channel of draws.channels) {
      for (const [axis, extents] of channel.rectangleExtent.entries()) {
        const starts = channel.rectangleStart[axis] as number[]
        const ends = extents.map((extent, step) => extent + (starts[step] as number))
        expect(Math.max(...ends)).toBe(PATCH[axis])
        expect(Math.min(...starts)).toBe(0)
      }
    }
  })
})
