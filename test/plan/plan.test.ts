// The verb `plan` on disk: which files it writes, reuses and keeps, and what stops it.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { parseJson } from '../../src/json.js'
import { plan } from '../../src/plan/plan.js'
import type { Plans } from '../../src/plan/plans.js'
import { makeRawDataset } from '../dataset/raw-dataset.js'

const statistics = { max: 9, mean: Number.NaN, median: 1, min: 0, percentile_00_5: 0, percentile_99_5: 8, std: 2 }
const fingerprint = {
  foreground_intensity_properties_per_channel: { '0': statistics, '1': statistics },
  median_relative_size_after_cropping: 1,
  shapes_after_crop: Array(4).fill([40, 50, 60]),
  spacings: Array(4).fill([1, 1, 1]),
}

let raw = ''
let preprocessed = ''
let target = ''
beforeEach(async () => {
  const dataset = await makeRawDataset()
  raw = path.dirname(dataset)
  preprocessed = path.join(raw, '../preprocessed-', path.basename(raw))
  target = path.join(preprocessed, 'Dataset007_Test')
})
const withFingerprint = () => {
  mkdirSync(target, { recursive: true })
  const text = JSON.stringify(fingerprint).replaceAll('"mean":null', '"mean":NaN')
  writeFileSync(path.join(target, 'dataset_fingerprint.json'), text)
}
const run = (options: object = {}) => plan({ dataset: '7', raw, preprocessed, ...options })
const read = (name: string) => parseJson(readFileSync(path.join(target, name), 'utf8'), name)

describe('with a fingerprint', () => {
  beforeEach(withFingerprint)

  test('writes plans and a copy of dataset.json, and reads no image', async () => {
    rmSync(path.join(raw, 'Dataset007_Test/imagesTr'), { recursive: true })
    const result = await run()
    expect(result).toMatchObject({ fingerprintMade: false, dataset: { id: 7, name: 'Dataset007_Test' } })
    expect(readdirSync(target).sort()).toEqual(['dataset.json', 'dataset_fingerprint.json', 'nnUNetPlans.json'])
    expect(readFileSync(path.join(target, 'dataset.json'))).toEqual(
      readFileSync(path.join(raw, 'Dataset007_Test/dataset.json')),
    )
    const plans = read('nnUNetPlans.json') as Plans
    expect(plans).toEqual(result.plans)
    expect(plans.image_reader_writer).toBe('SimpleITKIO')
    expect(plans.foreground_intensity_properties_per_channel['0']?.mean).toBeNaN()
  })

  test('the raw folder may be missing altogether', async () => {
    await run()
    rmSync(path.join(raw, 'Dataset007_Test'), { recursive: true })
    expect((await run({ preset: 'tiny' })).plansFile).toBe(path.join(target, 'nnUNetPlansTiny.json'))
  })

  test('configurations of an existing plans file that the planner does not make are kept', async () => {
    await run()
    const plans = read('nnUNetPlans.json') as Plans
    plans.configurations['2d'] = { batch_size: 1 }
    plans.configurations.mine = { inherits_from: '3d_fullres', batch_size: 11 }
    writeFileSync(path.join(target, 'nnUNetPlans.json'), JSON.stringify(plans))
    const { configurations } = (await run()).plans
    expect(Object.keys(configurations)).toEqual(['2d', '3d_fullres', 'mine'])
    expect(configurations.mine?.batch_size).toBe(11)
    expect(configurations['2d']?.batch_size).toBeGreaterThan(1)
  })

  test('splits of the raw folder are carried over, others refused', async () => {
    const splits = (ids: string[]) => JSON.stringify([{ train: ids, val: ['case_3'] }])
    writeFileSync(path.join(raw, 'Dataset007_Test/splits_final.json'), splits(['case_0', 'case_1']))
    await run()
    expect(read('splits_final.json')).toEqual([{ train: ['case_0', 'case_1'], val: ['case_3'] }])
    writeFileSync(path.join(target, 'splits_final.json'), splits(['case_1', 'case_0']))
    await run()
    writeFileSync(path.join(target, 'splits_final.json'), splits(['case_2', 'case_0']))
    await expect(run()).rejects.toThrow(/expected the splits of .* found another fold 0/)
  })

  test('a damaged plans file is refused and stays', async () => {
    writeFileSync(path.join(target, 'nnUNetPlans.json'), '{"half":')
    await expect(run()).rejects.toMatchObject({ code: 'ERR_FORMAT' })
    expect(readFileSync(path.join(target, 'nnUNetPlans.json'), 'utf8')).toBe('{"half":')
  })
})

describe('without a fingerprint', () => {
  test('a faulty dataset is named with all its faults and nothing is written', async () => {
    rmSync(path.join(raw, 'Dataset007_Test/imagesTr/case_1_0000.nii.gz'))
    rmSync(path.join(raw, 'Dataset007_Test/labelsTr/case_2.nii.gz'))
    await expect(run()).rejects.toThrow(/2 faults:[\s\S]*case_1[\s\S]*case_2/)
    expect(existsSync(target)).toBe(false)
  })

  test('cases are checked and measured, with progress', async () => {
    const seen = new Set<string>()
    const result = await run({ onProgress: (progress: { stage: string }) => seen.add(progress.stage) })
    expect(result.fingerprintMade).toBe(true)
    expect([...seen]).toEqual(['check', 'fingerprint'])
    expect(read('dataset_fingerprint.json')).toMatchObject({ spacings: Array(4).fill([1, 1, 1]) })
  })
})
