// Samples dealt to threads: when they are, that a run repeats itself bit by bit, and that it differs from one thread by
// rounding alone. test/engine/network.test.ts compares the same with nnU-Net's numbers.
import { afterEach, beforeAll, expect, it } from 'vitest'
import type { NativeTrainer } from '../../src/native/binding.js'
import { native } from '../../src/native/load.js'
import { temporaryFolder } from '../io/support.js'
import { ordinary, smallConfig, writeCase } from './preprocessed-cases.js'

const folder = temporaryFolder()
const trainers: NativeTrainer[] = []

beforeAll(() => writeCase(folder, 'case', ordinary))
afterEach(async () => {
  await Promise.all(trainers.splice(0).map((trainer) => trainer.dispose()))
})

async function openTrainer(batchSize: number, threads: number, dropoutProbability: number): Promise<NativeTrainer> {
  const network = { ...smallConfig.network, hasDropout: true, dropoutProbability }
  const trainer = await native().createTrainer({ ...smallConfig, network, batchSize, threads })
  trainers.push(trainer)
  await trainer.loadCases({ folder, training: ['case'], validation: ['case'], labels: [0, 1, 2] })
  return trainer
}

async function train(trainer: NativeTrainer): Promise<number[]> {
  const training = await trainer.runTraining({ learningRates: new Float64Array(3).fill(0.01) })
  return [...training.loss, ...training.gradientNorm, ...(await trainer.runValidation({ steps: 2 })).loss]
}

/** Convolutions of a training step: each worker has its own. */
async function convolutions(trainer: NativeTrainer): Promise<number> {
  const { training } = await trainer.benchmark({ what: 'counts' })
  return training.find(({ name }) => name === 'aten::mkldnn_convolution')?.calls ?? 0
}

it.each([
  [2, 2, 2],
  [9, 2, 2], // busy 90 % of the time
  [5, 3, 3], // 83 %
  [3, 2, 1], // 75 %
  [2, 3, 1], // 67 %
  [2, 1, 1],
])('a batch of %d and %d threads: %d take samples', async (batchSize, threads, workers) => {
  const alone = await convolutions(await openTrainer(1, 1, 0))
  expect(alone).toBeGreaterThan(0)
  expect(await convolutions(await openTrainer(batchSize, threads, 0))).toBe(workers * alone)
})

it.each([
  [0, 4, 2],
  [0.3, 4, 2],
  [0.3, 5, 3], // shares of two, two and one
])('with a dropout of %d, a batch of %d and %d threads', async (dropout, batchSize, threads) => {
  const one = await train(await openTrainer(batchSize, 1, dropout))
  const dealt = await train(await openTrainer(batchSize, threads, dropout))
  expect(await train(await openTrainer(batchSize, threads, dropout))).toEqual(dealt)
  expect(dealt).not.toEqual(one)
  for (const [index, value] of dealt.entries()) expect(Math.abs(value / (one[index] as number) - 1)).toBeLessThan(1e-4)
})
