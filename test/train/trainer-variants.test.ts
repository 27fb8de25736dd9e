// Options in place of nnU-Net's trainer classes that change what a checkpoint holds, in whole runs: batch norm's running
// statistics, Adan's state, the mirrored axes.
import { existsSync, rmSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { TrainInput } from '../../src/config/schema.js'
import type { FloatTensor, NativeTrainer, PredictionJob, TrainerConfig } from '../../src/native/binding.js'
import { native } from '../../src/native/load.js'
import { plan } from '../../src/plan/plan.js'
import { predict, resume, train } from '../../src/train/jobs.js'
import { outcomeOf } from './run-files.js'
import { makeSmallDataset, type SmallDataset, smallRun, writeLeastPlans } from './small-dataset.js'

let dataset: SmallDataset
beforeAll(async () => {
  dataset = await makeSmallDataset()
  await plan({ dataset: '9', folders: dataset.folders, preset: 'tiny' })
  writeLeastPlans(dataset)
})
afterAll(() => rmSync(dataset.root, { recursive: true, force: true }))

const folderOf = (name: string) => path.join(dataset.root, name)
const least = (run: string, changes: Partial<TrainInput>) =>
  smallRun(dataset, { plans: 'nnUNetPlansLeast', validateAtEnd: false, run: folderOf(run), ...changes })

interface Checkpoint {
  network_weights: Record<string, FloatTensor>
  optimizer_state: { state: Record<string, Record<string, unknown>> }
  trainer_name: string
  inference_allowed_mirroring_axes: number[]
}
const read = async (folder: string, name = 'final') =>
  (await native().readTorchFile(path.join(folder, `checkpoint_${name}.pth`))) as unknown as Checkpoint

/** The axes of each prediction since it was emptied. */
const predictedAxes: number[][] = vi.hoisted(() => [])

vi.mock('../../src/native/load.js', async (importOriginal) => {
  const original = await importOriginal<typeof import('../../src/native/load.js')>()
  const watch = (trainer: NativeTrainer) =>
    new Proxy(trainer, {
      get: (target, name) => {
        const value = Reflect.get(target, name) as unknown
        if (name !== 'predict' && name !== 'predictCase') return value
        return (job: PredictionJob) => {
          predictedAxes.push(job.mirrorAxes)
          return (value as (job: PredictionJob) => unknown)(job)
        }
      },
    })
  const watched = new Proxy(original.native(), {
    get: (target, name) =>
      name === 'createTrainer'
        ? async (config: TrainerConfig) => watch(await target.createTrainer(config))
        : (Reflect.get(target, name) as unknown),
  })
  return { ...original, native: () => watched }
})

const isStatistic = (name: string) => /running_(mean|var)$/.test(name)

describe.each([
  ['batch norm', { network: { normalization: 'batch' } }, 'nnUNetTrainerBN'],
  ['Adan', { optimizer: { kind: 'adan', initialLr: 1e-3 } }, 'nnUNetTrainer'],
] as const)('a run with %s', (name, changes, trainer) => {
  test('goes on where it was stopped, bit for bit, and names the class that nnU-Net needs', async () => {
    const whole = await train(least(`${name} whole`, changes)).finished
    const run = train(least(`${name} stopped`, changes))
    for await (const event of run) if (event.type === 'epoch' && event.epoch === 0) run.stop()
    const stopped = await run.finished
    expect(stopped.status).toBe('stopped')
    await resume({ run: stopped.folder }).finished
    expect(await outcomeOf(stopped.folder)).toEqual(await outcomeOf(whole.folder))
    expect(await read(whole.folder)).toMatchObject({ trainer_name: trainer })
  })
})

test('running statistics move in training alone, are kept in fine-tuning, and predict', async () => {
  const batch = { network: { normalization: 'batch' } } as const
  const { folder } = await train(least('source', batch)).finished
  const { network_weights: source } = await read(folder)
  const counts = Object.entries(source).filter(([name]) => name.endsWith('num_batches_tracked'))
  expect(counts.length).toBeGreaterThan(0)
  for (const [, { data }] of counts) expect([...data].map(Number)).toEqual([12])
  for (const [name, { data }] of Object.entries(source).filter(([key]) => isStatistic(key))) {
    const start = name.endsWith('mean') ? 0 : 1
    expect(
      data.every((value) => Number.isFinite(value) && value !== start),
      name,
    ).toBe(true)
  }

  // One step moves them by a tenth towards the batch's.
  const pretrained = path.join(folder, 'checkpoint_final.pth')
  const budget = { epochs: 1, stepsPerEpoch: 1, valSteps: 3 }
  const frozen = { ...batch, budget, pretrained, optimizer: { initialLr: 1e-30 } }
  const tuned = (await read((await train(least('tuned', frozen)).finished).folder)).network_weights
  for (const [name, { data }] of Object.entries(tuned)) {
    if (name.endsWith('num_batches_tracked')) expect([...data].map(Number)).toEqual([13])
    const before = source[name]?.data as Float32Array
    if (name.endsWith('running_var'))
      expect(data.every((value, i) => value >= 0.9 * (before[i] ?? 0) - 1e-6)).toBe(true)
    if (isStatistic(name)) expect(data).not.toEqual(before)
  }

  const output = folderOf('predicted')
  await predict({ input: dataset.images, output, run: folder, threads: 1 }).finished
  expect(existsSync(path.join(output, 'box_0.nii.gz'))).toBe(true)
})

test('weights of the other norm are refused, with their name', async () => {
  const batch = { network: { normalization: 'batch' } } as const
  const budget = { epochs: 1, stepsPerEpoch: 1, valSteps: 1 }
  const [instance, other] = [
    await train(least('instance', { budget })).finished,
    await train(least('batch', { ...batch, budget })).finished,
  ]
  const begin = (run: string, changes: Partial<TrainInput>, { folder }: { folder: string }) =>
    train(least(run, { ...changes, budget, pretrained: path.join(folder, 'checkpoint_final.pth') })).finished
  await expect(begin('refused', batch, instance)).rejects.toThrow(
    /do not fit.*\n {2}encoder\.stages\.0\.0\.convs\.0\.norm\.running_mean is missing/,
  )
  await expect(begin('refused', {}, other)).rejects.toThrow(
    /do not fit.*\n {2}encoder\.stages\.0\.0\.convs\.0\.norm\.running_mean is of batch norm, the network has instance norm/,
  )
})

test('a run that mirrors along the first two axes says so, and is validated and predicted along them alone', async () => {
  const augmentation = { preset: 'only-mirror-01' } as const
  predictedAxes.length = 0
  const changes = { augmentation, validation: { mirroring: true }, validateAtEnd: true }
  const { folder } = await train(least('mirrored', changes)).finished
  expect((await read(folder)).inference_allowed_mirroring_axes).toEqual([0, 1])
  const validated = predictedAxes.splice(0)
  expect(validated.length).toBeGreaterThan(0)
  await predict({ input: dataset.images, output: folderOf('mirrored out'), run: folder, threads: 1 }).finished
  expect(predictedAxes).toHaveLength(2)
  for (const axes of [...validated, ...predictedAxes]) expect(axes).toEqual([0, 1])
})
