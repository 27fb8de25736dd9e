// The integrity check: sound datasets give no fault; every fault of every case is named in one go.
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import type { CaseProgress } from '../../src/case-pool.js'
import { parseDatasetJson } from '../../src/dataset/dataset-json.js'
import { checkDataset, describeFault, throwIfFaulty } from '../../src/dataset/integrity.js'
import { listCases, listImageFolder } from '../../src/dataset/raw.js'
import { datasetJson, makeRawDataset, writeVolume } from './raw-dataset.js'

let folder = ''
beforeEach(async () => {
  folder = await makeRawDataset()
})
const at = (name: string) => path.join(folder, name)

test('a sound dataset has no fault; progress counts the cases', async () => {
  const progress: CaseProgress[] = []
  expect(await checkDataset(folder, { jobs: 2, onProgress: (one) => progress.push(one) })).toEqual([])
  expect(progress.map((one) => one.done)).toEqual([1, 2, 3, 4])
  expect(progress.at(-1)).toMatchObject({ total: 4, secondsLeft: 0 })
})

test('every kind of fault, all at once', async () => {
  rmSync(at('imagesTr/case_0_0001.nii.gz'))
  await writeVolume(at('labelsTr/case_0.nii.gz'), { values: (index) => (index === 7 ? 9 : 0) }, 'label')
  await writeVolume(at('imagesTr/case_1_0000.nii.gz'), { values: (index) => (index < 3 ? Number.NaN : 1) }, 'image')
  await writeVolume(at('imagesTr/case_1_0001.nii.gz'), { shape: [4, 5, 7], spacing: [1, 1, 1.5] }, 'image')
  await writeVolume(at('labelsTr/case_1.nii.gz'), { shape: [3, 5, 6] }, 'label')
  truncateSync(at('imagesTr/case_2_0000.nii.gz'), 100)
  rmSync(at('labelsTr/case_2.nii.gz'))
  writeFileSync(at('imagesTr/case_3_0000.nii.gz'), 'no image')
  await writeVolume(at('labelsTr/case_3.nii.gz'), { spacing: [1, 1, 3], origin: [5, 0, 0] }, 'label')
  writeFileSync(at('imagesTr/readme.txt'), '')
  writeFileSync(at('imagesTr/._case_0_0000.nii.gz'), '')
  writeFileSync(at('dataset.json'), JSON.stringify({ ...datasetJson, numTraining: 5 }))

  const faults = await checkDataset(folder)
  const brief = faults.map(
    (fault) => `${fault.severity} ${fault.caseId} ${path.relative(folder, fault.file)}: ${fault.found}`,
  )
  expect(brief).toEqual([
    expect.stringMatching(/^warning null imagesTr\/readme.txt/),
    'error null dataset.json: 4',
    'error case_0 imagesTr/case_0_0001.nii.gz: no such file',
    'error case_0 labelsTr/case_0.nii.gz: 9 (1 voxels)',
    'error case_1 imagesTr/case_1_0000.nii.gz: 3 voxels that are NaN or infinite',
    'error case_1 imagesTr/case_1_0001.nii.gz: 4 x 5 x 7',
    'error case_1 imagesTr/case_1_0001.nii.gz: 1.5 x 1 x 1',
    'error case_1 labelsTr/case_1.nii.gz: 3 x 5 x 6',
    expect.stringMatching(/^error case_2 imagesTr\/case_2_0000.nii.gz: .*truncated or corrupt/),
    'error case_2 labelsTr/case_2.nii.gz: no such file',
    expect.stringMatching(/^error case_3 imagesTr\/case_3_0000.nii.gz: /),
    'error case_3 labelsTr/case_3.nii.gz: 3 x 1 x 1',
    expect.stringMatching(/^warning case_3 labelsTr\/case_3.nii.gz: 5 0 0/),
  ])
  expect(() => throwIfFaulty(folder, faults)).toThrow(/has 11 faults:[\s\S]*case_0[\s\S]*case_3/)
  expect(describeFault(faults[3] as (typeof faults)[number])).toBe(
    `error: case case_0: ${at('labelsTr/case_0.nii.gz')}: expected label values 0, 1, 2, found 9 (1 voxels); correct the file or "labels"`,
  )
})

test('a faulty dataset.json or a missing folder is one fault', async () => {
  rmSync(at('imagesTr'), { recursive: true })
  expect((await checkDataset(folder)).map(({ file, found }) => `${file}: ${found}`)).toEqual([
    expect.stringMatching(/imagesTr: that there is no such file/),
  ])
  writeFileSync(at('dataset.json'), JSON.stringify({ ...datasetJson, labels: { background: 0, a: 1, b: 3 } }))
  expect((await checkDataset(folder)).map((fault) => fault.found)).toEqual([expect.stringMatching(/consecutive/)])
})

describe('listing cases', () => {
  const content = () => JSON.parse(readFileSync(at('dataset.json'), 'utf8'))

  test('sorted by name in code point order, hidden and foreign files left out', () => {
    cpSync(at('imagesTr/case_0_0000.nii.gz'), at('imagesTr/Z_0000.nii.gz'))
    writeFileSync(at('imagesTr/._case_0_0000.nii.gz'), '')
    const cases = listCases(folder, parseDatasetJson(content(), 'x'))
    expect(cases.map((one) => one.caseId)).toEqual(['Z', 'case_0', 'case_1', 'case_2', 'case_3'])
    expect(cases[1]).toEqual({
      caseId: 'case_0',
      images: [at('imagesTr/case_0_0000.nii.gz'), at('imagesTr/case_0_0001.nii.gz')],
      label: at('labelsTr/case_0.nii.gz'),
    })
  })

  test('the "dataset" entry replaces the folders', () => {
    vi.stubEnv('VOXGRAD_TEST_FOLDER', '/data')
    vi.stubEnv('VOXGRAD_OUTSIDE_FILES', '1')
    const dataset = { b: { images: ['x/b.nii.gz', '$VOXGRAD_TEST_FOLDER/c.nii.gz'], label: '/y/b.nii.gz' } }
    expect(listCases(folder, parseDatasetJson({ ...content(), dataset }, 'x'))).toEqual([
      { caseId: 'b', images: [at('x/b.nii.gz'), '/data/c.nii.gz'], label: '/y/b.nii.gz' },
    ])
    vi.unstubAllEnvs()
  })

  test('the "dataset" entry lists nothing outside of the folder, and no links that lead there', () => {
    mkdirSync(at('inside'))
    symlinkSync('/etc/hostname', at('inside/link.nii.gz'))
    symlinkSync('/etc', at('inside/etc'))
    symlinkSync('../imagesTr/case_0_0000.nii.gz', at('inside/sound.nii.gz'))
    const list = (image: string) =>
      listCases(
        folder,
        parseDatasetJson({ ...content(), dataset: { b: { images: [image], label: 'inside/sound.nii.gz' } } }, 'x'),
      )
    expect(list('./inside/../imagesTr/x.nii.gz')).toHaveLength(1)
    for (const image of [
      '/etc/passwd',
      '../x.nii.gz',
      'inside/../../x.nii.gz',
      'inside/link.nii.gz',
      'inside/etc/hostname',
      '$HOME/x.nii.gz',
    ]) {
      expect(() => list(image), image).toThrow(/lists files outside of its folder/)
    }
    for (const caseId of ['../a', 'a/b', '/a', '..', '.', '', 'a\0b', 'a\\b', 'a\n', 'x'.repeat(300)]) {
      const dataset = { [caseId]: { images: ['a'], label: 'a' } }
      expect(() => parseDatasetJson({ ...content(), dataset }, 'x'), caseId).toThrow(/name of a case|__proto__/)
    }
    for (const ending of ['.nii.gz/../../x', './x', '.', 'nii', '.a b', '.nii\0']) {
      expect(() => parseDatasetJson({ ...content(), file_ending: ending }, 'x'), ending).toThrow(/file_ending/)
    }
  })

  test('images to predict need all channels', () => {
    const parsed = parseDatasetJson(content(), 'x')
    expect(listImageFolder(at('imagesTr'), parsed).map((one) => one.caseId)).toEqual([
      'case_0',
      'case_1',
      'case_2',
      'case_3',
    ])
    rmSync(at('imagesTr/case_1_0001.nii.gz'))
    rmSync(at('imagesTr/case_3_0000.nii.gz'))
    expect(() => listImageFolder(at('imagesTr'), parsed)).toThrow(
      /expected 2 channel files.*case_1 \(1\), case_3 \(1\)/,
    )
    expect(() => listImageFolder(at('labelsTr'), parsed)).toThrow(/found none/)
  })
})
