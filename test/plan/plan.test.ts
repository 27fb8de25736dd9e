// The verb `plan` on disk: which files it writes, reuses and keeps, and what stops it.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { parseJson } from '../../src/json.js'
import { type PlanSettings, plan } from '../../src/plan/plan.js'
import type { ConfigurationEntry, Plans } from '../../src/plan/plans.js'
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
const run = (options: object = {}, settings: PlanSettings = {}) =>
  plan({ dataset: '7', folders: { raw, preprocessed }, ...options }, settings)
const read = (name: string) => parseJson(readFileSync(path.join(target, name), 'utf8'), name)

describe('with a fingerprint', () => {
  beforeEach(withFingerprint)

  test('takes what a script changes, and refuses what are no plans any more', async () => {
    const change = (plans: Plans): Plans => {
      const full = plans.configurations['3d_fullres'] as ConfigurationEntry
      return { ...plans, configurations: { '3d_fullres': { ...full, patch_size: [32, 32, 32], batch_size: 4 } } }
    }
    const { plans, plansFile } = await run({ plansName: 'nnUNetPlansSmallPatch' }, { change })
    expect(path.basename(plansFile)).toBe('nnUNetPlansSmallPatch.json')
    expect(plans).toMatchObject({
      plans_name: 'nnUNetPlansSmallPatch',
      configurations: {
        '3d_fullres': { patch_size: [32, 32, 32], batch_size: 4, data_identifier: 'nnUNetPlansSmallPatch_3d_fullres' },
      },
    })
    expect(read('nnUNetPlansSmallPatch.json')).toMatchObject({ configurations: plans.configurations })
    const without = ({ configurations: _, ...others }: Plans) => others as Plans
    await expect(run({ plansName: 'nnUNetPlansNone' }, { change: without })).rejects.toThrow(
      /What `change` returned: expected nnU-Net plans, found a file without configurations/,
    )
    expect(readdirSync(target)).not.toContain('nnUNetPlansNone.json')
  })

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
    plans.configurations.mine = { inherits_from: '3d_fullres', batch_size: 11 }
    writeFileSync(path.join(target, 'nnUNetPlans.json'), JSON.stringify(plans))
    const { configurations } = (await run()).plans
    expect(Object.keys(configurations)).toEqual(['2d', '3d_fullres', 'mine'])
    expect(configurations.mine?.batch_size).toBe(11)
  })

  test('configurations with other numbers for the same data are replaced only when that is asked for', async () => {
    const { plans } = await run()
    // The last digit of a number, as another program may write it, changes nothing.
    const [extent] = plans.configurations['2d']?.spacing ?? []
    plans.configurations['2d'] = { ...plans.configurations['2d'], spacing: [(extent ?? 0) * (1 + 1e-15), 1] }
    writeFileSync(path.join(target, 'nnUNetPlans.json'), JSON.stringify(plans))
    await run()

    const before = readdirSync(target)
    await expect(run({ gpuMemoryGb: 0.1 })).rejects.toMatchObject({
      code: 'ERR_PLANS',
      message: expect.stringMatching(/nnUNetPlans.json has other numbers for .*3d_fullres.*--plans-name.*--overwrite/),
    })
    expect(readdirSync(target)).toEqual(before)
    expect((read('nnUNetPlans.json') as Plans).configurations).toEqual((await run()).plans.configurations)

    const small = await run({ gpuMemoryGb: 0.1, plansName: 'Small' })
    expect(path.basename(small.plansFile)).toBe('Small.json')
    expect(small.plans.plans_name).toBe('Small')
    expect(small.plans.configurations['3d_fullres']?.data_identifier).toBe('Small_3d_fullres')
    expect((await run({ gpuMemoryGb: 0.1, overwrite: true })).plans.configurations['3d_fullres']?.patch_size).toEqual(
      small.plans.configurations['3d_fullres']?.patch_size,
    )
  })

  test('says which other plans expect other data in a folder that they share', async () => {
    const warnings: string[] = []
    const onWarning = (text: string) => warnings.push(text)
    await run({ preset: 'resenc-m' }, { onWarning })
    await run({ preset: 'tiny' }, { onWarning })
    await run({}, { onWarning })
    expect(warnings).toEqual([])
    const finer = { ...fingerprint, spacings: Array(4).fill([0.5, 1, 1]) }
    writeFileSync(path.join(target, 'dataset_fingerprint.json'), JSON.stringify(finer).replaceAll('null', 'NaN'))
    await run({}, { onWarning })
    expect(warnings).toHaveLength(4)
    expect(warnings[1]).toMatch(
      /^nnUNetPlansTiny.json expects other data .* in nnUNetPlans_3d_fullres, for its 3d_fullres: spacing 1 x 1 x 1 in place/,
    )
  })

  test('plans of other data are replaced, as nnU-Net does', async () => {
    const { plans } = await run()
    const larger = { ...fingerprint, shapes_after_crop: Array(4).fill([80, 100, 120]) }
    const text = JSON.stringify(larger).replaceAll('"mean":null', '"mean":NaN')
    writeFileSync(path.join(target, 'dataset_fingerprint.json'), text)
    expect((await run()).plans.configurations['2d']?.patch_size).not.toEqual(plans.configurations['2d']?.patch_size)
  })

  test.each([
    [{ preset: 'resenc-s' }, /preset: expected one of default, tiny, resenc-m, resenc-l, resenc-xl, found "resenc-s"/],
    [{ gpuMemoryGb: 0 }, /gpuMemoryGb: expected a number above 0, found 0/],
    [{ plansName: 'a__b' }, /plansName: expected a name .* without two "_" in a row.*found "a__b"/],
    [{ plansName: '../x' }, /plansName: expected a name/],
    [{ presets: 'tiny' }, /presets: there is no such option, did you mean preset\?/],
  ])('%j is refused', async (options, message) => {
    await expect(run(options)).rejects.toMatchObject({ code: 'ERR_CONFIG', message: expect.stringMatching(message) })
    expect(readdirSync(target)).toEqual(['dataset_fingerprint.json'])
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
    const result = await run({}, { onProgress: ({ stage }) => seen.add(stage) })
    expect(result.fingerprintMade).toBe(true)
    expect([...seen]).toEqual(['check', 'fingerprint'])
    expect(read('dataset_fingerprint.json')).toMatchObject({ spacings: Array(4).fill([1, 1, 1]) })
  })
})
