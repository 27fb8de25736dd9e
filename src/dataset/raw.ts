// nnU-Net's raw folders: which files make up which case.
import { readdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { VoxgradError } from '../errors.js'
import { reasonOf } from '../files.js'
import { keysInFileOrder } from '../json.js'
import { isWithin } from '../names.js'
import type { DatasetJson } from './dataset-json.js'
import { readImageFile } from './image.js'
import { isNiftiForItk } from './nifti-image.js'
import { endingOf, type ReaderName, readersForEnding, supportedReader } from './readers.js'

export interface RawCase {
  caseId: string
  /** One path a channel, in channel order. */
  images: string[]
  /** Where the label file belongs (it may be missing); absent for images to predict. */
  label?: string
}

/** Set to 1, it lets a dataset.json list files anywhere, as nnU-Net's may. */
const outsideVariable = 'VOXGRAD_OUTSIDE_FILES'

/** Memory that reading a case takes, from its files: decompressed bytes and float32 copies of images and label. */
export function bytesToRead({ images, label }: RawCase): number {
  const files = label === undefined ? images : [...images, label]
  const sizeOf = (file: string) => statSync(file, { throwIfNoEntry: false })?.size ?? 0
  return files.reduce((sum, file) => sum + sizeOf(file) * (/\.(nii|bmp)$/.test(file) ? 6 : 12), 0)
}

/** Code point order, as Python sorts text. */
export function compareCodePoints(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

/**
 * The training cases of a raw dataset, in nnU-Net's order: from imagesTr and labelsTr sorted by name, or as the "dataset"
 * entry of dataset.json lists them. Files are not opened.
 * @throws VoxgradError ERR_DATASET if there is no folder or no case, or it lists files outside of the folder
 */
export function listCases(folder: string, datasetJson: DatasetJson): RawCase[] {
  if (datasetJson.listing !== undefined) return listedCases(folder, datasetJson.listing)
  const cases = casesOfFolder(path.join(folder, 'imagesTr'), datasetJson)
  return cases.map((found) => ({
    ...found,
    label: path.join(folder, 'labelsTr', `${found.caseId}${datasetJson.fileEnding}`),
  }))
}

/**
 * The cases in a folder of images to predict (CASE_0000.nii.gz, ...). Throws ERR_DATASET if there is none or a channel
 * is missing, naming all of them.
 */
export function listImageFolder(folder: string, datasetJson: DatasetJson): RawCase[] {
  const cases = casesOfFolder(folder, datasetJson)
  const expected = datasetJson.channels.length
  // One file may hold all channels (RGB, 4D); whether it does shows when it is read.
  if (cases.every(({ images }) => images.length === 1)) return cases
  const faulty = cases.filter((found) => found.images.length !== expected)
  if (faulty.length === 0) return cases
  const list = faulty.map((found) => `${found.caseId} (${found.images.length})`).join(', ')
  throw new VoxgradError('ERR_DATASET', {
    where: folder,
    required: `${expected} channel files for each case`,
    found: `another number for ${list}`,
    remedy: `Add the missing files (CASE_0000${datasetJson.fileEnding}, ...) or remove the case.`,
  })
}

/** Names in a folder, hidden ones (such as macOS's ._ files) left out, in code point order. */
export function visibleNames(folder: string): string[] {
  try {
    const names = readdirSync(folder).filter((name) => !name.startsWith('.'))
    return names.sort(compareCodePoints)
  } catch (error) {
    throw new VoxgradError(
      'ERR_DATASET',
      { where: folder, required: 'a folder of images', found: `that ${reasonOf(error)}` },
      {
        cause: error,
      },
    )
  }
}

/** Splits CASE_0000.nii.gz into case and channel; undefined for any other name. */
export function parseImageName(name: string, fileEnding: string): { caseId: string; channel: number } | undefined {
  if (!name.endsWith(fileEnding)) return undefined
  const match = /^(.+)_(\d{4})$/s.exec(name.slice(0, -fileEnding.length))
  return match?.[1] === undefined ? undefined : { caseId: match[1], channel: Number(match[2]) }
}

function casesOfFolder(folder: string, datasetJson: DatasetJson): RawCase[] {
  const images = new Map<string, string[]>()
  for (const name of visibleNames(folder)) {
    const parsed = parseImageName(name, datasetJson.fileEnding)
    if (parsed === undefined) continue
    images.set(parsed.caseId, [...(images.get(parsed.caseId) ?? []), path.join(folder, name)])
  }
  if (images.size === 0) {
    throw new VoxgradError('ERR_DATASET', {
      where: folder,
      required: `images named CASE_0000${datasetJson.fileEnding}`,
      found: 'none',
    })
  }
  const ids = [...images.keys()].sort(compareCodePoints)
  return ids.map((caseId) => ({ caseId, images: images.get(caseId) ?? [] }))
}

function listedCases(folder: string, listing: NonNullable<DatasetJson['listing']>): RawCase[] {
  const expand = (text: string) =>
    text.replace(/\$(?:\{(\w+)\}|(\w+))/g, (whole, braced, plain) => process.env[braced ?? plain] ?? whole)
  const outside: string[] = []
  const locate = (listed: string) => {
    const file = path.resolve(folder, expand(listed))
    if (process.env[outsideVariable] !== '1' && !isWithin(folder, file)) outside.push(listed)
    return file
  }
  const cases = keysInFileOrder(listing).map((caseId) => {
    const entry = listing[caseId] as { images: string[]; label: string }
    return { caseId, images: entry.images.map(locate), label: locate(entry.label) }
  })
  if (outside.length === 0) return cases
  const shown = outside.slice(0, 10).map((file) => `  - ${file}`)
  const more = outside.length > shown.length ? `\n  and ${outside.length - shown.length} more` : ''
  throw new VoxgradError(
    'ERR_DATASET',
    `${path.join(folder, 'dataset.json')} lists files outside of its folder; move them there, or set ${outsideVariable}=1 if you trust it:\n${shown.join('\n')}${more}`,
  )
}

/**
 * The reader for the images of a dataset, as nnU-Net chooses it: that of dataset.json, else the first one for the file
 * ending that can read the first image; without images the first one for the file ending.
 * @throws VoxgradError ERR_DATASET if there is none for the file ending, or dataset.json names one that is not supported
 */
export async function readerOfCases(datasetJson: DatasetJson, cases: RawCase[]): Promise<ReaderName> {
  const { overwriteImageReaderWriter: named, fileEnding } = datasetJson
  if (named !== undefined) return supportedReader(named, 'overwrite_image_reader_writer of dataset.json')
  const readers = readersForEnding(fileEnding)
  const example = cases[0]?.images[0]
  if (example === undefined) return readers[0]
  for (const reader of readers) if (await canRead(example, reader)) return reader
  // Whoever reads this image next says what is wrong with it.
  return readers[0]
}

async function canRead(file: string, reader: ReaderName): Promise<boolean> {
  try {
    if (reader === 'SimpleITKIO' && endingOf(file) === '.nii.gz') return await isNiftiForItk(file)
    await readImageFile(file, reader, 'image')
    return true
  } catch {
    return false
  }
}
