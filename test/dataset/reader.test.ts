// Which of nnU-Net's readers a dataset gets, by file ending, dataset.json and what SimpleITK can read.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect, test } from 'vitest'
import { parseDatasetJson } from '../../src/dataset/dataset-json.js'
import { writeSegmentation } from '../../src/dataset/image.js'
import { readerOfCases } from '../../src/dataset/raw.js'
import { datasetJson } from './raw-dataset.js'

const parse = (changes: object = {}) => parseDatasetJson({ ...datasetJson, ...changes }, 'dataset.json')
const goldens = path.join(import.meta.dirname, '../goldens/nifti/files')
const golden = (kind: string) => {
  const name = readdirSync(goldens).find((file) => file.includes(kind)) as string
  return [{ caseId: name, images: [path.join(goldens, name)] }]
}

test('by file ending, unless dataset.json fixes one', async () => {
  const chosen = (changes: object) => readerOfCases(parse(changes), [])
  expect(await chosen({})).toBe('SimpleITKIO')
  expect(await chosen({ file_ending: '.nii' })).toBe('NibabelIO')
  expect(await chosen({ file_ending: '.PNG' })).toBe('NaturalImage2DIO')
  expect(await chosen({ file_ending: '.tif' })).toBe('NaturalImage2DIO')
  expect(await chosen({ file_ending: '.tiff' })).toBe('Tiff3DIO')
  expect(await chosen({ overwrite_image_reader_writer: 'NibabelIO' })).toBe('NibabelIO')
  expect(await chosen({ overwrite_image_reader_writer: 'None' })).toBe('SimpleITKIO')
  await expect(chosen({ file_ending: '.jpg' })).rejects.toThrow(/found ".jpg"/)
  await expect(chosen({ overwrite_image_reader_writer: 'MyReader' })).rejects.toThrow(
    /^overwrite_image_reader_writer of dataset.json: expected one of .*, found "MyReader"/,
  )
})

test('nibabel where SimpleITK cannot read the first image', async () => {
  expect(await readerOfCases(parse(), golden('v1_little_u1_3d'))).toBe('SimpleITKIO')
  expect(await readerOfCases(parse(), golden('v2_'))).toBe('NibabelIO')
  expect(await readerOfCases(parse({ overwrite_image_reader_writer: 'SimpleITKIO' }), golden('v2_'))).toBe(
    'SimpleITKIO',
  )
  expect(await readerOfCases(parse(), [{ caseId: 'x', images: ['/none.nii.gz'] }])).toBe('SimpleITKIO')
})

test('the reader that can read the first image: 2D or 3D TIFF', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'voxgrad-reader-'))
  const grid = { geometry: {}, spacing: [1, 1, 1] }
  const images = [1, 2].map((slices) => path.join(folder, `${slices}_0000.tif`)) as [string, string]
  await writeSegmentation(images[0], new Uint8Array(35), [1, 5, 7], grid, 'NaturalImage2DIO')
  await writeSegmentation(images[1], new Uint8Array(70), [2, 5, 7], grid, 'Tiff3DIO')
  const chosen = images.map((image) =>
    readerOfCases(parse({ file_ending: '.tif' }), [{ caseId: 'x', images: [image] }]),
  )
  expect(await Promise.all(chosen)).toEqual(['NaturalImage2DIO', 'Tiff3DIO'])
  rmSync(folder, { recursive: true })
})
