// The native trainer as an object: its configuration's contract, one job at a time, an end that frees it.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { NativeTrainer } from '../../src/native/binding.js'
import { native } from '../../src/native/load.js'
import { smallConfig, smallShape } from './preprocessed-cases.js'
import { trainerConfig } from './trainer-config.js'

/** Names and types of a value's fields, in the form of describeConfig(). */
function describeValue(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(describeValue)
  if (typeof value !== 'object' || value === null) return typeof value
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, describeValue(field)]))
}

describe('configuration', () => {
  it('has the same fields in TypeScript and in C++', () => {
    expect(describeValue(smallConfig)).toEqual(native().describeConfig())
  })

  it.each([
    ['a missing field', { optimizer: { kind: 'sgd', momentum: 0.9 } }, /^optimizer\.nesterov is missing$/],
    ['a field of another type', { threads: 'two' }, /^threads: expected a number, found two$/],
    ['a field that the engine does not know', { batches: 2 }, /fields that the engine does not know/],
    ['a seed that is no number', { seed: '-1' }, /^seed: expected an integer from 0/],
    ['a device that is not there', { device: 'tpu' }, /^device: expected cpu, cuda or cuda:N, found tpu$/],
    ['half precision on the CPU', { precision: 'float16' }, /^precision: the CPU trains in float32/],
    ['no thread', { threads: 0 }, /^threads: expected at least 1/],
  ])('%s is one error that names it', async (_, change, message) => {
    const config = { ...smallConfig, ...(change as object) }
    await expect(native().createTrainer(config)).rejects.toThrow(message)
  })

  it('refuses lists that do not fit the stages', async () => {
    const config = trainerConfig({ ...smallShape, strides: [[1, 1, 1]] })
    await expect(native().createTrainer(config)).rejects.toThrow(/network: .*one entry a stage/)
    const heads = trainerConfig({ ...smallShape, deepSupervisionWeights: [0.5, 0.5] })
    await expect(native().createTrainer(heads)).rejects.toThrow(/deepSupervisionWeights: expected 1 entries, found 2/)
  })
})

describe('jobs', () => {
  let trainer: NativeTrainer
  const image = { data: new Float32Array(24 ** 3), shape: [1, 24, 24, 24] as [number, number, number, number] }
  const window = { tileStep: 0.1, gaussian: true, mirrorAxes: [0, 1, 2] }

  beforeAll(async () => {
    trainer = await native().createTrainer(smallConfig)
  })
  afterAll(() => trainer.dispose())

  it('needs cases to train', async () => {
    await expect(trainer.runTraining({ learningRates: new Float64Array([0.01]) })).rejects.toMatchObject({
      code: 'ERR_DATASET',
    })
  })

  it('runs one at a time, shows how far it is, and stops when told', async () => {
    const running = trainer.predict({ ...window, image })
    const ended = expect(running).rejects.toMatchObject({ code: 'ERR_STOPPED' })
    await expect(trainer.predict({ ...window, image })).rejects.toMatchObject({ code: 'ERR_BUSY' })
    while (trainer.snapshot().done < 1) await new Promise((resolve) => setTimeout(resolve, 5))
    expect(trainer.snapshot()).toMatchObject({ job: 'prediction' })
    expect(trainer.snapshot().total).toBeGreaterThan(100)
    trainer.stop()
    await ended
    expect(trainer.snapshot().job).toBe('idle')
  })

  it('predicts every voxel', async () => {
    const logits = await trainer.predict({ tileStep: 1, gaussian: true, mirrorAxes: [], image })
    expect(logits.shape).toEqual([3, 24, 24, 24])
    expect(logits.data.every(Number.isFinite)).toBe(true)
  })

  it('is gone after dispose, also in the middle of a job', async () => {
    const other = await native().createTrainer(smallConfig)
    const running = expect(other.predict({ ...window, image })).rejects.toMatchObject({ code: 'ERR_STOPPED' })
    await other.dispose()
    await running
    await other.dispose()
    await expect(other.runValidation({ steps: 1 })).rejects.toMatchObject({ code: 'ERR_DISPOSED' })
    expect(other.snapshot().job).toBe('idle')
  })
})
