// The peer kit's datasets in both hands: models of regions, of sparse annotation, of RGB images (five folds) and cascades,
// nnU-Net's predicted by voxgrad and voxgrad's by nnU-Net, with and without mirroring.
// VOXGRAD_PEER_PYTHON names a Python that has nnunetv2, VOXGRAD_PEER_DATA the peer kit's data (raw/Dataset901_... to 904).
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Fold, TrainInput } from '../../src/config/schema.js'
import { readDatasetJson } from '../../src/dataset/dataset-json.js'
import { readSegmentation } from '../../src/dataset/image.js'
import { plan } from '../../src/plan/plan.js'
import type { Configuration, Plans } from '../../src/plan/plans.js'
import { preprocess } from '../../src/preprocess/preprocess.js'
import { predict, train } from '../../src/train/jobs.js'
import type { SmallDataset } from '../train/small-dataset.js'
import { expectAgreeing } from './expect-agreement.js'
import { comparePredictions, probabilityDifferences, type Tiles } from './kinds/predict.js'
import { isThere, runJobs } from './nnunet.js'

const raw = path.join(process.env.VOXGRAD_PEER_DATA ?? '', 'raw')
const names = ['Dataset901_AnisoCT', 'Dataset902_RegionsMR', 'Dataset903_IgnoreMR', 'Dataset904_RGB2D'] as const
const [anisotropic, regions, ignore, rgb] = names
const ready = isThere && names.every((name) => existsSync(path.join(raw, name)))
if (!ready) {
  console.log(
    'interchange skipped: VOXGRAD_PEER_PYTHON names no Python with nnunetv2, or VOXGRAD_PEER_DATA no raw data of the peer kit',
  )
}

const plans = 'nnUNetPlansSmall'
const trainers = ['nnUNetTrainer', 'voxgrad'] as const
const modes = [true, false]
const modeFolder = (mirroring: boolean) => (mirroring ? 'with_mirroring' : 'without_mirroring')
const epochs = 2
const timeout = 1_800_000

/** What is made of the plans of the preset tiny, for trainings of seconds whose predictions take several tiles. */
interface Changes {
  patchSize: number[]
  batchSize: number
  /** Adds 3d_lowres, at half the resolution within slices and with this patch, and the cascade on it. */
  lowresPatchSize?: number[]
}

/** A model that both predict with. */
interface Model {
  run: string
  folds: readonly Fold[]
  /** A folder of segmentations. */
  previousStage?: string
}

describe.skipIf(!ready)("the peer kit's datasets change hands", { timeout }, () => {
  let root: string
  let folders: SmallDataset['folders']
  const at = (...parts: string[]) => path.join(root, ...parts)
  const model = (dataset: string, trainer: string, configuration: string) =>
    path.join(folders.results, dataset, `${trainer}__${plans}__${configuration}`)

  beforeEach(() => {
    root = mkdtempSync(path.join(tmpdir(), 'voxgrad-interchange-'))
    folders = { raw: at('raw'), preprocessed: at('preprocessed'), results: at('results') }
  })
  afterEach(() => rmSync(root, { recursive: true, force: true }))

  /** Plans and preprocesses; two cases to predict lie in root/images. */
  async function prepare(dataset: string, changes: Changes, configurations: string[]): Promise<void> {
    cpSync(path.join(raw, dataset), path.join(folders.raw, dataset), { recursive: true })
    await plan({ dataset, folders, preset: 'tiny' })
    const preprocessed = path.join(folders.preprocessed, dataset)
    const tiny = JSON.parse(readFileSync(path.join(preprocessed, 'nnUNetPlansTiny.json'), 'utf8')) as Plans
    writeFileSync(path.join(preprocessed, `${plans}.json`), JSON.stringify(smallPlans(tiny, changes)))
    await preprocess({ dataset, folders, configurations, plans })
    const images = path.join(folders.raw, dataset, 'imagesTr')
    mkdirSync(at('images'))
    for (const file of readdirSync(images).filter((name) => /case_00[01]/.test(name))) {
      cpSync(path.join(images, file), at('images', file))
    }
  }

  const trainOurs = (
    dataset: string,
    configuration: string,
    fold: Fold,
    steps: number,
    changes: Partial<TrainInput> = {},
  ) =>
    train({
      dataset,
      configuration: configuration as '2d',
      fold,
      plans,
      folders,
      threads: 1,
      seed: fold === 'all' ? 0 : fold,
      budget: { epochs, stepsPerEpoch: steps, valSteps: 1 },
      validation: { mirroring: false },
      validateAtEnd: false,
      ...changes,
    }).finished

  const trainTheirs = (dataset: string, configuration: string, folds: readonly Fold[], steps: number) => [
    'train',
    path.join(folders.preprocessed, dataset),
    plans,
    configuration,
    folds.join(),
    String(epochs),
    String(steps),
  ]

  const predictTheirs = (title: string, tiles: Tiles, { run, folds, previousStage }: Model) => [
    'predict',
    run,
    folds.join(),
    at('images'),
    at(title, tiles),
    tiles,
    ...(previousStage ? [previousStage] : []),
  ]

  /** Predicts with voxgrad and compares with nnU-Net's predictions of the same model. @returns voxgrad's, without mirroring */
  async function compareWithTheirs(title: string, tiles: readonly Tiles[], { run, ...how }: Model): Promise<string> {
    for (const mirroring of modes) {
      const ours = at(title, modeFolder(mirroring))
      const options = { ...how, folds: [...how.folds], mirroring, saveProbabilities: true, threads: 1 }
      await predict({ input: at('images'), output: ours, run, ...options }).finished
      await expectForeground(ours, run)
      for (const sums of tiles) {
        const items = comparePredictions(ours, at(title, sums, modeFolder(mirroring)), run, sums)
        await expectAgreeing(items, 2, `${title}, ${modeFolder(mirroring)}, ${sums} tiles, `)
      }
    }
    return at(title, modeFolder(false))
  }

  const oneFold = [
    { dataset: regions, configuration: '3d_fullres', steps: 30, changes: { patchSize: [24, 24, 20], batchSize: 2 } },
    // In 2D, where networks of seconds are sure enough of sparse annotation for nnU-Net's float16 (docs/numerics.md).
    { dataset: ignore, configuration: '2d', steps: 80, changes: { patchSize: [32, 32], batchSize: 4 } },
  ]
  test.each(oneFold)('$dataset, one fold, $configuration', async ({ dataset, configuration, steps, changes }) => {
    const tiles = ['float32', 'float16'] as const
    await prepare(dataset, changes, [configuration])
    // voxgrad's steps are the cheaper ones.
    await trainOurs(dataset, configuration, 0, 4 * steps)
    const models = trainers.map(
      (trainer) => [trainer, { run: model(dataset, trainer, configuration), folds: [0] }] as const,
    )
    const jobs = models.flatMap(([title, made]) => tiles.map((sums) => predictTheirs(title, sums, made)))
    runJobs(folders, trainTheirs(dataset, configuration, [0], steps), ...jobs)
    for (const [title, made] of models) await compareWithTheirs(title, tiles, made)
  })

  test(`${rgb}, five folds in 2D`, async () => {
    const [configuration, steps, folds] = ['2d', 15, [0, 1, 2, 3, 4]] as const
    await prepare(rgb, { patchSize: [32, 32], batchSize: 4 }, [configuration])
    for (const fold of folds) await trainOurs(rgb, configuration, fold, steps)
    const models = trainers.map((trainer) => [trainer, { run: model(rgb, trainer, configuration), folds }] as const)
    const jobs = models.map(([title, made]) => predictTheirs(title, 'float32', made))
    runJobs(folders, trainTheirs(rgb, configuration, folds, steps), ...jobs)
    for (const [title, made] of models) {
      const together = await compareWithTheirs(title, ['float32'], made)
      // That the folds differ, or an ensemble would say no more than one of them.
      for (const fold of folds) {
        const output = at(`${title} fold ${fold}`)
        const how = { folds: [fold], mirroring: false, saveProbabilities: true, threads: 1 }
        await predict({ input: at('images'), output, run: made.run, ...how }).finished
        const [alone, all] = [output, together].map((folder) => path.join(folder, 'case_000')) as [string, string]
        const { mean } = await probabilityDifferences(alone, all)
        console.log(`${title}: fold ${fold} differs from the ensemble by ${mean.toExponential(1)} on average`)
        expect(mean).toBeGreaterThan(1e-3)
      }
    }
  })

  const cascades = [
    {
      dataset: anisotropic,
      steps: 15,
      changes: { patchSize: [8, 32, 32], batchSize: 2, lowresPatchSize: [8, 16, 16] },
    },
    // So many that nnU-Net's 3d_lowres finds the small region too.
    { dataset: regions, steps: 60, changes: { patchSize: [24, 24, 20], batchSize: 2, lowresPatchSize: [16, 16, 16] } },
  ]
  test.each(cascades)('$dataset, cascade', async ({ dataset, steps, changes }) => {
    const [lowres, cascade] = ['3d_lowres', '3d_cascade_fullres'] as const
    await prepare(dataset, changes, ['3d_fullres', lowres])
    await trainOurs(dataset, lowres, 'all', steps, { validateAtEnd: true })
    await trainOurs(dataset, cascade, 0, steps)
    const models = trainers.flatMap((trainer) => {
      const [first, second] = [`${trainer} ${lowres}`, `${trainer} ${cascade}`]
      const previousStage = at(first, 'float32', modeFolder(true))
      return [
        [first, { run: model(dataset, trainer, lowres), folds: ['all'] }],
        [second, { run: model(dataset, trainer, cascade), folds: [0], previousStage }],
      ] as [string, Model][]
    })
    const trainings = [trainTheirs(dataset, lowres, ['all'], steps), trainTheirs(dataset, cascade, [0], steps)]
    runJobs(folders, ...trainings, ...models.map(([title, made]) => predictTheirs(title, 'float32', made)))
    for (const [title, made] of models) await compareWithTheirs(title, ['float32'], made)
  })
})

function smallPlans(tiny: Plans, { patchSize, batchSize, lowresPatchSize }: Changes): Plans {
  const name = patchSize.length === 2 ? '2d' : '3d_fullres'
  const kept = { ...(tiny.configurations[name] as Configuration), patch_size: patchSize, batch_size: batchSize }
  const lowres = {
    ...kept,
    data_identifier: `${plans}_3d_lowres`,
    patch_size: lowresPatchSize,
    spacing: kept.spacing.map((extent, axis) => (axis === 0 ? extent : 2 * extent)),
    next_stage: '3d_cascade_fullres',
  }
  const cascade = { inherits_from: '3d_fullres', previous_stage: '3d_lowres' }
  const stages = lowresPatchSize && { '3d_lowres': lowres, '3d_cascade_fullres': cascade }
  return { ...tiny, plans_name: plans, configurations: { [name]: kept, ...stages } } as Plans
}

/** Expects that predictions say something: every foreground label, in a thousandth of the voxels at least. */
async function expectForeground(folder: string, model: string): Promise<void> {
  const { fileEnding, foregroundLabels } = await readDatasetJson(path.join(model, 'dataset.json'))
  const { image_reader_writer: reader } = JSON.parse(readFileSync(path.join(model, 'plans.json'), 'utf8')) as Plans
  const files = readdirSync(folder).filter((name) => name.endsWith(fileEnding))
  for (const label of foregroundLabels) {
    let [found, all] = [0, 0]
    for (const file of files) {
      const { labels } = await readSegmentation(path.join(folder, file), { reader: reader as 'SimpleITKIO' })
      found += labels.filter((one) => one === label).length
      all += labels.length
    }
    expect.soft(found / all, `${folder}: label ${label}`).toBeGreaterThan(1e-3)
  }
}
