// Steps that are not finite change nothing, and as many in a row as allowed end the job; positions and their draws.
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { NativeTrainer, TrainingChunk } from '../../src/native/binding.js'
import { native } from '../../src/native/load.js'
import { temporaryFolder } from '../io/support.js'
import { ordinary, overflowing, smallConfig, writeCase } from './preprocessed-cases.js'

const folder = temporaryFolder()
const trainers: NativeTrainer[] = []

async function openTrainer(training: string[]): Promise<NativeTrainer> {
  const config = { ...smallConfig, augmentation: { ...smallConfig.augmentation, enabled: false } }
  const trainer = await native().createTrainer(config)
  trainers.push(trainer)
  await trainer.loadCases({ folder, training, validation: ['good'], labels: [0, 1, 2] })
  return trainer
}

/** Some steps at one rate. */
const steps = (count: number, rate = 0.01) => ({ learningRates: new Float64Array(count).fill(rate) })
/** All that training changes. */
const state = async (trainer: NativeTrainer) => {
  const file = `${folder}/state.pth`
  await native().writeCheckpoint(file, await trainer.captureCheckpoint({ entries: {}, learningRate: 0 }))
  return native().readTorchFile(file)
}

beforeAll(async () => {
  await writeCase(folder, 'good', ordinary)
  await writeCase(folder, 'bad', overflowing)
})
afterEach(async () => {
  await Promise.all(trainers.splice(0).map((trainer) => trainer.dispose()))
})

describe('a step whose loss is not finite', () => {
  it('leaves weights and momentum as they are, and the others go on', async () => {
    const trainer = await openTrainer(['good', 'bad'])
    const chunk = await trainer.runTraining(steps(12))
    expect(chunk).toMatchObject({ reason: 'completed', steps: 12 })
    const skipped = [...chunk.skipped]
    expect(new Set(skipped)).toEqual(new Set([0, 1]))
    expect([...chunk.loss].map((loss) => (Number.isFinite(loss) ? 0 : 1))).toEqual(skipped)
    // Each step alone: the state changes exactly where it was not skipped.
    const again = await openTrainer(['good', 'bad'])
    await again.runTraining(steps(1))
    let before = await state(again)
    for (let step = 1; step < 12; step++) {
      const { loss } = await again.runTraining(steps(1))
      expect(loss[0]).toBe(chunk.loss[step])
      const after = await state(again)
      if (skipped[step] === 1) expect(after).toEqual(before)
      else expect(after).not.toEqual(before)
      before = after
    }
    expect(await state(trainer)).toEqual(before)
  })

  it('ends the job after as many in a row as it allows, at once on the CPU', async () => {
    const trainer = await openTrainer(['bad'])
    const chunk = await trainer.runTraining({ ...steps(10), mostSkipped: 3 })
    expect(chunk).toMatchObject({ reason: 'non_finite', firstStep: 0, steps: 3 })
    expect([...chunk.skipped]).toEqual([1, 1, 1])
    expect(trainer.snapshot().step).toBe(3)
    expect(await trainer.runTraining(steps(4))).toMatchObject({ reason: 'completed', firstStep: 3, steps: 4 })
    await expect(async () => trainer.runTraining({ ...steps(1), mostSkipped: 0 })).rejects.toThrow(/mostSkipped/)
  })

  it('counts only those in a row', async () => {
    const { skipped } = await (await openTrainer(['good', 'bad'])).runTraining(steps(12))
    const longest = Math.max(
      ...[...skipped]
        .join('')
        .split('0')
        .map((run) => run.length),
    )
    const allowed = await (await openTrainer(['good', 'bad'])).runTraining({ ...steps(12), mostSkipped: longest + 1 })
    expect(allowed.reason).toBe('completed')
    const refused = await (await openTrainer(['good', 'bad'])).runTraining({ ...steps(12), mostSkipped: longest })
    expect(refused.reason).toBe('non_finite')
    expect(refused.steps).toBe([...skipped].join('').indexOf('1'.repeat(longest)) + longest)
  })
})

it('tells the time of the batch as a part of the step', async () => {
  const { stepMs, dataMs } = await (await openTrainer(['good'])).runTraining(steps(5))
  expect(dataMs).toHaveLength(5)
  for (let i = 0; i < 5; i++) {
    expect(dataMs[i]).toBeGreaterThan(0)
    expect(dataMs[i]).toBeLessThan(stepMs[i] as number)
  }
})

describe('a position', () => {
  const run = async (position: { step: number; redraws: number } | undefined): Promise<[TrainingChunk, number[]]> => {
    const trainer = await openTrainer(['good'])
    if (position !== undefined) trainer.setPosition(position)
    // A rate of 0: the losses tell of the draws alone.
    const chunk = await trainer.runTraining(steps(6, 0))
    trainer.setPosition({ step: 0, redraws: position?.redraws ?? 0 })
    return [chunk, [...(await trainer.runValidation({ steps: 3 })).loss]]
  }

  it('has the draws of its step and its number of reloads; those of validation stay', async () => {
    const [first, validation] = await run(undefined)
    expect((await run({ step: 0, redraws: 0 }))[0].loss).toEqual(first.loss)
    const [later] = await run({ step: 2, redraws: 0 })
    expect(later.firstStep).toBe(2)
    expect(later.loss.subarray(0, 4)).toEqual(first.loss.subarray(2))
    const [redrawn, sameValidation] = await run({ step: 0, redraws: 1 })
    expect(redrawn.loss.filter((loss, i) => loss === first.loss[i])).toHaveLength(0)
    expect(sameValidation).toEqual(validation)
    expect((await run({ step: 0, redraws: 1 }))[0].loss).toEqual(redrawn.loss)
    expect((await run({ step: 0, redraws: 2 }))[0].loss).not.toEqual(redrawn.loss)
  })

  it('cannot change while a job runs', async () => {
    const trainer = await openTrainer(['good'])
    const running = trainer.runTraining(steps(3))
    expect(() => trainer.setPosition({ step: 0, redraws: 1 })).toThrow(/while a job runs/)
    await running
  })
})

it('has no device memory on the CPU', async () => {
  expect((await openTrainer([])).deviceMemory()).toBeNull()
})
