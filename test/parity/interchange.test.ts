// The peer kit's datasets in both hands: models of regions and of sparse annotation, nnU-Net's predicted by voxgrad and voxgrad's by nnU-Net, with and without mirroring.
// VOXGRAD_PEER_PYTHON names a Python that has nnunetv2, VOXGRAD_PEER_DATA the peer kit's data (raw/Dataset902_... and 903).
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
import { comparePredictions } from './kinds/predict.js'
import { isThere, runJobs } from './nnunet.js'

const raw = path.join(process.env.VOXGRAD_PEER_DATA ?? '', 'raw')
const names = ['Dataset902_RegionsMR', 'Dataset903_IgnoreMR'] as const
const [regions, ignore] = names
const ready = isThere && names.every((name) => existsSync(path.join(raw, name)))
if (!ready) {
  console.log(
    'interchange skipped: VOXGRAD_PEER_PYTHON names no Python with nnunetv2, or VOXGRAD_PEER_DATA no raw data of the peer kit',
  )
}

const plans = 'nnUNetPlansSmall'
const modes = [true, false]
const modeFolder = (mirroring: boolean) => (mirroring ? 'with_mirroring' : 'without_mirroring')
const epochs = 2
/** voxgrad's steps are the cheaper ones. */
const oursLonger = 4
const timeout = 1_800_000

/** What is made of the plans of the preset tiny, for trainings of seconds whose predictions take several tiles. */
interface Changes {
  patchSize: number[]
  batchSize: number
}

describe.skipIf(!ready)("the peer kit's datasets change hands", { timeout }, () => {
  let root: string
  let folders: SmallDataset['folders']
  const at = (...parts: string[]) => path.join(root, ...parts)
  const model = (dataset: string, trainer: 'voxgrad' | 'nnUNetTrainer', configuration: string) =>
    path.join(folders.results, dataset, `${trainer}__${plans}__${configuration}`)

  beforeEach(() => {
    root = mkdtempSync(path.join(tmpdir(), 'voxgrad-interchange-'))
    folders = { raw: at('raw'), preprocessed: at('preprocessed'), results: at('results') }
  })
  afterEach(() => rmSync(root, { recursive: true, force: true }))

  /** Plans and preprocesses; two cases to predict lie in root/images. */
  async function prepare(dataset: string, changes: Changes, configurations: string[]): Promise<void> {
    await plan({ dataset, ...folders, preset: 'tiny' })
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

  const trainTheirs = (dataset: string, configuration: string, folds: string, steps: number) => [
    'train',
    path.join(folders.preprocessed, dataset),
    plans,
    configuration,
    folds,
    String(epochs),
    String(steps),
  ]

  /** Predicts with voxgrad and compares with nnU-Net's predictions of the same model. */
  async function compareWith(theirs: string, run: string, folds: Fold[]): Promise<void> {
    for (const mirroring of modes) {
      const expected = path.join(theirs, modeFolder(mirroring))
      const output = `${expected}_by_voxgrad`
      const how = { mirroring, saveProbabilities: true, threads: 1 }
      await predict({ input: at('images'), output, run, folds, ...how }).finished
      await expectForeground(expected)
      const title = `${path.basename(theirs)}, folds ${folds.join()}, ${modeFolder(mirroring)}`
      await expectAgreeing(named(title, comparePredictions(output, expected, run)), 2)
    }
  }

  const oneFold = [
    { dataset: regions, configuration: '3d_fullres', steps: 30, changes: { patchSize: [24, 24, 20], batchSize: 2 } },
    // In 2D, where networks of seconds are sure enough of sparse annotation for nnU-Net's float16 (docs/numerics.md).
    { dataset: ignore, configuration: '2d', steps: 80, changes: { patchSize: [32, 32], batchSize: 4 } },
  ]
  test.each(oneFold)('$dataset, one fold, $configuration', async ({ dataset, configuration, steps, changes }) => {
    cpSync(path.join(raw, dataset), path.join(folders.raw, dataset), { recursive: true })
    await prepare(dataset, changes, [configuration])
    await trainOurs(dataset, configuration, 0, oursLonger * steps)
    const [ours, theirs] = [
      model(dataset, 'voxgrad', configuration),
      model(dataset, 'nnUNetTrainer', configuration),
    ] as const
    runJobs(
      folders,
      trainTheirs(dataset, configuration, '0', steps),
      ['predict', theirs, '0', at('images'), at("nnU-Net's")],
      ['predict', ours, '0', at('images'), at("voxgrad's")],
    )
    await compareWith(at("nnU-Net's"), theirs, [0])
    await compareWith(at("voxgrad's"), ours, [0])
  })
})

function smallPlans(tiny: Plans, { patchSize, batchSize }: Changes): Plans {
  const name = patchSize.length === 2 ? '2d' : '3d_fullres'
  const kept = { ...(tiny.configurations[name] as Configuration), patch_size: patchSize, batch_size: batchSize }
  return { ...tiny, plans_name: plans, configurations: { [name]: kept } }
}

async function* named(
  title: string,
  items: ReturnType<typeof comparePredictions>,
): ReturnType<typeof comparePredictions> {
  for await (const item of items) yield { ...item, name: `${title}, ${item.name}` }
}

/** Expects that predictions say something: every foreground label, in a thousandth of the voxels at least. */
async function expectForeground(folder: string): Promise<void> {
  const { fileEnding, foregroundLabels } = await readDatasetJson(path.join(folder, 'dataset.json'))
  const { image_reader_writer: reader } = JSON.parse(readFileSync(path.join(folder, 'plans.json'), 'utf8')) as Plans
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
