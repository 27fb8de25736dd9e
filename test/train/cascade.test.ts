// A cascade from the raw dataset to predictions: 3d_lowres leaves its segmentations, 3d_cascade_fullres trains on them.
import { existsSync, readdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TrainInput } from '../../src/config/schema.js'
import { plan, preprocess } from '../../src/index.js'
import { native } from '../../src/native/load.js'
import type { RunResult } from '../../src/train/events.js'
import { predict, resume, train, validate } from '../../src/train/jobs.js'
import { outcomeOf, readText } from './run-files.js'
import { makeSmallDataset, type SmallDataset, smallRun, writeLeastPlans } from './small-dataset.js'

describe('a cascade', { timeout: 600_000 }, () => {
  let dataset: SmallDataset
  const model = (configuration: string) =>
    path.join(dataset.folders.results, `Dataset009_Boxes/voxgrad__nnUNetPlansLeast__${configuration}`)
  const run = (configuration: string, changes: Partial<TrainInput> = {}): Promise<RunResult> =>
    train(smallRun(dataset, { plans: 'nnUNetPlansLeast', configuration, ...changes })).finished

  beforeAll(async () => {
    dataset = await makeSmallDataset()
    const { folders } = dataset
    await plan({ dataset: '9', folders, preset: 'tiny' })
    writeLeastPlans(dataset)
    for (const configurations of [['3d_lowres'], ['3d_fullres']]) {
      await preprocess({ dataset: '9', folders, configurations, plans: 'nnUNetPlansLeast' })
    }
  }, 600_000)
  afterAll(() => rmSync(dataset.root, { recursive: true, force: true }))

  test('needs the previous stage of every case, and says which runs predict those that are missing', async () => {
    const all = Array.from({ length: 6 }, (_, i) => `box_${i}`).join(', ')
    await expect(run('3d_cascade_fullres')).rejects.toMatchObject({
      code: 'ERR_PREPROCESSED',
      message: expect.stringMatching(
        new RegExp(
          `lacks those of 6 of 6 cases: ${all}[^]*train Dataset009_Boxes 3d_lowres 4 --plans nnUNetPlansLeast$`,
        ),
      ) as string,
    })
    expect(existsSync(model('3d_cascade_fullres'))).toBe(false)
    const { folder } = await run('3d_lowres', { fold: 1, validateAtEnd: false })
    await expect(run('3d_cascade_fullres')).rejects.toMatchObject({
      message: expect.stringContaining(`voxgrad validate ${folder}\n`) as string,
    })
    await validate({ run: folder }).finished
    await expect(run('3d_cascade_fullres')).rejects.toMatchObject({
      message: expect.not.stringContaining(folder) as string,
    })
  })

  test('trains on what the previous stage predicted, validates, and goes on after a stop to the same weights, from disk too', async () => {
    // Fold "all" holds no case out: its validation predicts every case.
    await run('3d_lowres', { fold: 'all', budget: { epochs: 2, stepsPerEpoch: 40, valSteps: 1 } })
    const predicted = path.join(model('3d_lowres'), 'predicted_next_stage/3d_cascade_fullres')
    expect(readdirSync(predicted)).toHaveLength(6)
    const segmentation = await native().readBlosc2(path.join(predicted, 'box_0.b2nd'))
    const prepared = path.join(dataset.folders.preprocessed, 'Dataset009_Boxes/nnUNetPlans_3d_fullres/box_0.b2nd')
    expect(segmentation.shape).toEqual((await native().readBlosc2(prepared)).shape.slice(1))
    expect(segmentation.data).toBeInstanceOf(Uint8Array)

    const whole = await run('3d_cascade_fullres')
    expect(whole.status).toBe('finished')
    expect(readText(whole.folder, 'validation/summary.json')).toContain('"2"')
    const stopped = path.join(dataset.root, 'stopped')
    const half = train(
      smallRun(dataset, {
        plans: 'nnUNetPlansLeast',
        configuration: '3d_cascade_fullres',
        run: stopped,
        data: { place: 'disk' },
      }),
    )
    for await (const event of half) if (event.type === 'epoch') half.stop()
    expect((await half.finished).status).toBe('stopped')
    expect((await resume({ run: stopped }).finished).status).toBe('finished')
    expect(await outcomeOf(stopped)).toEqual(await outcomeOf(whole.folder))
  })

  test("predicts from the previous stage's segmentations, and says what is missing", async () => {
    const [lowres, output] = ['lowres', 'cascade'].map((name) => path.join(dataset.root, name)) as [string, string]
    const input = { input: dataset.images, threads: 1 }
    const fold = path.join(model('3d_cascade_fullres'), 'fold_0')
    await expect(predict({ ...input, output, run: fold }).finished).rejects.toMatchObject({
      code: 'ERR_CONFIG',
      message: expect.stringMatching(/cascade on 3d_lowres.*--previous-stage/) as string,
    })
    await expect(predict({ ...input, output, run: fold, previousStage: lowres }).finished).rejects.toMatchObject({
      code: 'ERR_DATASET',
      message: expect.stringMatching(/lowres.box_0.nii.gz\n.*lowres.box_1.nii.gz/) as string,
    })
    await predict({ ...input, output: lowres, run: path.join(model('3d_lowres'), 'fold_all') }).finished
    await predict({ ...input, output, run: fold, previousStage: lowres }).finished
    expect(readdirSync(output).filter((name) => name.endsWith('.nii.gz'))).toHaveLength(2)
  })
})
