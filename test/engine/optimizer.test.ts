// The optimizers in a trainer: PyTorch's own state in checkpoints, resuming, skipped steps, clipping. Their updates are
// compared with PyTorch's in network.test.ts.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { NativeTrainer, OptimizerConfig, TrainerConfig } from '../../src/native/binding.js'
import { native } from '../../src/native/load.js'
import { failureOf, temporaryFolder } from '../io/support.js'
import { ordinary, overflowing, smallConfig, writeCase } from './preprocessed-cases.js'
import { type NetworkShape, trainerConfig } from './trainer-config.js'

const folder = temporaryFolder()
const goldens = fileURLToPath(new URL('../goldens/networks', import.meta.url))
const trainers: NativeTrainer[] = []

beforeAll(async () => {
  await writeCase(folder, 'good', ordinary)
  await writeCase(folder, 'bad', overflowing)
})
afterEach(async () => {
  await Promise.all(trainers.splice(0).map((trainer) => trainer.dispose()))
})

async function openTrainer(config: TrainerConfig): Promise<NativeTrainer> {
  const trainer = await native().createTrainer(config)
  trainers.push(trainer)
  return trainer
}
async function openSmall(optimizer: Partial<OptimizerConfig>, training = ['good']): Promise<NativeTrainer> {
  const trainer = await openTrainer({ ...smallConfig, optimizer: { ...smallConfig.optimizer, ...optimizer } })
  await trainer.loadCases({ folder, training, validation: [], labels: [0, 1, 2] })
  return trainer
}
const train = (trainer: NativeTrainer, steps: number) =>
  trainer.runTraining({ learningRates: new Float64Array(steps).fill(0.01) })

interface Saved {
  optimizer_state: { state: Record<string, Record<string, { data: Float32Array }>>; param_groups: object[] }
}
let files = 0
async function save(trainer: NativeTrainer): Promise<string> {
  const file = `${folder}/${files++}.pth`
  await native().writeCheckpoint(file, await trainer.captureCheckpoint({ entries: {}, learningRate: 0.01 }))
  return file
}
const read = async (file: string) => (await native().readTorchFile(file)) as unknown as Saved

describe.each(['adam2d', 'adamw2d', 'adan2d'])("PyTorch's state of %s", (name) => {
  const shape = JSON.parse(readFileSync(`${goldens}/${name}.json`, 'utf8')) as NetworkShape

  it('is read and written as it was', async () => {
    const trainer = await openTrainer(trainerConfig(shape))
    const theirs = `${goldens}/${name}_end.pth`
    await trainer.loadCheckpoint({ path: theirs, what: 'everything' })
    const [ours, expected] = [await read(await save(trainer)), await read(theirs)]
    expect(ours.optimizer_state.state).toEqual(expected.optimizer_state.state)
    const [group, theirGroup] = [ours, expected].map(({ optimizer_state }) => optimizer_state.param_groups[0])
    expect({ ...group, lr: 0 }).toEqual({ ...theirGroup, lr: 0 })
    expect(Object.keys(group as object)).toEqual(Object.keys(theirGroup as object))
  })

  it('is refused by another optimizer, which then is as it was', async () => {
    const { optimizer, ...sgd } = shape
    const trainer = await openTrainer(trainerConfig(sgd))
    const before = await read(await save(trainer))
    const path = `${goldens}/${name}_end.pth`
    const error = await failureOf(() => trainer.loadCheckpoint({ path, what: 'everything' }))
    expect(error.code).toBe('ERR_CHECKPOINT_MISFIT')
    expect(error.message).toMatch(/lacks momentum_buffer: another optimizer than optimizer.kind sgd made it/)
    expect(await read(await save(trainer))).toEqual(before)
  })
})

describe.each([
  ['sgd', { kind: 'sgd' }],
  ['adam', { kind: 'adam' }],
  ['adamw with amsgrad', { kind: 'adamw', amsgrad: true }],
  ['adan', { kind: 'adan' }],
] as const)('%s', (_, optimizer) => {
  it('goes on from a checkpoint as if it had not stopped', async () => {
    const whole = await openSmall(optimizer)
    await train(whole, 6)
    const first = await openSmall(optimizer)
    await train(first, 3)
    const second = await openSmall(optimizer)
    await second.loadCheckpoint({ path: await save(first), what: 'everything' })
    second.setPosition({ step: 3, redraws: 0 })
    await train(second, 3)
    expect(await read(await save(second))).toEqual(await read(await save(whole)))
  })

  it('does not count a step that is skipped', async () => {
    const trainer = await openSmall(optimizer, ['good', 'bad'])
    const { skipped } = await train(trainer, 12)
    const taken = skipped.filter((flag) => flag === 0).length
    expect(taken).toBeGreaterThan(0)
    expect(taken).toBeLessThan(12)
    const { state } = (await read(await save(trainer))).optimizer_state
    for (const entry of Object.values(state)) {
      const { step, ...tensors } = entry
      // Adan's is a number.
      if (step) expect(typeof step === 'number' ? [step] : [...step.data]).toEqual([taken])
      for (const { data } of Object.values(tensors)) expect(data.every(Number.isFinite)).toBe(true)
    }
  })
})

it('clips by the norm, or not at all', async () => {
  const after = async (clipNorm: number) => {
    const trainer = await openSmall({ clipNorm, weightDecay: 0 })
    const { gradientNorm } = await train(trainer, 1)
    return { norm: gradientNorm[0] as number, saved: await read(await save(trainer)) }
  }
  const unclipped = await after(Number.POSITIVE_INFINITY)
  expect(await after(1e9)).toEqual(unclipped)
  const clipped = await after(unclipped.norm / 4)
  expect(clipped.norm).toBe(unclipped.norm)
  // The first momentum is the gradient.
  for (const [index, { momentum_buffer: buffer }] of Object.entries(unclipped.saved.optimizer_state.state)) {
    const divided = clipped.saved.optimizer_state.state[index]?.momentum_buffer?.data
    for (const [i, value] of (buffer?.data ?? []).entries()) expect(divided?.[i]).toBeCloseTo(value / 4, 6)
  }
})

it('an unknown kind is refused', async () => {
  const optimizer = { ...smallConfig.optimizer, kind: 'adagrad' } as unknown as OptimizerConfig
  await expect(native().createTrainer({ ...smallConfig, optimizer })).rejects.toThrow(
    /^optimizer.kind: expected sgd, adam, adamw or adan, found adagrad$/,
  )
})
