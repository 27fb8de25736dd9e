// The engine's measurements: parts that add up to their step, batches held or fresh, and counts that are exact.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { layersOf } from '../../src/bench/roofline.js'
import type { NativeTrainer, OperatorCount, StepCounts } from '../../src/native/binding.js'
import { native } from '../../src/native/load.js'
import { trainerConfig } from './trainer-config.js'

const config = trainerConfig({
  featuresPerStage: [4, 8, 16],
  kernelSizes: [
    [3, 3, 3],
    [3, 3, 3],
    [3, 3, 3],
  ],
  strides: [
    [1, 1, 1],
    [2, 2, 2],
    [2, 2, 2],
  ],
  inputChannels: 1,
  outputChannels: 3,
  patchSize: [16, 16, 16],
  batchSize: 2,
  batchDice: false,
  deepSupervisionWeights: [1, 0],
})
// One head has weight 0, and is not computed.
const computed = layersOf(config).length - 1
const decoderLevels = config.network.featuresPerStage.length - 1

let trainer: NativeTrainer
let counts: StepCounts
beforeAll(async () => {
  trainer = await native().createTrainer(config)
  await trainer.benchmark({ what: 'cases', count: 2, shape: [20, 20, 20] })
  await trainer.benchmark({ what: 'training', steps: 2, held: false })
  counts = await trainer.benchmark({ what: 'counts' })
})
afterAll(() => trainer.dispose())

const callsOf = (operators: OperatorCount[], pattern: RegExp) =>
  operators.filter(({ name }) => pattern.test(name)).reduce((sum, { calls }) => sum + calls, 0)

test.each([
  ['training', ['backward', 'data', 'forward', 'loss', 'optimizer']],
  ['validation', ['data', 'forward', 'loss', 'pseudo_dice']],
] as const)('%s: the parts add up to the step', async (what, names) => {
  const { step, parts } = await trainer.benchmark({ what, steps: 5, held: false })
  expect(step).toHaveLength(5)
  expect(Object.keys(parts).sort()).toEqual(names)
  for (const [index, ms] of step.entries()) {
    const sum = Object.values(parts).reduce((total, part) => total + (part[index] as number), 0)
    expect(sum).toBeGreaterThan(0)
    // What is left is the write into the chunk's history.
    expect(sum).toBeLessThanOrEqual(ms * 1.0001)
  }
})

test('a held batch is made once: no step draws or cuts one', async () => {
  const fresh = await trainer.benchmark({ what: 'training', steps: 20, held: false })
  const held = await trainer.benchmark({ what: 'training', steps: 20, held: true })
  const least = ({ parts }: typeof held) => Math.min(...(parts.data as Float32Array))
  expect(least(held)).toBeLessThan(least(fresh) / 10)
})

test('batches alone are timed without a step', async () => {
  const { step, parts } = await trainer.benchmark({ what: 'batches', first: 3, steps: 4 })
  expect(step).toHaveLength(4)
  expect(Object.keys(parts)).toEqual(['data'])
})

// A decoder level's first convolution has a gradient for each of its two inputs.
test('counting sees every convolution of the network, forward and backward, once', () => {
  expect(callsOf(counts.training, /conv(?!.*backward)/)).toBe(computed)
  expect(callsOf(counts.training, /conv.*backward/)).toBe(computed + decoderLevels)
  expect(callsOf(counts.validation, /conv(?!.*backward)/)).toBe(computed)
  expect(callsOf(counts.validation, /backward/)).toBe(0)
  const views = /::(view|as_strided|select|slice|permute|transpose|empty|empty_like|detach|expand)$/
  expect(callsOf([...counts.training, ...counts.validation], views)).toBe(0)
})

test('counts repeat exactly, and a step keeps nothing', async () => {
  const again = await trainer.benchmark({ what: 'counts' })
  const exact = (list: OperatorCount[]) => list.map(({ name, calls, bytes }) => ({ name, calls, bytes }))
  expect(exact(again.training)).toEqual(exact(counts.training))
  expect(exact(again.validation)).toEqual(exact(counts.validation))
  expect(again.allocations).toEqual(counts.allocations)
  expect(counts.allocations.growth).toBe(0)
  expect(counts.allocations.segments).toBe(0)
  expect(counts.allocations.allocations).toBeGreaterThan(0)
  expect(counts.allocations.peak).toBeLessThanOrEqual(counts.allocations.bytes)
})

test('each part alone, as often as asked', async () => {
  const times = await trainer.benchmark({ what: 'parts', runs: 3 })
  expect(Object.keys(times).sort()).toEqual(['loss', 'network', 'norm', 'optimizer', 'pseudo_dice'])
  for (const ms of Object.values(times)) {
    expect(ms).toHaveLength(3)
    expect(Math.min(...ms)).toBeGreaterThan(0)
  }
})

test('ceilings are those of a computer', async () => {
  const { flopPerSecond, bytesPerSecond } = await trainer.benchmark({ what: 'ceilings' })
  expect(flopPerSecond).toBeGreaterThan(1e8)
  expect(flopPerSecond).toBeLessThan(1e14)
  expect(bytesPerSecond).toBeGreaterThan(1e8)
  expect(bytesPerSecond).toBeLessThan(1e12)
})

test('random cases have every label, region and ignore label of the configuration', async () => {
  const regions = trainerConfig({
    ...{
      featuresPerStage: [4, 8],
      kernelSizes: [
        [3, 3],
        [3, 3],
      ],
      strides: [
        [1, 1],
        [2, 2],
      ],
    },
    ...{ inputChannels: 4, previousStageLabels: 2, outputChannels: 2, patchSize: [16, 16], batchSize: 2 },
    ...{ batchDice: true, deepSupervisionWeights: [1] },
    labels: { outputs: [[1, 2], [2]], overlapping: true, ignoreLabel: 3 },
  })
  const other = await native().createTrainer(regions)
  try {
    await other.benchmark({ what: 'cases', count: 2, shape: [3, 20, 20] })
    const { loss } = await other.runTraining({ learningRates: Float64Array.of(0.01, 0.01) })
    expect([...loss].every(Number.isFinite)).toBe(true)
    const { truePositives, falseNegatives } = await other.runValidation({ steps: 4 })
    for (const index of [0, 1]) expect((truePositives[index] ?? 0) + (falseNegatives[index] ?? 0)).toBeGreaterThan(0)
  } finally {
    await other.dispose()
  }
})
