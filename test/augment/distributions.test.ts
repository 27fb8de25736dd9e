// Rates of the default chain against the documented ones; parity/augmentation.test.ts compares with nnU-Net's draws.
import { describe, expect, it } from 'vitest'
import { columns, defaultConfig, flatten } from './default-config.js'
import { callOp1 } from './op.js'
import { binomialDeviation } from './statistics.js'

const STEPS = 20000
const draws = columns(callOp1('draw_augmentation', [flatten(defaultConfig), [24, 28, 24], 2, 11, 0, STEPS, 0]), 2)
const acting = (values: number[] | undefined) => (values ?? []).filter((value) => value !== 0)

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
