// Import of decathlon tasks: nnU-Net's layout and dataset.json, 4D images split, nothing left behind by a faulty task.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { resolveFolders } from '../../src/config/folders.js'
import { readCaseImages } from '../../src/dataset/image.js'
import { importDecathlon } from '../../src/dataset/import.js'
import { checkDataset } from '../../src/dataset/integrity.js'
import { encodeNifti, writeNifti } from '../../src/dataset/nifti.js'
import { headerFromItk } from '../../src/dataset/nifti-geometry.js'
import { writeVolume } from './raw-dataset.js'

let task = ''
let raw = ''
const folders = () => resolveFolders({ raw }, {})
const content = {
  name: 'Brain Tumor',
  description: 'made up',
  modality: { '0': 'FLAIR', '1': 'T1w' },
  labels: { '0': 'background', '1': 'edema', '2': 'core' },
  numTraining: 2,
  numTest: 1,
  training: ['a', 'b'].map((id) => ({ image: `./imagesTr/${id}.nii.gz`, label: `./labelsTr/${id}.nii.gz` })),
  test: ['./imagesTs/c.nii.gz'],
}
const writeJson = (changes: object) =>
  writeFileSync(path.join(task, 'dataset.json'), JSON.stringify({ ...content, ...changes }))

const grid = headerFromItk(
  { spacing: [1, 2, 3], origin: [4, 5, 6], direction: [1, 0, 0, 0, -1, 0, 0, 0, 1] },
  [4, 5, 6],
)
const fourDimensional = { ...grid, extents: [6, 5, 4, 2], pixdim: [...grid.pixdim.slice(0, 4), 1, 0, 0, 0] }
const values = Int16Array.from({ length: 240 }, (_, index) => index - 100)

beforeEach(async () => {
  const root = mkdtempSync(path.join(tmpdir(), 'voxgrad-import-'))
  raw = path.join(root, 'raw')
  task = path.join(root, 'Task01_BrainTumour')
  for (const part of ['imagesTr', 'labelsTr', 'imagesTs']) mkdirSync(path.join(task, part), { recursive: true })
  writeJson({})
  for (const image of ['imagesTr/a', 'imagesTr/b', 'imagesTs/c']) {
    await writeNifti(path.join(task, `${image}.nii.gz`), fourDimensional, values)
    writeFileSync(path.join(task, path.dirname(image), `._${path.basename(image)}.nii.gz`), 'macOS')
  }
  const geometry = { spacing: [1, 2, 3], origin: [4, 5, 6] }
  for (const label of ['a', 'b']) {
    await writeVolume(path.join(task, `labelsTr/${label}.nii.gz`), geometry, 'label')
  }
})

test('4D images become one file a channel, in the layout and with the dataset.json of nnU-Net', async () => {
  const result = await importDecathlon(task, 1, folders())
  expect(result).toEqual({
    id: 1,
    name: 'Dataset001_BrainTumour',
    folder: path.join(raw, 'Dataset001_BrainTumour'),
    trainingCases: 2,
    testCases: 1,
  })
  expect(readdirSync(path.join(result.folder, 'imagesTr')).sort()).toEqual(
    ['a_0000', 'a_0001', 'b_0000', 'b_0001'].map((name) => `${name}.nii.gz`),
  )
  expect(readdirSync(path.join(result.folder, 'imagesTs')).sort()).toEqual(['c_0000.nii.gz', 'c_0001.nii.gz'])
  expect(JSON.parse(readFileSync(path.join(result.folder, 'dataset.json'), 'utf8'))).toEqual({
    name: 'Brain Tumor',
    description: 'made up',
    labels: { background: 0, edema: 1, core: 2 },
    numTraining: 2,
    numTest: 1,
    file_ending: '.nii.gz',
    channel_names: { '0': 'FLAIR', '1': 'T1w' },
  })
  const second = await readCaseImages([path.join(result.folder, 'imagesTr/a_0001.nii.gz')], 'a')
  expect([...second.image.data]).toEqual([...values.slice(120)])
  expect(second.geometry).toMatchObject({ sitk_stuff: { spacing: [1, 2, 3], origin: [4, 5, 6] } })
  const errors = (await checkDataset(result.folder)).filter((fault) => fault.severity === 'error')
  expect(errors).toEqual([])
  expect(readdirSync(raw)).toEqual(['Dataset001_BrainTumour'])
})

describe('refusals leave nothing behind', () => {
  const refused = async (message: RegExp) => {
    await expect(importDecathlon(task, 1, folders())).rejects.toThrow(message)
    expect(existsSync(raw) ? readdirSync(raw) : []).toEqual([])
  }

  test('an id in use', async () => {
    mkdirSync(path.join(raw, 'Dataset001_Other'), { recursive: true })
    await expect(importDecathlon(task, 1, folders())).rejects.toThrow(/id 1 is already in use: .*Dataset001_Other/)
    await expect(importDecathlon(task, 1000, folders())).rejects.toThrow(/from 1 to 999/)
  })

  test('names that lead out of the folder, files that are missing', async () => {
    writeJson({ training: [{ image: '../../secret.nii.gz', label: '/etc/passwd' }], test: ['./imagesTs/none.nii.gz'] })
    await refused(/secret.nii.gz" lies outside[\s\S]*passwd" lies outside[\s\S]*none.nii.gz" is listed, but/)
  })

  test('damaged images, all at once', async () => {
    truncateSync(path.join(task, 'imagesTr/a.nii.gz'), 60)
    writeFileSync(path.join(task, 'labelsTr/b.nii.gz'), encodeNifti(grid, new Int16Array(100)))
    await refused(/2 of 3 cases are faulty[\s\S]*imagesTr\/a.nii.gz[\s\S]*labelsTr\/b.nii.gz/)
  })

  test('another number of channels, a foreign dataset.json', async () => {
    writeJson({ modality: { '0': 'FLAIR' } })
    await refused(/expected 1 channels as "modality" says, found 6 x 5 x 4 x 2 voxels/)
    writeJson({ training: undefined })
    await refused(/"training"/)
    rmSync(path.join(task, 'dataset.json'))
    await refused(/no such file/)
  })
})

const hippocampus = path.join(import.meta.dirname, '../../../shared/data/Task04_Hippocampus')

test.skipIf(!existsSync(hippocampus))(
  'the 208 Hippocampus cases (skipped where ../shared/data is missing)',
  async () => {
    const result = await importDecathlon(hippocampus, 4, folders())
    expect(result).toMatchObject({ name: 'Dataset004_Hippocampus', trainingCases: 208, testCases: 0 })
    expect(await checkDataset(result.folder)).toEqual([])
  },
)
