// Regions, sparse annotation and a cascade of voxgrad in the hands of the real nnU-Net. VOXGRAD_PEER_PYTHON names a Python
// that has nnunetv2; with VOXGRAD_PEER_DATA the peer kit's raw datasets of regions and sparse annotation are trained too.
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readSegmentation } from '../../src/dataset/image.js'
import { plan, preprocess } from '../../src/index.js'
import { predict, train } from '../../src/train/jobs.js'
import {
  makeSmallDataset,
  regionsWithIgnore,
  type SmallDataset,
  smallRun,
  writeLeastPlans,
} from '../train/small-dataset.js'
import { command, isThere, nnunet, python } from './nnunet.js'

if (!isThere) console.log('parity of labels skipped: VOXGRAD_PEER_PYTHON names no Python with nnunetv2')
const raw = path.join(process.env.VOXGRAD_PEER_DATA ?? '', 'raw')

type Folders = SmallDataset['folders']

/** nnU-Net's summary of a validation folder: what evaluate_predictions writes at the end of its own training. */
const evaluation = `
import sys
from nnunetv2.evaluation.evaluate_predictions import compute_metrics_on_folder
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from batchgenerators.utilities.file_and_folder_operations import load_json
truth, predictions, model, output = sys.argv[1:]
plans, dataset = PlansManager(f'{model}/plans.json'), load_json(f'{model}/dataset.json')
labels = plans.get_label_manager(dataset)
compute_metrics_on_folder(truth, predictions, output, plans.image_reader_writer_class(), dataset['file_ending'],
                          labels.foreground_regions if labels.has_regions else labels.foreground_labels, labels.ignore_label, 1)
`

async function expectSameSegmentations(ours: string, theirs: string): Promise<void> {
  const files = readdirSync(ours).filter((file) => file.endsWith('.nii.gz'))
  expect(files.length).toBeGreaterThan(0)
  for (const file of files) {
    const [mine, reference] = await Promise.all(
      [ours, theirs].map((folder) => readSegmentation(path.join(folder, file))),
    )
    const differing = mine?.labels.filter((label, i) => label !== reference?.labels[i]).length ?? Number.NaN
    // nnU-Net adds tiles in float16: a voxel may differ where a sigmoid is about 0.5 or two labels nearly tie.
    expect(differing / (mine?.labels.length ?? 0)).toBeLessThanOrEqual(2e-4)
  }
}

function expectSameSummary(folders: Folders, dataset: string, run: string): void {
  const output = path.join(run, 'nnunet.json')
  const truth = path.join(folders.preprocessed, dataset, 'gt_segmentations')
  nnunet(folders, python, '-c', evaluation, truth, path.join(run, 'validation'), path.dirname(run), output)
  expect(readFileSync(path.join(run, 'validation/summary.json'), 'utf8')).toBe(readFileSync(output, 'utf8'))
}

describe.skipIf(!isThere)('regions with an ignore label', { timeout: 1_800_000 }, () => {
  let dataset: SmallDataset
  let run: string
  beforeAll(async () => {
    dataset = await makeSmallDataset(regionsWithIgnore)
    run = (await train(smallRun(dataset, { budget: { epochs: 2, stepsPerEpoch: 40, valSteps: 2 } })).finished).folder
  }, 1_800_000)
  afterAll(() => rmSync(dataset.root, { recursive: true, force: true }))

  test('nnU-Net writes the same summary of the validation, byte for byte', () => {
    expectSameSummary(dataset.folders, 'Dataset009_Boxes', run)
  })

  test('nnU-Net predicts the same segmentations with the model', async () => {
    const [ours, theirs] = ['ours', 'theirs'].map((name) => path.join(dataset.root, name)) as [string, string]
    await predict({ input: dataset.images, output: ours, run, threads: 1 }).finished
    const which = ['-d', '9', '-c', '3d_fullres', '-p', 'nnUNetPlansTiny', '-tr', 'voxgrad', '-f', '0']
    const how = ['-device', 'cpu', '-npp', '1', '-nps', '1']
    nnunet(dataset.folders, command('nnUNetv2_predict'), '-i', dataset.images, '-o', theirs, ...which, ...how)
    await expectSameSegmentations(ours, theirs)
  })
})

describe.skipIf(!isThere || !existsSync(raw))("the peer kit's datasets", { timeout: 1_800_000 }, () => {
  test.each(['Dataset902_RegionsMR', 'Dataset903_IgnoreMR'])('%s', async (name) => {
    const root = mkdtempSync(path.join(tmpdir(), 'voxgrad-peer-'))
    try {
      const roots = ['raw', 'preprocessed', 'results'].map((kind) => [kind, path.join(root, kind)])
      const folders = Object.fromEntries(roots) as Folders
      cpSync(path.join(raw, name), path.join(folders.raw, name), { recursive: true })
      const options = {
        dataset: name,
        configuration: '2d',
        fold: 0,
        plans: 'nnUNetPlansTiny',
        folders,
        threads: 1,
        budget: { epochs: 1, stepsPerEpoch: 8, valSteps: 1 },
        validation: { mirroring: false },
      } as const
      const result = await train(options).finished
      expect(result.status).toBe('finished')
      expectSameSummary(folders, name, result.folder)
    } finally {
      rmSync(root, { recursive: true, force: true })
    }
  })
})

/** One step of nnU-Net's own training of a cascade on what voxgrad's previous stage predicted. */
const oneStep = `
import torch
from nnunetv2.run.run_training import get_trainer_from_args
torch.set_num_threads(1)
trainer = get_trainer_from_args('9', '3d_cascade_fullres', 0, 'nnUNetTrainer', 'nnUNetPlansLeast', device=torch.device('cpu'))
trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = 1, 1, 1
trainer.run_training()
trainer.perform_actual_validation()
`

describe.skipIf(!isThere)('a cascade', { timeout: 1_800_000 }, () => {
  test("nnU-Net trains on voxgrad's previous stage and predicts the same with voxgrad's cascade", async () => {
    const dataset = await makeSmallDataset()
    try {
      const { folders, root, images } = dataset
      await plan({ dataset: '9', folders, preset: 'tiny' })
      writeLeastPlans(dataset)
      for (const configurations of [['3d_lowres'], ['3d_fullres']]) {
        await preprocess({ dataset: '9', folders, configurations, plans: 'nnUNetPlansLeast' })
      }
      const budget = { epochs: 2, stepsPerEpoch: 60, valSteps: 1 }
      const options = { plans: 'nnUNetPlansLeast', budget }
      await train(smallRun(dataset, { ...options, configuration: '3d_lowres', fold: 'all' })).finished
      const cascade = { ...options, configuration: '3d_cascade_fullres' }
      const { folder: run } = await train(smallRun(dataset, { ...cascade, validateAtEnd: false })).finished

      const model = (trainer: string, configuration: string) =>
        path.join(folders.results, `Dataset009_Boxes/${trainer}__nnUNetPlansLeast__${configuration}`)
      const [lowres, ours, theirs] = ['lowres', 'ours', 'theirs'].map((name) => path.join(root, name)) as [
        string,
        string,
        string,
      ]
      await predict({
        input: images,
        output: lowres,
        run: path.join(model('voxgrad', '3d_lowres'), 'fold_all'),
        threads: 1,
      }).finished
      await predict({ input: images, output: ours, run, previousStage: lowres, threads: 1 }).finished
      const which = ['-d', '9', '-c', '3d_cascade_fullres', '-p', 'nnUNetPlansLeast', '-tr', 'voxgrad', '-f', '0']
      const how = ['-device', 'cpu', '-npp', '1', '-nps', '1', '-prev_stage_predictions', lowres]
      nnunet(folders, command('nnUNetv2_predict'), '-i', images, '-o', theirs, ...which, ...how)
      await expectSameSegmentations(ours, theirs)

      const predicted = 'predicted_next_stage/3d_cascade_fullres'
      mkdirSync(path.join(model('nnUNetTrainer', '3d_lowres'), 'predicted_next_stage'), { recursive: true })
      cpSync(
        path.join(model('voxgrad', '3d_lowres'), predicted),
        path.join(model('nnUNetTrainer', '3d_lowres'), predicted),
        {
          recursive: true,
        },
      )
      nnunet(folders, python, '-c', oneStep)
      expect(
        existsSync(path.join(model('nnUNetTrainer', '3d_cascade_fullres'), 'fold_0/validation/summary.json')),
      ).toBe(true)
      // The other way round: voxgrad takes nnU-Net's predictions of the previous stage where its own are not there.
      rmSync(model('voxgrad', '3d_lowres'), { recursive: true })
      const again = path.join(root, 'again')
      expect((await train(smallRun(dataset, { ...cascade, run: again, validateAtEnd: false })).finished).status).toBe(
        'finished',
      )
    } finally {
      rmSync(dataset.root, { recursive: true, force: true })
    }
  })
})
