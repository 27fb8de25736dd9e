// A run of voxgrad in the hands of the real nnU-Net: it predicts with the folder, and continues from the checkpoint.
// VOXGRAD_PEER_PYTHON names a Python that has nnunetv2.
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, readdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readSegmentation } from '../../src/dataset/image.js'
import { predict, train } from '../../src/train/jobs.js'
import { makeSmallDataset, type SmallDataset, smallRun } from '../train/small-dataset.js'

const python = process.env.VOXGRAD_PEER_PYTHON ?? ''
const there = existsSync(python)
if (!there) console.log('prediction parity skipped: VOXGRAD_PEER_PYTHON names no Python with nnunetv2')

/** nnU-Net adds tiles in float16: at most this share of the voxels, where two labels nearly tie, may differ. */
const largestDifference = 2e-4
const model = 'Dataset009_Boxes/voxgrad__nnUNetPlansTiny__3d_fullres'

describe.skipIf(!there)('a run in the hands of nnU-Net', () => {
  let dataset: SmallDataset
  let run: string

  beforeAll(async () => {
    dataset = await makeSmallDataset()
    const budget = { epochs: 2, stepsPerEpoch: 60, valSteps: 2 }
    run = (await train(smallRun(dataset, { budget, validateAtEnd: false })).finished).folder
  }, 600_000)
  afterAll(() => rmSync(dataset.root, { recursive: true, force: true }))

  function nnunet(program: string, ...args: string[]): string {
    const { raw, preprocessed, results } = dataset.folders
    const roots = { nnUNet_raw: raw, nnUNet_preprocessed: preprocessed, nnUNet_results: results }
    const limits = { OMP_NUM_THREADS: '1', nnUNet_n_proc_DA: '1', nnUNet_def_n_proc: '1' }
    const { status, stdout, stderr } = spawnSync(path.join(path.dirname(python), program), args, {
      env: { ...process.env, ...roots, ...limits },
      encoding: 'utf8',
    })
    expect(status, stderr).toBe(0)
    return stdout
  }

  test.each([true, false])(
    'predicts the same segmentations (mirroring %s)',
    { timeout: 600_000 },
    async (mirroring) => {
      const [ours, theirs] = ['ours', 'theirs'].map((name) => path.join(dataset.root, `${name}_${mirroring}`)) as [
        string,
        string,
      ]
      await predict({ input: dataset.images, output: ours, run, mirroring, threads: 1 }).finished
      const which = ['-d', '9', '-c', '3d_fullres', '-p', 'nnUNetPlansTiny', '-tr', 'voxgrad', '-f', '0']
      const how = ['-device', 'cpu', '-npp', '1', '-nps', '1', ...(mirroring ? [] : ['--disable_tta'])]
      nnunet('nnUNetv2_predict', '-i', dataset.images, '-o', theirs, ...which, ...how)
      const files = readdirSync(ours).filter((file) => file.endsWith('.nii.gz'))
      expect(files).toHaveLength(2)
      for (const file of files) {
        const [mine, reference] = await Promise.all(
          [ours, theirs].map((folder) => readSegmentation(path.join(folder, file))),
        )
        expect(mine?.geometry).toEqual(reference?.geometry)
        const different = mine?.labels.filter((label, i) => label !== reference?.labels[i]).length ?? Number.NaN
        expect(different / (mine?.labels.length ?? 0)).toBeLessThanOrEqual(largestDifference)
        expect(new Set(mine?.labels)).toEqual(new Set([0, 1, 2]))
      }
    },
  )

  test("is loaded by nnU-Net's trainer, which finds its epochs done and validates", { timeout: 600_000 }, () => {
    const copy = path.join(dataset.folders.results, model.replace('voxgrad', 'nnUNetTrainer_1epoch'))
    cpSync(path.join(dataset.folders.results, model), copy, { recursive: true })
    const how = ['-p', 'nnUNetPlansTiny', '-tr', 'nnUNetTrainer_1epoch', '--c', '-device', 'cpu']
    expect(nnunet('nnUNetv2_train', '9', '3d_fullres', '0', ...how)).toMatch(/Mean Validation Dice: +0\.\d+/)
    expect(existsSync(path.join(copy, 'fold_0/validation/summary.json'))).toBe(true)
  })
})
