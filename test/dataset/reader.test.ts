// Which of nnU-Net's readers a dataset gets, by file ending, dataset.json and what SimpleITK can read.
import { readdirSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { parseDatasetJson } from '../../src/dataset/dataset-json.js'
import { readerFor, supportedReader } from '../../src/dataset/image.js'
import { readerName, readerOfCases } from '../../src/dataset/raw.js'
import { datasetJson } from './raw-dataset.js'

const parse = (changes: object = {}) => parseDatasetJson({ ...datasetJson, ...changes }, 'dataset.json')
const goldens = path.join(import.meta.dirname, '../goldens/nifti/files')
const golden = (kind: string) => {
  const name = readdirSync(goldens).find((file) => file.includes(kind)) as string
  return [{ caseId: name, images: [path.join(goldens, name)] }]
}

test('by file ending, unless dataset.json fixes one', async () => {
  expect(readerFor(parse())).toBe('SimpleITKIO')
  expect(readerFor(parse({ file_ending: '.nii' }))).toBe('NibabelIO')
  expect(readerFor(parse({ overwrite_image_reader_writer: 'NibabelIO' }))).toBe('NibabelIO')
  expect(() => readerFor(parse({ file_ending: '.png' }))).toThrow(/".png" are not supported yet, NIfTI is/)
  expect(() => readerFor(parse({ overwrite_image_reader_writer: 'Tiff3DIO' }))).toThrow(
    /"Tiff3DIO" is not supported yet/,
  )
  expect(() => supportedReader('NaturalImage2DIO', 'plans.json')).toThrow(/^plans.json: "NaturalImage2DIO"/)
})

test('nibabel where SimpleITK cannot read the first image', async () => {
  expect(await readerOfCases(parse(), golden('v1_little_u1_3d'))).toBe('SimpleITKIO')
  expect(await readerOfCases(parse(), golden('v2_'))).toBe('NibabelIO')
  expect(await readerOfCases(parse({ overwrite_image_reader_writer: 'SimpleITKIO' }), golden('v2_'))).toBe(
    'SimpleITKIO',
  )
  expect(await readerOfCases(parse(), [{ caseId: 'x', images: ['/none.nii.gz'] }])).toBe('SimpleITKIO')
})

test('planning without images needs the name alone', async () => {
  expect(await readerName(parse(), [])).toBe('SimpleITKIO')
  expect(await readerName(parse({ file_ending: '.png' }), [])).toBe('NaturalImage2DIO')
  await expect(readerName(parse({ file_ending: '.jpg' }), [])).rejects.toThrow(/".jpg" are not supported/)
})
