// Models that change hands: nnU-Net's predicted by voxgrad, and voxgrad's by nnU-Net, in 2D and 3D, of one fold and of
// five, with and without mirroring; and a run of voxgrad that nnU-Net's trainer takes over.
// VOXGRAD_PEER_PYTHON names a Python that has nnunetv2; VOXGRAD_PEER_PREDICT a folder of predictions as
// `npm run parity -- predict` takes it.
import { cpSync, existsSync, rmSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TrainInput } from '../../src/config/schema.js'
import { plan } from '../../src/plan/plan.js'
import { preprocess } from '../../src/preprocess/preprocess.js'
import { predict, train } from '../../src/train/jobs.js'
import { makeSmallDataset, type SmallDataset, smallRun } from '../train/small-dataset.js'
import { expectAgreeing, expectAgreement } from './expect-agreement.js'
import { compare, comparePredictions } from './kinds/predict.js'
import { command, isThere, nnunet, runJobs } from './nnunet.js'

if (!isThere) console.log('prediction parity skipped: VOXGRAD_PEER_PYTHON names no Python with nnunetv2')
expectAgreement('predict', process.env.VOXGRAD_PEER_PREDICT, 'VOXGRAD_PEER_PREDICT')

const plans = 'nnUNetPlansTiny'
const name = 'Dataset009_Boxes'
interface Change {
  configuration: string
  steps: number
  folds: number[]
  /** nnU-Net's class, and its counterpart. */
  trainer: string
  network?: TrainInput['network']
}
const five = [0, 1, 2, 3, 4]
const configurations: Change[] = [
  { configuration: '3d_fullres', steps: 40, folds: five, trainer: 'nnUNetTrainer' },
  { configuration: '2d', steps: 60, folds: five, trainer: 'nnUNetTrainer' },
  {
    configuration: '3d_fullres',
    steps: 40,
    folds: [0, 1],
    trainer: 'nnUNetTrainerBN',
    network: { normalization: 'batch' },
  },
]
const minutes = 60_000

describe.skipIf(!isThere)('models that change hands', () => {
  let dataset: SmallDataset
  const at = (...parts: string[]) => path.join(dataset.root, ...parts)

  beforeAll(async () => {
    dataset = await makeSmallDataset()
    await plan({ dataset: '9', folders: dataset.folders, preset: 'tiny' })
    await preprocess({ dataset: '9', folders: dataset.folders, plans })
  }, 10 * minutes)
  afterAll(() => rmSync(dataset.root, { recursive: true, force: true }))

  describe.each(configurations)('$configuration, $trainer', (change) => {
    const { configuration, steps, folds, trainer, network } = change
    const label = `${configuration}_${trainer}`
    test("nnU-Net's, predicted by voxgrad", { timeout: 20 * minutes }, async () => {
      const [all, one] = [at(`${label}_all`), at(`${label}_one`)] as [string, string]
      const model = path.join(dataset.folders.results, name, `${trainer}__${plans}__${configuration}`)
      const preprocessed = path.join(dataset.folders.preprocessed, name)
      runJobs(
        dataset.folders,
        ['train', preprocessed, plans, configuration, folds.join(), '2', String(steps), trainer],
        ['predict', model, folds.join(), dataset.images, all, 'float16'],
        ['predict', model, '0', dataset.images, one, 'float16'],
      )
      for (const [folder, parts] of [
        [all, ['']],
        [one, ['fold_0', 'dataset.json', 'plans.json']],
      ] as const) {
        cpSync(dataset.images, path.join(folder, 'in'), { recursive: true })
        for (const part of parts) cpSync(path.join(model, part), path.join(folder, 'model', part), { recursive: true })
        await expectAgreeing(compare(folder), 4)
      }
    })

    test("voxgrad's, predicted by nnU-Net", { timeout: 20 * minutes }, async () => {
      const model = at(`${label}_ours`)
      const budget = { epochs: 2, stepsPerEpoch: steps, valSteps: 1 }
      for (const fold of folds) {
        const run = path.join(model, `fold_${fold}`)
        await train(smallRun(dataset, { configuration, fold, run, budget, network, validateAtEnd: false })).finished
      }
      for (const wanted of [[0], folds]) {
        const theirs = at(`${label}_theirs_${wanted.length}`)
        runJobs(dataset.folders, ['predict', model, wanted.join(), dataset.images, theirs, 'float16'])
        for (const mirroring of [true, false]) {
          const output = at(`${label}_ours_${wanted.length}_${mirroring}`)
          const how = { mirroring, saveProbabilities: true, threads: 1 }
          await predict({ input: dataset.images, output, run: model, folds: wanted, ...how }).finished
          const expected = path.join(theirs, mirroring ? 'with_mirroring' : 'without_mirroring')
          await expectAgreeing(comparePredictions(output, expected, model), 2)
        }
      }
    })
  })

  test("is loaded by nnU-Net's trainer, which finds its epochs done and validates", {
    timeout: 10 * minutes,
  }, async () => {
    const copy = path.join(dataset.folders.results, name, `nnUNetTrainer_1epoch__${plans}__3d_fullres`)
    cpSync(at('3d_fullres_nnUNetTrainer_ours'), copy, { recursive: true })
    const how = ['-p', plans, '-tr', 'nnUNetTrainer_1epoch', '--c', '-device', 'cpu']
    const printed = nnunet(dataset.folders, command('nnUNetv2_train'), '9', '3d_fullres', '0', ...how)
    expect(printed).toMatch(/Mean Validation Dice: +0\.\d+/)
    expect(existsSync(path.join(copy, 'fold_0/validation/summary.json'))).toBe(true)
  })
})
