// The integrity check of a raw dataset: every fault of every case, found in one go.
// Source: nnU-Net verify_dataset_integrity.py, which stops at the first kind of fault.
import { existsSync } from 'node:fs'
import path from 'node:path'
import { type CasePoolOptions, forEachCase } from '../case-pool.js'
import { commonCode, type ErrorCode, VoxgradError } from '../errors.js'
import { type DatasetJson, readDatasetJson } from './dataset-json.js'
import { allClose, type CaseImage, type Geometry, readCaseImages } from './image.js'
import { bytesToRead, listCases, parseImageName, type RawCase, readerOfCases, visibleNames } from './raw.js'
import type { ReaderName } from './readers.js'

export interface Fault {
  /** A warning does not stand in the way of training. */
  severity: 'error' | 'warning'
  code: ErrorCode
  /** null: the dataset as a whole. */
  caseId: string | null
  /** File or folder. */
  file: string
  expected: string
  found: string
  remedy: string
}

/** One line a fault, as shown to people. */
export function describeFault(fault: Fault): string {
  const subject = fault.caseId === null ? '' : `case ${fault.caseId}: `
  return `${fault.severity}: ${subject}${fault.file}: expected ${fault.expected}, found ${fault.found}; ${fault.remedy}`
}

/**
 * Throws one error, with the code that all share or ERR_DATASET, listing all errors among the faults (warnings do not count).
 * @param folder the dataset, for the message
 */
export function throwIfFaulty(folder: string, faults: Fault[]): void {
  const errors = faults.filter((fault) => fault.severity === 'error')
  if (errors.length === 0) return
  const lines = errors.map((fault) => `  - ${describeFault(fault).slice('error: '.length)}`)
  throw new VoxgradError(commonCode(errors), {
    found: `${folder} has ${errors.length === 1 ? 'one fault' : `${errors.length} faults`}:\n${lines.join('\n')}`,
  })
}

/**
 * Checks dataset.json, the file names and every voxel of a raw dataset.
 * @param folder nnUNet_raw/DATASET
 * @returns all faults; an empty list if the dataset is sound
 */
export async function checkDataset(folder: string, options: CasePoolOptions = {}): Promise<Fault[]> {
  let datasetJson: DatasetJson
  let cases: RawCase[]
  let reader: ReaderName
  try {
    datasetJson = await readDatasetJson(path.join(folder, 'dataset.json'))
    cases = listCases(folder, datasetJson)
    reader = await readerOfCases(datasetJson, cases)
  } catch (error) {
    return [asFault(null, folder, error)]
  }
  const faults = datasetJson.listing === undefined ? nameFaults(folder, datasetJson, cases) : []
  if (cases.length !== datasetJson.numTraining) {
    faults.push({
      severity: 'error',
      code: 'ERR_DATASET',
      caseId: null,
      file: path.join(folder, 'dataset.json'),
      expected: `"numTraining" ${datasetJson.numTraining} cases`,
      found: `${cases.length}`,
      remedy: 'correct "numTraining" or complete the folders',
    })
  }
  const perCase = await forEachCase(cases, (rawCase) => checkCase(rawCase, datasetJson, reader), bytesToRead, options)
  return [...faults, ...perCase.flat()]
}

function asFault(caseId: string | null, file: string, error: unknown): Fault {
  if (!(error instanceof VoxgradError)) throw error
  const { code, facts } = error
  const remedy = facts.remedy?.replace(/\.$/, '').replace(/^[A-Z]/, (first) => first.toLowerCase())
  return {
    severity: 'error',
    code,
    caseId,
    file: facts.where ?? file,
    expected: facts.required ?? 'a sound file',
    found: facts.found,
    remedy: remedy ?? 'correct or replace it',
  }
}

/** Files in imagesTr and labelsTr that belong to no case; spacing files of TIFF and data files of .mhd belong to one. */
function nameFaults(folder: string, datasetJson: DatasetJson, cases: RawCase[]): Fault[] {
  const ending = datasetJson.fileEnding
  const beside = /^\.tiff?$/i.test(ending) ? /\.json$/ : /^\.mhd$/i.test(ending) ? /\.z?raw$/ : /^$/
  const images = visibleNames(path.join(folder, 'imagesTr')).filter(
    (name) => parseImageName(name, ending) === undefined && !beside.test(name),
  )
  const labelFolder = path.join(folder, 'labelsTr')
  const known = new Set(cases.map((rawCase) => `${rawCase.caseId}${ending}`))
  const labels = existsSync(labelFolder)
    ? visibleNames(labelFolder).filter((name) => !known.has(name) && !beside.test(name))
    : []
  const stray =
    (part: string, expected: string) =>
    (name: string): Fault => ({
      severity: 'warning',
      code: 'ERR_DATASET',
      caseId: null,
      file: path.join(folder, part, name),
      expected,
      found: 'a file that belongs to no case and is not used',
      remedy: 'rename or remove it',
    })
  return [
    ...images.map(stray('imagesTr', `CASE_0000${ending}`)),
    ...labels.map(stray('labelsTr', `CASE${ending} of a case in imagesTr`)),
  ]
}

type Report = (
  file: string,
  expected: string,
  found: string,
  remedy: string,
  is?: Partial<Pick<Fault, 'severity' | 'code'>>,
) => void

async function checkCase(rawCase: RawCase, datasetJson: DatasetJson, reader: ReaderName): Promise<Fault[]> {
  const faults: Fault[] = []
  const report: Report = (file, expected, found, remedy, is) =>
    faults.push({ severity: 'error', code: 'ERR_IMAGE', caseId: rawCase.caseId, file, expected, found, remedy, ...is })
  const read = async (file: string, kind: 'image' | 'label'): Promise<CaseImage | undefined> => {
    try {
      return await readCaseImages([file], file, { reader, kind })
    } catch (error) {
      faults.push(asFault(rawCase.caseId, file, error))
      return undefined
    }
  }

  let first: { file: string; image: CaseImage } | undefined
  let channels = 0
  let allRead = true
  for (const file of rawCase.images) {
    const image = await read(file, 'image')
    if (image === undefined) {
      allRead = false
      continue
    }
    channels += image.image.shape[0]
    reportNonFinite(image.image.data, file, report)
    if (first === undefined) first = { file, image }
    else compareGrids(first, file, image, report)
  }
  if (allRead) checkChannels(rawCase, channels, datasetJson, report)
  await checkLabel(rawCase, first, datasetJson, read, report)
  return faults
}

function checkChannels(rawCase: RawCase, channels: number, datasetJson: DatasetJson, report: Report): void {
  const expected = datasetJson.channels.length
  const present = rawCase.images.map((file) => parseImageName(path.basename(file), datasetJson.fileEnding)?.channel)
  const folder = path.dirname(rawCase.images[0] ?? '')
  const missing =
    datasetJson.listing === undefined && channels < expected
      ? datasetJson.channels.map((_, channel) => channel).filter((channel) => !present.includes(channel))
      : []
  for (const channel of missing) {
    const name = `${rawCase.caseId}_${String(channel).padStart(4, '0')}${datasetJson.fileEnding}`
    report(
      path.join(folder, name),
      `channel ${channel} (${datasetJson.channels[channel]})`,
      'no such file',
      'add it or remove the case',
      { code: 'ERR_DATASET' },
    )
  }
  if (channels !== expected && missing.length === 0) {
    report(
      folder,
      `${expected} channels (${datasetJson.channels.join(', ')})`,
      `${channels}`,
      'correct the files or "channel_names"',
      { code: 'ERR_DATASET' },
    )
  }
}

function compareGrids(first: { file: string; image: CaseImage }, file: string, image: CaseImage, report: Report): void {
  const extents = (of: CaseImage) => of.image.shape.slice(1).join(' x ')
  const name = path.basename(first.file)
  if (extents(image) !== extents(first.image)) {
    report(file, `shape (z, y, x) ${extents(first.image)} of ${name}`, extents(image), 'resample one onto the other')
  }
  if (!allClose(image.spacing, first.image.spacing)) {
    report(
      file,
      `spacing (z, y, x) ${first.image.spacing.join(' x ')} of ${name}`,
      image.spacing.join(' x '),
      'correct the header or resample',
    )
  }
  const [a, b] = [placement(first.image.geometry), placement(image.geometry)]
  if (!allClose(b, a)) {
    const remedy = 'make sure that both lie on each other'
    report(file, `origin and direction ${a.join(' ')} of ${name}`, b.join(' '), remedy, { severity: 'warning' })
  }
}

/** What places a grid in space besides its spacing. */
function placement(geometry: Geometry): number[] {
  const { sitk_stuff: itk, nibabel_stuff: nibabel } = geometry
  return [...(itk?.origin ?? []), ...(itk?.direction ?? []), ...(nibabel?.original_affine.flat() ?? [])]
}

function reportNonFinite(values: Float32Array, file: string, report: Report): void {
  let count = 0
  for (const value of values) if (!Number.isFinite(value)) count++
  if (count > 0)
    report(
      file,
      'finite voxels',
      `${count} voxels that are NaN or infinite`,
      'replace them by a value that makes sense',
    )
}

async function checkLabel(
  rawCase: RawCase,
  first: { file: string; image: CaseImage } | undefined,
  datasetJson: DatasetJson,
  read: (file: string, kind: 'image' | 'label') => Promise<CaseImage | undefined>,
  report: Report,
): Promise<void> {
  const file = rawCase.label
  if (file === undefined) return
  if (!existsSync(file)) {
    report(file, 'a label file for the case', 'no such file', 'add it or remove the case from imagesTr', {
      code: 'ERR_DATASET',
    })
    return
  }
  const label = await read(file, 'label')
  if (label === undefined) return
  if (label.image.shape[0] !== 1) {
    report(
      file,
      'one label per voxel',
      `${label.image.shape[0]} channels`,
      'write one number per voxel, without colors or a palette',
    )
    return
  }
  const allowed = [
    ...datasetJson.allLabels,
    ...(datasetJson.ignoreLabel === undefined ? [] : [datasetJson.ignoreLabel]),
  ]
  const counts = new Map<number, number>()
  for (const value of label.image.data) counts.set(value, (counts.get(value) ?? 0) + 1)
  const unknown = [...counts].filter(([value]) => !allowed.includes(value)).sort(([a], [b]) => a - b)
  if (unknown.length > 0) {
    const shown = unknown.slice(0, 10).map(([value, count]) => `${value} (${count} voxels)`)
    const more = unknown.length > 10 ? ` and ${unknown.length - 10} more` : ''
    report(file, `label values ${allowed.join(', ')}`, `${shown.join(', ')}${more}`, 'correct the file or "labels"', {
      code: 'ERR_LABEL',
    })
  }
  if (first !== undefined) compareGrids(first, file, label, report)
}
