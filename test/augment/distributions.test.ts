// Rates and distributions of the default chain against 2000 draws of the real nnU-Net for each transform and for the
// chain. Needs VOXGRAD_PEER_DATA: a folder with augmentation/{default.json,default.npz,fixture_default.npz}.
import { describe, expect, it } from 'vitest'
import type { AugmentationConfig } from '../../src/native/binding.js'
import { columns, defaultConfig, flatten, only } from './default-config.js'
import { callOp1 } from './op.js'
import { openPeerChain } from './peer-chain.js'
import { binomialDeviation, kolmogorovSmirnov } from './statistics.js'

const STEPS = 20000
const draws = columns(callOp1('draw_augmentation', [flatten(defaultConfig), [24, 28, 24], 2, 11, 0, STEPS, 0]), 2)
const acting = (values: number[] | undefined) => (values ?? []).filter((value) => value !== 0)
const both = (select: (channel: (typeof draws.channels)[number]) => number[]) => draws.channels.flatMap(select)

describe('rates', () => {
  const rotated = draws.angles[0]?.map((angle) => Number(angle !== 0)) ?? []
  const scaled = (draws.scales[0] ?? []).map((scale) => Number(scale !== 1))
  const [first, second] = draws.channels as [(typeof draws.channels)[number], (typeof draws.channels)[number]]
  const together = (a: number[], b: number[]) => a.map((value, i) => Number(value !== 0 && b[i] !== 0))
  it.each([
    ['rotation', rotated, 0.2],
    ['scaling', scaled, 0.2],
    ['rotation and scaling', together(rotated, scaled), 0.04],
    ['any spatial', draws.spatial, 0.36],
    ['noise', draws.noise, 0.1],
    ['blur of one channel', first.sigmas[0], 0.1],
    ['blur of both channels', together(first.sigmas[0] ?? [], second.sigmas[0] ?? []), 0.05],
    ['brightness', first.brightness, 0.15],
    ['contrast', first.contrast, 0.15],
    ['brightness and contrast', together(first.brightness, first.contrast), 0.0225],
    ['low resolution of one channel', second.lowResolution, 0.125],
    ['inverted gamma', first.gammaInverted, 0.1],
    ['gamma', first.gamma, 0.3],
    ['gamma below 1', first.gamma.map((gamma) => Number(gamma > 0 && gamma < 1)), 0.15],
    ['mirroring of axis 0', draws.mirror[0], 0.5],
    ['mirroring of axes 0 and 2', together(draws.mirror[0] ?? [], draws.mirror[2] ?? []), 0.25],
  ])('%s', (_, values, probability) => {
    // 3.9 standard deviations: p > 1e-4
    expect(binomialDeviation(acting(values).length, STEPS, probability)).toBeLessThan(3.9)
  })
})

const peer = openPeerChain('default')

describe.skipIf(!peer.available)('distributions against nnU-Net', () => {
  it.each([
    ['00_SpatialTransform/SpatialTransform.angle0', () => acting(draws.angles[0])],
    ['00_SpatialTransform/SpatialTransform.angle1', () => acting(draws.angles[1])],
    ['00_SpatialTransform/SpatialTransform.angle2', () => acting(draws.angles[2])],
    ['00_SpatialTransform/SpatialTransform.scale0', () => (draws.scales[0] ?? []).filter((scale) => scale !== 1)],
    ['01_GaussianNoiseTransform/GaussianNoiseTransform.sigmas', () => acting(draws.noise)],
    ['02_GaussianBlurTransform/GaussianBlurTransform.sigmas', () => acting(both((c) => c.sigmas.flat()))],
    [
      '03_MultiplicativeBrightnessTransform/MultiplicativeBrightnessTransform.multipliers',
      () => acting(both((c) => c.brightness)),
    ],
    ['04_ContrastTransform/ContrastTransform.multipliers', () => acting(both((c) => c.contrast))],
    [
      '05_SimulateLowResolutionTransform/SimulateLowResolutionTransform.scales',
      () => acting(both((c) => c.lowResolution)),
    ],
    ['06_GammaTransform/GammaTransform.gamma', () => acting(both((c) => c.gammaInverted))],
    ['07_GammaTransform/GammaTransform.gamma', () => acting(both((c) => c.gamma))],
  ])('%s', (key, ours) => {
    // nnU-Net records a synchronized scale once per axis.
    const theirs = peer.values(key).filter((_, i) => !key.endsWith('.scales') || i % 3 === 0)
    expect(theirs.length).toBeGreaterThan(100)
    expect(kolmogorovSmirnov(ours(), theirs)).toBeGreaterThan(1e-4)
  })

  const alone: [string, Partial<AugmentationConfig>][] = [
    ['00_SpatialTransform', { rotationProbability: 0.2, scalingProbability: 0.2 }],
    ['01_GaussianNoiseTransform', { noiseProbability: 1 }],
    ['02_GaussianBlurTransform', { blurProbability: 1 }],
    ['03_MultiplicativeBrightnessTransform', { brightnessProbability: 1 }],
    ['04_ContrastTransform', { contrastProbability: 1 }],
    ['05_SimulateLowResolutionTransform', { lowResolutionProbability: 1 }],
    ['06_GammaTransform', { gammaInvertedProbability: 1 }],
    ['07_GammaTransform', { gammaProbability: 1 }],
  ]
  it.each(alone)('%s: image statistics', (name, change) => {
    const ours = peer.run(only(defaultConfig, change), 300, true)
    peer.compare(
      `${name}/statistics_when_changed`,
      8,
      ours.map((result) => result.image),
    )
  })

  it('the whole chain: image statistics and label shares', () => {
    const ours = peer.run(defaultConfig, 700, false)
    peer.compare(
      'chain/statistics',
      8,
      ours.map((result) => result.image),
    )
    peer.compare(
      'chain/label_shares',
      4,
      ours.map((result) => result.labels),
    )
  })
})
