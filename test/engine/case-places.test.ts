// Cases kept in memory and on disk: the same steps from either, little changed by float16, and files that go away.
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { NativeTrainer } from '../../src/native/binding.js'
import { native } from '../../src/native/load.js'
import { failureOf, temporaryFolder } from '../io/support.js'
import { ordinary, overflowing, smallConfig, writeCase } from './preprocessed-cases.js'

const folder = temporaryFolder()
const ids = ['a', 'b', 'c']
const trainers: NativeTrainer[] = []

type Job = Partial<Parameters<NativeTrainer['loadCases']>[0]>

async function open(job: Job): Promise<NativeTrainer> {
  const trainer = await native().createTrainer(smallConfig)
  trainers.push(trainer)
  const storage = await trainer.loadCases({ folder, training: ids, validation: ids, labels: [0, 1, 2], ...job })
  expect(storage.place).toBe(job.place ?? 'device')
  return trainer
}

const rates = (steps: number, rate = 0.01) => ({ learningRates: new Float64Array(steps).fill(rate) })

/** Losses of 20 steps, and of validation after them. */
async function losses(job: Job, rate?: number): Promise<{ training: number[]; validation: number[] }> {
  const trainer = await open(job)
  const training = [...(await trainer.runTraining(rates(20, rate))).loss]
  return { training, validation: [...(await trainer.runValidation({ steps: 5 })).loss] }
}

const largestDifference = (a: number[], b: number[]) =>
  Math.max(...a.map((value, i) => Math.abs(value - (b[i] as number))))

beforeAll(async () => {
  for (const [index, id] of ids.entries()) {
    await writeCase(folder, id, (label, at) => ordinary(label, at) + 0.2 * index)
  }
})
afterEach(async () => {
  await Promise.all(trainers.splice(0).map((trainer) => trainer.dispose()))
})

describe('the place of the cases', () => {
  it('changes nothing', async () => {
    const expected = await losses({})
    expect(await losses({ place: 'disk' })).toEqual(expected)
    const host = await native().createTrainer(smallConfig)
    trainers.push(host)
    // On the CPU that is the same memory.
    const job = { folder, training: ids, validation: ids, labels: [0, 1, 2], place: 'host' as const }
    expect((await host.loadCases(job)).place).toBe('device')
  })

  it('follows from the memory that is free', async () => {
    const trainer = await native().createTrainer(smallConfig)
    trainers.push(trainer)
    const load = (freeHostMemory: number, half: boolean) =>
      trainer.loadCases({ folder, training: ids, validation: ['a'], labels: [0, 1, 2], freeHostMemory, half })
    // 12^3 voxels with a label of one byte; images of validation are float32.
    const bytes = (3 * (2 + 1) + 4 + 1) * 12 ** 3
    expect(await load(2 * bytes, true)).toEqual({ place: 'device', bytes, free: 2 * bytes })
    expect(await load(2 * bytes - 1, true)).toEqual({ place: 'disk', bytes, free: 2 * bytes - 1 })
    expect(await load(2 * bytes, false)).toEqual({ place: 'disk', bytes: 4 * 5 * 12 ** 3, free: 2 * bytes })
  })

  it('is refused if there is none of that name', async () => {
    const error = await failureOf(() => open({ place: 'cloud' as 'disk' }))
    expect(error.code).toBe('ERR_CONFIG')
    expect(error.message).toBe('data.place: expected auto, device, host or disk, found cloud')
  })
})

describe('images as float16', () => {
  // Tolerances: docs/numerics.md.
  it.each([
    [0, 2e-4],
    [0.01, 2e-2],
  ])('give nearly the same losses at a rate of %s, from memory and disk the same', async (rate, tolerance) => {
    const exact = await losses({}, rate)
    const half = await losses({ half: true }, rate)
    expect(await losses({ half: true, place: 'disk' }, rate)).toEqual(half)
    expect(half.training).not.toEqual(exact.training)
    expect(largestDifference(half.training, exact.training)).toBeLessThan(tolerance)
    expect(largestDifference(half.validation, exact.validation)).toBeLessThan(tolerance)
  })

  it('are of training alone', async () => {
    const evaluate = async (half: boolean) => {
      const trainer = await open({ half })
      return [...(await trainer.runValidation({ steps: 5 })).loss]
    }
    expect(await evaluate(true)).toEqual(await evaluate(false))
  })

  it.each(['device', 'disk'] as const)('are refused on %s where a value is too large', async (place) => {
    await writeCase(folder, 'large', overflowing)
    const error = await failureOf(async () =>
      (await open({ training: ['large'], half: true, place })).runTraining(rates(1)),
    )
    expect(error.code).toBe('ERR_PREPROCESSED')
    expect(error.message).toMatch(/^case large in .*values above 65504.*Set data.storage to float32\.$/)
  })
})

describe('a case on disk', () => {
  const image = path.join(folder, 'b.b2nd')
  const damages: [string, () => void, RegExp][] = [
    ['that vanishes', () => renameSync(image, `${image}.away`), /^cannot open .*b\.b2nd: No such file/],
    ['that is damaged', () => writeFileSync(image, readFileSync(image).subarray(0, 200)), /b\.b2nd is not a usable/],
  ]
  it.each(damages)('%s ends the job after its last step', async (_, damage, message) => {
    const bytes = readFileSync(image)
    const expected = (await (await open({})).runTraining(rates(60))).loss
    const trainer = await open({ place: 'disk' })
    await trainer.runTraining(rates(5))
    const running = trainer.runTraining(rates(55))
    damage()
    try {
      const { reason, steps, loss } = await running.catch(() => ({
        reason: 'stopped',
        steps: 0,
        loss: new Float32Array(),
      }))
      expect(reason).toBe('stopped')
      expect(steps).toBeLessThan(55)
      expect(loss).toEqual(expected.subarray(5, 5 + steps))
      const error = await failureOf(() => trainer.runTraining(rates(55 - steps)))
      expect(error.code).toBe('ERR_FORMAT')
      expect(error.message).toMatch(message)
      // It is read again where it is there again.
      writeFileSync(image, bytes)
      const rest = await trainer.runTraining(rates(55 - steps))
      expect(rest.loss).toEqual(expected.subarray(5 + steps))
    } finally {
      writeFileSync(image, bytes)
    }
  })

  it('is not read before it is needed', async () => {
    await writeCase(folder, 'bare', ordinary)
    rmSync(path.join(folder, 'bare.pkl'))
    const bare = { training: ['bare'], validation: ['bare'] }
    const error = await failureOf(() => open(bare))
    expect(error.message).toMatch(/^cannot open .*bare\.pkl/)
    const trainer = await open({ ...bare, place: 'disk' })
    for (const job of [() => trainer.runTraining(rates(3)), () => trainer.runValidation({ steps: 3 })]) {
      expect((await failureOf(job)).message).toBe(error.message)
    }
  })
})
