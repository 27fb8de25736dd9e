// Dropout in a trainer: in training steps alone, by address, with the probability of the plans.
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

async function openTrainer(dropoutProbability: number): Promise<NativeTrainer> {
  const network = { ...smallConfig.network, hasDropout: true, dropoutProbability }
  const trainer = await native().createTrainer({ ...smallConfig, network })
  trainers.push(trainer)
  await trainer.loadCases({ folder, training: ['case'], validation: ['case'], labels: [0, 1, 2] })
  return trainer
}
const train = async (trainer: NativeTrainer, steps: number) => [
  ...(await trainer.runTraining({ learningRates: new Float64Array(steps).fill(0.01) })).loss,
]
const validate = async (trainer: NativeTrainer) => [...(await trainer.runValidation({ steps: 2 })).loss]

it('drops in training and not in validation', async () => {
  const [without, dropping] = [await openTrainer(0), await openTrainer(0.5)]
  expect(await validate(dropping)).toEqual(await validate(without))
  const [plain, dropped] = [await train(without, 3), await train(dropping, 3)]
  for (const [step, loss] of dropped.entries()) expect(loss).not.toBe(plain[step])
})

it('draws by the step, wherever a run was cut', async () => {
  const whole = await train(await openTrainer(0.5), 4)
  const parts = await openTrainer(0.5)
  expect([...(await train(parts, 2)), ...(await train(parts, 2))]).toEqual(whole)
  const other = await openTrainer(0.5)
  other.setPosition({ step: 0, redraws: 1 })
  expect(await train(other, 4)).not.toEqual(whole)
})

it.each([1, -0.1])('a probability of %d is refused', async (probability) => {
  await expect(openTrainer(probability)).rejects.toThrow(/dropoutProbability of at least 0 and below 1/)
})
