// What preprocessing a dataset writes and leaves, with good cases, faulty ones, and an abort in the middle.
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { CaseProgress } from '../../src/case-pool.js'
import type { PreprocessInput } from '../../src/config/schema.js'
import { readDatasetJson } from '../../src/dataset/dataset-json.js'
import { type Geometry, writeSegmentation } from '../../src/dataset/image.js'
import { writeJson } from '../../src/files.js'
import { extractFingerprint } from '../../src/preprocess/fingerprint.js'
import { preprocess } from '../../src/preprocess/preprocess.js'

const name = 'Dataset007_Test'
const caseIds = ['case_a', 'case_b', 'case_c', 'case_d', 'case_e']
const shape: [number, number, number] = [7, 8, 9]
const geometry: Geometry = {
  sitk_stuff: { spacing: [1, 1, 1.5], origin: [0, 0, 0], direction: [1, 0, 0, 0, 1, 0, 0, 0, 1] },
}
const resampling = { is_seg: false, order: 3, order_z: 0, force_separate_z: null }

let root: string
let raw: string
let target: string
let options: PreprocessInput

beforeEach(async () => {
  root = mkdtempSync(path.join(tmpdir(), 'voxgrad-preprocess-'))
  raw = path.join(root, 'raw', name)
  target = path.join(root, 'preprocessed', name)
  for (const folder of [path.join(raw, 'imagesTr'), path.join(raw, 'labelsTr'), target])
    mkdirSync(folder, { recursive: true })
  await writeJson(path.join(raw, 'dataset.json'), {
    channel_names: { 0: 'MR' },
    labels: { background: 0, organ: 1 },
    numTraining: caseIds.length,
    file_ending: '.nii.gz',
  })
  const configuration = (data_identifier: string, spacing: number[]) => ({
    data_identifier,
    spacing,
    preprocessor_name: 'DefaultPreprocessor',
    batch_size: 2,
    patch_size: spacing.map(() => 8),
    normalization_schemes: ['ZScoreNormalization'],
    use_mask_for_norm: [false],
    resampling_fn_data: 'resample_data_or_seg_to_shape',
    resampling_fn_seg: 'resample_data_or_seg_to_shape',
    resampling_fn_data_kwargs: resampling,
    resampling_fn_seg_kwargs: { ...resampling, is_seg: true, order: 1 },
    resampling_fn_probabilities_kwargs: { ...resampling, order: 1 },
    architecture: {},
    batch_dice: false,
  })
  const statistics = { max: 1, mean: 1, median: 1, min: 1, percentile_00_5: 1, percentile_99_5: 1, std: 1 }
  await writeJson(path.join(target, 'nnUNetPlans.json'), {
    dataset_name: name,
    plans_name: 'nnUNetPlans',
    image_reader_writer: 'SimpleITKIO',
    transpose_forward: [0, 1, 2],
    transpose_backward: [0, 1, 2],
    configurations: { '2d': configuration('data_2d', [0.9, 1.1]), '3d_fullres': configuration('data_3d', [1.2, 1, 1]) },
    foreground_intensity_properties_per_channel: { 0: statistics },
  })
  for (const [index, caseId] of caseIds.entries()) await writeCase(caseId, index)
  options = {
    folders: { raw: path.join(root, 'raw'), preprocessed: path.join(root, 'preprocessed') },
    dataset: '7',
  }
})
afterEach(() => rmSync(root, { recursive: true }))

async function writeCase(caseId: string, seed: number, labelShape = shape): Promise<void> {
  const voxels = shape[0] * shape[1] * shape[2]
  const image = Uint8Array.from({ length: voxels }, (_, i) => (i * (17 + seed) + seed) % 200)
  const labels = Uint8Array.from({ length: labelShape[0] * labelShape[1] * labelShape[2] }, (_, i) =>
    i % 9 > 4 ? 1 : 0,
  )
  await writeSegmentation(path.join(raw, 'imagesTr', `${caseId}_0000.nii.gz`), image, shape, {
    geometry,
    spacing: [1, 1, 1],
  })
  await writeSegmentation(path.join(raw, 'labelsTr', `${caseId}.nii.gz`), labels, labelShape, {
    geometry,
    spacing: [1, 1, 1],
  })
}

/** Names and content of everything below the preprocessed dataset. */
function snapshot(): Record<string, string> {
  const files = readdirSync(target, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return Object.fromEntries(
    files
      .map((entry) => path.join(entry.parentPath, entry.name))
      .sort()
      .map((file) => [path.relative(target, file), createHash('sha256').update(readFileSync(file)).digest('hex')]),
  )
}

describe('preprocess', () => {
  it('writes three files a case, the labels and the splits, and reports its progress', async () => {
    const events: CaseProgress[] = []
    const result = await preprocess(options, { onProgress: (event) => events.push(event) })
    expect(result).toEqual({
      cases: 5,
      folders: [
        { configuration: '2d', folder: path.join(target, 'data_2d') },
        { configuration: '3d_fullres', folder: path.join(target, 'data_3d') },
      ],
    })
    const files = caseIds.flatMap((caseId) => [`${caseId}.b2nd`, `${caseId}.pkl`, `${caseId}_seg.b2nd`])
    expect(readdirSync(path.join(target, 'data_3d')).sort()).toEqual(files)
    expect(readdirSync(path.join(target, 'data_2d')).sort()).toEqual(files)
    expect(readdirSync(path.join(target, 'gt_segmentations'))).toHaveLength(5)
    expect(readdirSync(target).sort()).toEqual(
      ['data_2d', 'data_3d', 'gt_segmentations', 'nnUNetPlans.json', 'splits_final.json'].sort(),
    )
    expect(events.map((event) => event.done)).toEqual([1, 2, 3, 4, 5])
    expect(events.at(-1)).toMatchObject({ total: 5, secondsLeft: 0 })
    expect(new Set(events.map((event) => event.caseId))).toEqual(new Set(caseIds))
  })

  it('writes the same bytes with any number of jobs, and keeps the splits that are there', async () => {
    await preprocess({ ...options, jobs: 1 })
    writeFileSync(path.join(target, 'splits_final.json'), '[]')
    const first = snapshot()
    await preprocess({ ...options, jobs: 4 })
    expect(snapshot()).toEqual(first)
  })

  it('names all faulty cases at once and leaves the earlier data as they were', async () => {
    await preprocess(options)
    const before = snapshot()
    await writeCase('case_b', 1, [7, 8, 8])
    writeFileSync(path.join(raw, 'imagesTr', 'case_d_0000.nii.gz'), 'no image')
    const failure = await preprocess(options).catch((error) => error)
    expect(failure.code).toBe('ERR_IMAGE')
    expect(failure.message).toMatch(
      /2 of 5 cases are faulty[\s\S]*case_b: .*one grid[\s\S]*case_d: .*case_d_0000.nii.gz/,
    )
    expect(snapshot()).toEqual(before)
  })

  it('names all missing files before it does anything', async () => {
    rmSync(path.join(raw, 'labelsTr', 'case_a.nii.gz'))
    rmSync(path.join(raw, 'labelsTr', 'case_c.nii.gz'))
    const failure = await preprocess(options).catch((error) => error)
    expect(failure.message).toMatch(/2 files of the dataset are missing[\s\S]*case_a.nii.gz[\s\S]*case_c.nii.gz/)
    expect(readdirSync(target)).toEqual(['nnUNetPlans.json'])
  })

  it('stops on an abort and leaves nothing behind', async () => {
    const controller = new AbortController()
    const onProgress = () => controller.abort(new Error('enough'))
    await expect(preprocess({ ...options, jobs: 1 }, { signal: controller.signal, onProgress })).rejects.toThrow(
      'enough',
    )
    expect(readdirSync(target)).toEqual(['nnUNetPlans.json'])
  })

  it('refuses a configuration that the plans lack', async () => {
    await expect(preprocess({ ...options, configurations: ['3d_lowres'] })).rejects.toMatchObject({
      code: 'ERR_PLANS',
    })
  })

  it('says what is wrong where the output cannot be written', async () => {
    copyFileSync(path.join(target, 'nnUNetPlans.json'), path.join(target, 'data_3d.unfinished'))
    mkdirSync(path.join(target, 'gt_segmentations'))
    mkdirSync(path.join(target, 'gt_segmentations', 'case_a.nii.gz.unfinished'))
    const failure = await preprocess(options).catch((error) => error)
    expect(failure).toMatchObject({ code: 'ERR_DISK' })
    expect(failure.message).toContain('gt_segmentations')
    expect(existsSync(path.join(target, 'data_3d'))).toBe(false)
    expect(existsSync(path.join(target, 'data_3d.unfinished'))).toBe(false)
  })
})

describe('extractFingerprint', () => {
  it('collects extents, spacings and statistics in the order of the cases', async () => {
    const events: CaseProgress[] = []
    const datasetJson = await readDatasetJson(path.join(raw, 'dataset.json'))
    const found = await extractFingerprint(raw, datasetJson, { jobs: 2, onProgress: (event) => events.push(event) })
    expect(found.shapes_after_crop).toEqual(caseIds.map(() => shape))
    expect(found.spacings).toEqual(caseIds.map(() => [1.5, 1, 1]))
    expect(found.median_relative_size_after_cropping).toBe(1)
    expect(found.foreground_intensity_properties_per_channel['0']).toMatchObject({ min: 0, max: 199 })
    expect(events).toHaveLength(5)
  })
})
