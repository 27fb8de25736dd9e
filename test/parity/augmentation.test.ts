// The augmentation against draws of the real nnU-Net: the small goldens; the suite `parity` has more draws.
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { chainsIn, compareChain } from '../augment/compare-draws.js'
import { falseAlarms } from './kinds/augmentation.js'

const goldens = path.resolve(import.meta.dirname, '../goldens/augmentation_draws')

describe('small goldens', () => {
  let tests = 0
  test.each(chainsIn(goldens))('%s', { timeout: 600_000 }, (chain) => {
    for (const item of compareChain(goldens, chain)) {
      tests += item.tests
      expect(item.differences, item.name).toEqual([])
    }
  })
  test.each([
    ['SpatialTransform', { scalingRange: [1, 1.4] }],
    ['SpatialTransform', { scalingPerAxis: true }],
    ['MultiplicativeBrightnessTransform', { brightnessProbability: 0.35 }],
    ['GaussianBlurTransform', { blurSigma: [0.5, 1.2] }],
    ['MirrorTransform', { mirrorAxes: [0, 1] }],
    ['whole chain', { gammaProbability: 1 }],
  ] as [string, object][])('tell of another %s, %j', (name, change) => {
    const found = [...compareChain(goldens, 'default_3d', change)].filter(({ differences }) => differences.length > 0)
    expect(found.map((item) => item.name).join()).toContain(name)
  })
  test('are many', () => {
    console.log(falseAlarms(tests))
    expect(tests).toBeGreaterThan(600)
  })
})
