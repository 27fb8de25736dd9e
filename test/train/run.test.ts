// Whole runs on the real engine through the package's functions: files, stopping anywhere, resuming bit for bit, prediction.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { decode } from 'fast-png'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readSegmentation } from '../../src/dataset/image.js'
import { native } from '../../src/native/load.js'
import { argmax, pairwiseSum as sum } from '../../src/plan/numpy.js'
import { writeReport } from '../../src/report/write-report.js'
import type { Run, RunEvent, RunResult } from '../../src/train/events.js'
import { predict, resume, train, validate } from '../../src/train/jobs.js'
import { type NpyArray, readNpz } from '../npz.js'
import { epochsOf, outcomeOf, readText, recordOf } from './run-files.js'
import { makeSmallDataset, type SmallDataset, smallRun } from './small-dataset.js'

let dataset: SmallDataset
/** A run that was never stopped. */
let whole: RunResult
let wholeEvents: RunEvent[]

beforeAll(async () => {
  dataset = await makeSmallDataset()
  ;[whole, wholeEvents] = await follow(train(smallRun(dataset)))
})
afterAll(() => rmSync(dataset.root, { recursive: true, force: true }))

async function follow<Result>(
  run: Run<Result>,
  onEvent: (event: RunEvent) => void = () => {},
): Promise<[Result, RunEvent[]]> {
  const events: RunEvent[] = []
  for await (const event of run) {
    events.push(event)
    onEvent(event)
  }
  return [await run.finished, events]
}

/** Follows a run and stops it some time after its start. */
function stopAfter(run: Run, ms: number): Promise<[RunResult, RunEvent[]]> {
  return follow(run, (event) => {
    if (event.type === 'run_started') setTimeout(() => run.stop(), ms)
  })
}

/** Follows a run and stops it at the end of an epoch. */
function stopAtEpoch(run: Run, epoch: number): Promise<[RunResult, RunEvent[]]> {
  return follow(run, (event) => {
    if (event.type === 'epoch' && event.epoch === epoch) run.stop()
  })
}

const makeFolder = (folder: string) => {
  mkdirSync(folder, { recursive: true })
  return folder
}
const folderOf = (name: string) => path.join(dataset.root, name)

describe('a run that is never stopped', () => {
  test('plans and preprocesses first, saying so', () => {
    const texts = wholeEvents.flatMap((event) => (event.type === 'log' ? [event.text] : []))
    expect(texts[0]).toMatch(/planning it now/)
    expect(texts[1]).toMatch(/preprocessed for 3d_fullres: doing it now/)
    const stages = new Set(wholeEvents.flatMap((event) => (event.type === 'preparing' ? [event.stage] : [])))
    expect([...stages]).toEqual(['plan', 'preprocess'])
  })

  test('ends with every file where nnU-Net and people look for them', () => {
    expect(whole).toMatchObject({ status: 'finished', reason: 'completed', epochs: 3, step: 12 })
    const model = path.join(dataset.folders.results, 'Dataset009_Boxes/voxgrad__nnUNetPlansTiny__3d_fullres')
    expect(whole.folder).toBe(path.join(model, 'fold_0'))
    expect(readdirSync(model).sort()).toEqual(['dataset.json', 'dataset_fingerprint.json', 'fold_0', 'plans.json'])
    const named = (file: string) => file.replace(/tfevents\.\d+\./, 'tfevents.TIME.')
    expect(readdirSync(whole.folder).map(named).sort()).toEqual([
      'checkpoint_best.pth',
      'checkpoint_final.pth',
      'events.out.tfevents.TIME.voxgrad',
      'metrics.csv',
      'metrics.jsonl',
      'progress.png',
      'progress.svg',
      'report.html',
      'run.json',
      'training_log.txt',
      'validation',
    ])
    expect(recordOf(whole.folder)).toMatchObject({
      status: 'finished',
      reason: 'completed',
      epoch: 3,
      step: 12,
      seed: '7',
    })
    expect(epochsOf(whole.folder).map(({ epoch, step }) => [epoch, step])).toEqual([
      [0, 4],
      [1, 8],
      [2, 12],
    ])
    const log = readText(whole.folder, 'training_log.txt')
    expect(log).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}: Epoch 2 $/m)
    expect(log).toMatch(/Mean Validation Dice: {2}\d/)
  })

  test('validates every case of the fold against its reference', async () => {
    const summary = JSON.parse(readText(whole.folder, 'validation/summary.json').replaceAll('NaN', 'null')) as {
      metric_per_case: { prediction_file: string; reference_file: string; metrics: Record<string, { n_ref: number }> }[]
    }
    expect(summary.metric_per_case).toHaveLength(2)
    for (const { prediction_file, reference_file, metrics } of summary.metric_per_case) {
      const [prediction, reference] = await Promise.all([
        readSegmentation(prediction_file),
        readSegmentation(reference_file),
      ])
      expect(prediction.shape).toEqual(reference.shape)
      expect(metrics['1']?.n_ref).toBe(reference.labels.filter((label) => label === 1).length)
    }
  })

  test('has a report with the pictures of its cases, whether or not the raw images are there', async () => {
    const summary = JSON.parse(readText(whole.folder, 'validation/summary.json').replaceAll('NaN', 'null'))
    const pictures = (page: string) =>
      [...page.matchAll(/data:image\/png;base64,([^"]+)/g)].map(([, text]) =>
        decode(Buffer.from(text as string, 'base64')),
      )
    const page = readText(whole.folder, 'report.html')
    expect(page).toContain(summary.foreground_mean.Dice.toFixed(4))
    expect(page).toContain(Number(epochsOf(whole.folder).at(-1)?.ema_fg_dice).toFixed(4))
    const preprocessed = pictures(page)
    expect(preprocessed).toHaveLength(2)
    const file = path.join(dataset.root, 'raw.html')
    await writeReport(whole.folder, { file, folders: { raw: dataset.folders.raw } })
    const raw = pictures(readFileSync(file, 'utf8'))
    // Neither cut nor resampled, and normalized linearly: the same gray values but for rounding.
    expect(raw).toHaveLength(2)
    raw.forEach(({ data }, index) => {
      const other = preprocessed[index]?.data as Uint8Array
      expect(other).toHaveLength(data.length)
      expect(Math.max(...Array.from(data, (value, at) => Math.abs(value - (other[at] as number))))).toBeLessThanOrEqual(
        1,
      )
    })
  })

  test("keeps nnU-Net's entries in its checkpoint", async () => {
    const file = path.join(whole.folder, 'checkpoint_final.pth')
    const entries = (await native().readTorchFile(file)) as {
      current_epoch: number
      trainer_name: string
      inference_allowed_mirroring_axes: number[]
      logging: Record<string, unknown[]>
      init_args: { configuration: string; fold: number }
    }
    expect(entries).toMatchObject({
      current_epoch: 3,
      trainer_name: 'nnUNetTrainer',
      inference_allowed_mirroring_axes: [0, 1, 2],
      init_args: { configuration: '3d_fullres', fold: 0 },
    })
    expect(Object.values(entries.logging).map((list) => list.length)).toEqual(new Array(8).fill(3))
  })
})

describe('a run that is stopped', () => {
  test('goes on to the same weights, bit for bit, wherever that was', async () => {
    const run = folderOf('stopped')
    const stops: number[] = []
    let [result] = await stopAfter(train(smallRun(dataset, { run })), 60)
    while (result.status === 'stopped') {
      expect(recordOf(run)).toMatchObject({ status: 'stopped', reason: 'signal', step: result.step })
      stops.push(result.step)
      ;[result] = await stopAfter(resume({ run }), 40 + 17 * stops.length)
    }
    expect(stops.some((step) => step % 4 !== 0)).toBe(true)
    expect(result).toMatchObject({ status: 'finished', step: 12 })
    expect(await outcomeOf(run)).toEqual(await outcomeOf(whole.folder))
    expect(result.validations).toEqual(whole.validations)
  })

  test('by an aborted signal ends before its first step and starts from there', async () => {
    const run = folderOf('aborted')
    const [result] = await follow(train(smallRun(dataset, { run }), { signal: AbortSignal.abort() }))
    expect(result).toMatchObject({ status: 'stopped', step: 0 })
    const [resumed] = await follow(train(smallRun(dataset, { run, continue: true })))
    expect(resumed.status).toBe('finished')
    expect(await outcomeOf(run)).toEqual(await outcomeOf(whole.folder))
  })

  test('falls back to an older checkpoint where the newest is damaged, and does no epoch twice', async () => {
    const run = folderOf('damaged')
    const [stopped] = await stopAtEpoch(train(smallRun(dataset, { run })), 1)
    expect(stopped.status).toBe('stopped')
    truncateSync(path.join(run, 'checkpoint_latest.pth'), 1000)
    // As if the process had died while it wrote.
    writeFileSync(path.join(run, 'metrics.jsonl'), `${readText(run, 'metrics.jsonl')}{"type":"epo`)
    const [result, events] = await follow(resume({ run }))
    expect(result.status).toBe('finished')
    const choice = events.find((event) => event.type === 'resume')
    expect(choice?.text).toMatch(/checkpoint_latest is passed over/)
    expect(await outcomeOf(run)).toEqual(await outcomeOf(whole.folder))
  })
})

test('the weights do not depend on how the steps are cut into epochs', async () => {
  const run = folderOf('cut')
  const budget = { steps: 12, stepsPerEpoch: 5, valSteps: 1 }
  await follow(train(smallRun(dataset, { run, budget, validateAtEnd: false })))
  const [cut, original] = [await outcomeOf(run), await outcomeOf(whole.folder)]
  expect(epochsOf(run).map(({ step }) => step)).toEqual([5, 10, 12])
  expect(cut.weights).toEqual(original.weights)
})

describe('a finished run', () => {
  test('is not overwritten; the error names the ways out', async () => {
    const before = readText(whole.folder, 'run.json')
    await expect(follow(train(smallRun(dataset)))).rejects.toMatchObject({
      code: 'ERR_RUN_EXISTS',
      message: expect.stringMatching(/voxgrad resume .*--continue.*--run/) as string,
    })
    expect(readText(whole.folder, 'run.json')).toBe(before)
  })

  test('with --continue says that nothing is missing', async () => {
    const [result, events] = await follow(train(smallRun(dataset, { continue: true })))
    expect(result).toEqual(whole)
    expect(events.some((event) => event.type === 'log' && /nothing is missing/.test(event.text))).toBe(true)
  })

  test('gets its validation where that is missing', async () => {
    rmSync(path.join(whole.folder, 'validation'), { recursive: true })
    const [result] = await follow(resume({ run: whole.folder }))
    expect(result.validations).toEqual(whole.validations)
    expect(existsSync(path.join(whole.folder, 'validation/summary.json'))).toBe(true)
  })

  test('is validated on its best weights into a folder of its own', async () => {
    const [event] = await follow(validate({ run: whole.folder, checkpoint: 'best', saveProbabilities: true }))
    expect(event).toMatchObject({ type: 'validation_finished', checkpoint: 'best' })
    const folder = path.join(whole.folder, 'validation_best')
    const [first] = readdirSync(folder).filter((file) => file.endsWith('.npz'))
    expect(readdirSync(folder)).toContain('summary.json')
    // The pickle is that of preprocessing, as nnU-Net's is.
    const pickle = (first as string).replace('.npz', '.pkl')
    const preprocessed = path.join(dataset.folders.preprocessed, 'Dataset009_Boxes/nnUNetPlans_3d_fullres', pickle)
    expect(readFileSync(path.join(folder, pickle))).toEqual(readFileSync(preprocessed))
  })
})

test('a validation on weights that are not there names those that are', async () => {
  await expect(validate({ run: whole.folder, checkpoint: 'latest' }).finished).rejects.toMatchObject({
    code: 'ERR_CHECKPOINT',
    message: expect.stringMatching(
      /checkpoint_latest\.pth is missing\. Choose one that is there \(final, best\)/,
    ) as string,
  })
})

describe('prediction', () => {
  test('of the raw image equals the validation of the preprocessed case', async () => {
    const output = folderOf('predicted')
    const [result] = await follow(
      predict({ input: dataset.images, output, run: whole.folder, mirroring: false, threads: 1 }),
    )
    expect(result).toEqual({ output, cases: 2 })
    expect(readdirSync(output).sort()).toEqual([
      'box_0.nii.gz',
      'box_1.nii.gz',
      'dataset.json',
      'plans.json',
      'predict_from_raw_data_args.json',
    ])
    const validated = readdirSync(path.join(whole.folder, 'validation')).filter((file) => /^box_[01]\./.test(file))
    for (const file of validated) {
      const [predicted, expected] = await Promise.all(
        [output, path.join(whole.folder, 'validation')].map((folder) => readSegmentation(path.join(folder, file))),
      )
      expect(predicted?.labels).toEqual(expected?.labels)
    }
  })

  test('in parts, with probabilities, goes on with what is not there yet', async () => {
    const output = folderOf('parts')
    const options = { input: dataset.images, output, run: whole.folder, mirroring: false, threads: 1 }
    const saving = { ...options, saveProbabilities: true, continue: true }
    expect((await follow(predict({ ...saving, numParts: 2, partId: 1 })))[0].cases).toBe(1)
    expect(readdirSync(output).filter((file) => file.startsWith('box'))).toEqual([
      'box_1.nii.gz',
      'box_1.npz',
      'box_1.pkl',
    ])
    const at = (name: string) => path.join(output, name)
    const { probabilities } = readNpz(at('box_1.npz')) as { probabilities: NpyArray }
    const { labels, shape, spacing, geometry } = await readSegmentation(at('box_1.nii.gz'))
    expect(probabilities.shape).toEqual([3, ...shape])
    const { data } = probabilities as { data: Float32Array }
    const voxels = labels.length
    for (const [i, label] of labels.entries()) {
      const perClass = [0, 1, 2].map((c) => data[c * voxels + i] as number)
      if (label !== argmax(perClass) || Math.abs(sum(perClass) - 1) > 1e-6) expect([label, ...perClass]).toBeUndefined()
    }
    expect(await native().readPickle(at('box_1.pkl'))).toEqual({
      ...geometry,
      spacing,
      shape_before_cropping: shape,
      bbox_used_for_cropping: expect.anything() as unknown,
      shape_after_cropping_and_before_resampling: expect.anything() as unknown,
    })
    writeFileSync(at('box_1.nii.gz'), 'kept')
    const [result, events] = await follow(predict(saving))
    expect(result.cases).toBe(1)
    expect(events).toContainEqual({ type: 'log', text: '1 cases are there already.' })
    expect(readText(output, 'box_1.nii.gz')).toBe('kept')
    const { save_probabilities, overwrite, part_id } = JSON.parse(
      readText(output, 'predict_from_raw_data_args.json'),
    ) as Record<string, unknown>
    expect([save_probabilities, overwrite, part_id]).toEqual([true, false, 0])
    await expect(predict({ ...options, numParts: 2, partId: 2 }).finished).rejects.toThrow(
      /partId: expected a number below/,
    )
  })

  test('names every faulty input before it writes anything', async () => {
    const input = folderOf('faulty')
    const output = folderOf('nothing')
    copyFileSync(path.join(dataset.images, 'box_0_0000.nii.gz'), path.join(makeFolder(input), 'sound_0000.nii.gz'))
    for (const name of ['bad', 'worse']) writeFileSync(path.join(input, `${name}_0000.nii.gz`), 'no image')
    const run = predict({ input, output, run: whole.folder })
    await expect(run.finished).rejects.toMatchObject({
      code: 'ERR_IMAGE',
      message: expect.stringMatching(/bad_0000[\s\S]*worse_0000/) as string,
    })
    expect(existsSync(output)).toBe(false)
  })

  test('without a checkpoint names the files that are missing', async () => {
    const run = predict({
      input: dataset.images,
      output: folderOf('x'),
      run: path.dirname(whole.folder),
      folds: [0, 3],
    })
    await expect(run.finished).rejects.toMatchObject({
      code: 'ERR_RUN',
      message: expect.stringMatching(/fold_3\/checkpoint_final\.pth/) as string,
    })
  })
})

test('a device that is not there is refused, and nothing is left behind', async () => {
  const folder = path.join(dataset.root, 'no-device')
  await expect(train(smallRun(dataset, { device: 'cuda:99', run: folder })).finished).rejects.toMatchObject({
    code: 'ERR_DEVICE',
  })
  expect(existsSync(folder)).toBe(false)
})
