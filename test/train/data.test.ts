// Where cases are kept and in which number format: the rule, what is said, and a case that vanishes while a run reads it.
import { readdirSync, renameSync, rmSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TrainInput } from '../../src/config/schema.js'
import { plan } from '../../src/index.js'
import { describeStorage, isStoredAsHalf } from '../../src/train/data.js'
import type { RunEvent } from '../../src/train/events.js'
import { resume, train } from '../../src/train/jobs.js'
import { failureOf } from '../io/support.js'
import { outcomeOf, recordOf } from './run-files.js'
import { makeSmallDataset, type SmallDataset, smallRun, writeLeastPlans } from './small-dataset.js'

describe('training images', () => {
  const bounded = ['ZScoreNormalization', 'CTNormalization', 'RescaleTo01Normalization', 'RGBTo01Normalization']
  test('are float16 where the network rounds more coarsely and the values are bounded', () => {
    expect(isStoredAsHalf('auto', bounded, 'float32')).toBe(false)
    expect(isStoredAsHalf('auto', bounded, 'bfloat16')).toBe(true)
    expect(isStoredAsHalf('auto', bounded, 'float16')).toBe(true)
    expect(isStoredAsHalf('auto', [...bounded, 'NoNormalization'], 'bfloat16')).toBe(false)
  })
  test('are what is asked for', async () => {
    expect(isStoredAsHalf('float32', bounded, 'bfloat16')).toBe(false)
    expect(isStoredAsHalf('float16', bounded, 'float32')).toBe(true)
    expect(isStoredAsHalf('float32', ['NoNormalization'], 'bfloat16')).toBe(false)
    const error = await failureOf(() => isStoredAsHalf('float16', ['CTNormalization', 'NoNormalization'], 'float32'))
    expect(error.code).toBe('ERR_CONFIG')
    expect(error.message).toMatch(/^data.storage: expected float32 for channels with NoNormalization .*found float16$/)
  })
})

test('what a run says of its cases', () => {
  const cases = { training: 208, validation: 52 }
  const say = (place: 'device' | 'host' | 'disk', isHalf: boolean, device: string) =>
    describeStorage({ place, bytes: 85 * 2 ** 20, free: 20.125 * 2 ** 30 }, cases, isHalf, device)
  const begin = 'Data: 208 training and 52 validation cases, '
  expect(say('device', false, 'cpu')).toBe(`${begin}85.0 MiB as float32, in memory (20.1 GiB free)`)
  expect(say('device', true, 'cuda:1')).toBe(
    `${begin}85.0 MiB with training images as float16, on the device cuda:1 (20.1 GiB free)`,
  )
  expect(say('host', true, 'cuda')).toBe(
    `${begin}85.0 MiB with training images as float16, in the host's memory (20.1 GiB free)`,
  )
  expect(say('disk', false, 'cpu')).toBe(
    `${begin}read from disk when they are needed; in memory: 85.0 MiB as float32 (20.1 GiB free)`,
  )
})

describe('a run', () => {
  let dataset: SmallDataset
  const folderOf = (name: string) => path.join(dataset.root, name)
  const options = (name: string, changes: Partial<TrainInput> = {}) =>
    smallRun(dataset, {
      run: folderOf(name),
      plans: 'nnUNetPlansLeast',
      validateAtEnd: false,
      checkpoint: { everyEpochs: 100 },
      budget: { epochs: 2, stepsPerEpoch: 100, valSteps: 2 },
      ...changes,
    })
  beforeAll(async () => {
    dataset = await makeSmallDataset()
    await plan({ dataset: '9', folders: dataset.folders, preset: 'tiny' })
    writeLeastPlans(dataset)
    await train(options('memory')).finished
  })
  afterAll(() => rmSync(dataset.root, { recursive: true, force: true }))

  test('on disk, with a case that vanishes in an epoch, saves all steps and goes on from them to the same weights', async () => {
    const preprocessed = path.join(dataset.folders.preprocessed, 'Dataset009_Boxes/nnUNetPlans_3d_fullres')
    const image = path.join(preprocessed, 'box_3.b2nd')
    expect(readdirSync(preprocessed)).toContain('box_3.b2nd')
    const run = train(options('disk', { data: { place: 'disk' } }))
    const texts: string[] = []
    const follow = async () => {
      for await (const event of run as AsyncIterable<RunEvent>) {
        if (event.type === 'log') texts.push(event.text)
        if (event.type === 'epoch') renameSync(image, `${image}.away`)
      }
    }
    const error = await failureOf(follow)
    const { status, reason, step } = recordOf(folderOf('disk'))
    expect(error).toMatchObject({
      code: 'ERR_FORMAT',
      message: `cannot open ${image}: No such file or directory. All ${step} steps are saved: bring the case back, then go on by \`voxgrad resume ${folderOf('disk')}\`.`,
    })
    expect(texts.filter((text) => /Data: .*cases, read from disk when they are needed/.test(text))).toHaveLength(1)
    expect({ status, reason }).toEqual({ status: 'failed', reason: 'error' })
    expect(step).toBeGreaterThanOrEqual(100)
    expect(readdirSync(folderOf('disk'))).toContain('checkpoint_latest.pth')
    renameSync(`${image}.away`, image)
    const again = await resume({ run: folderOf('disk'), folders: dataset.folders }).finished
    expect(again).toMatchObject({ status: 'finished', step: 200 })
    expect(await outcomeOf(folderOf('disk'))).toEqual(await outcomeOf(folderOf('memory')))
  })
})
