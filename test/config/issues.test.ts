// Faults of options in words, all at once, with the nearest key for unknown ones.
import { expect, test } from 'vitest'
import { nearest } from '../../src/config/issues.js'
import { parseOptions, trainOptionsSchema } from '../../src/config/schema.js'

const base = { dataset: '4', configuration: '3d_fullres', fold: 0 }
const faultsOf = (input: object): string[] => {
  try {
    parseOptions(trainOptionsSchema, { ...base, ...input }, 'options of train')
    return []
  } catch (error) {
    return (error as Error).message
      .split('\n')
      .slice(1)
      .map((line) => line.trim())
  }
}

test('each fault says where, what was expected and what was found', () => {
  expect(
    faultsOf({
      device: 'gpu',
      optimizer: { initialLr: 'abc', momentum: 2, nesterov: 'yes' },
      budget: { steps: 0 },
      augmentation: { preset: 'strong' },
      checkpoint: { everyEpochs: 1.5 },
    }),
  ).toEqual([
    'device: expected cpu, cuda or cuda:N, found "gpu"',
    'budget.steps: expected a whole number above 0, found 0',
    'optimizer.initialLr: expected a number above 0, found "abc"',
    'optimizer.momentum: expected a number of at least 0 and below 1, found 2',
    'optimizer.nesterov: expected true or false, found "yes"',
    'augmentation.preset: expected one of default, none, no-mirroring, only-mirror-01, da5, found "strong"',
    'checkpoint.everyEpochs: expected a whole number above 0, found 1.5',
  ])
})

test('unknown keys get the nearest one, or all where none is near', () => {
  expect(faultsOf({ optimiser: {}, optimizer: { initialLR: 0.1, foo: 1 } })).toEqual([
    'optimizer.initialLR: there is no such option, did you mean initialLr?',
    'optimizer.foo: there is no such option; there are kind, initialLr, momentum, nesterov, betas, adanBetas, eps, amsgrad, weightDecay, clipNorm',
    'optimiser: there is no such option, did you mean optimizer?',
  ])
})

test('epochs and steps exclude each other', () => {
  expect(faultsOf({ budget: { epochs: 3, steps: 4 } })).toEqual(['budget: epochs and steps exclude each other'])
})

test('faults of the augmentation are found behind its presets', () => {
  expect(
    faultsOf({ augmentation: { preset: 'da5', blurProbability: 2, medianFilterSize: [7, 2], gamaRange: [1, 2] } }),
  ).toEqual([
    'augmentation.blurProbability: expected a number of at least 0 and of at most 1, found 2',
    'augmentation.medianFilterSize: expected [low, high] with low <= high',
    'augmentation.gamaRange: there is no such option, did you mean gammaRange?',
  ])
  expect(faultsOf({ augmentation: { preset: 'da5', blurProbability: 0.95 } })).toEqual([
    'augmentation: blurProbability and medianFilterProbability exclude each other and may sum to 1 at most',
  ])
  expect(faultsOf({ augmentation: { preset: 'default', blurProbability: 0.95 } })).toEqual([])
})

test('nearest finds typing errors and nothing far away', () => {
  expect(nearest('epocs', ['steps', 'epochs'])).toBe('epochs')
  expect(nearest('weightdecay', ['weightDecay'])).toBe('weightDecay')
  expect(nearest('zzz', ['steps', 'epochs'])).toBeUndefined()
  expect(nearest('2d', ['a', 'orphan'])).toBeUndefined()
})
