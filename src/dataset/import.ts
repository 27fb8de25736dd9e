// Turns a task of the Medical Segmentation Decathlon into nnU-Net's raw layout.
// Source: nnU-Net convert_MSD_dataset.py (same files, same dataset.json).
import { randomBytes } from 'node:crypto'
import { existsSync, statSync } from 'node:fs'
import { copyFile, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { z } from 'zod'
import { type CasePoolOptions, forEachCase } from '../case-pool.js'
import { type Folders, parseDatasetName } from '../config/folders.js'
import { VoxgradError } from '../errors.js'
import { diskFailure, makeFolder, readJson, syncFolder } from '../files.js'
import { formatJson, type JsonObject, keysInFileOrder } from '../json.js'
import { isWithin } from '../names.js'
import { parseDatasetJson } from './dataset-json.js'
import { readCaseImages } from './image.js'
import { type NiftiImage, readNifti, scaledVoxels, type WritableVoxels, writeNifti } from './nifti.js'
import { dimensionsOf, headerFromItk } from './nifti-geometry.js'
import { visibleNames } from './raw.js'

export interface ImportedDataset {
  id: number
  name: string
  folder: string
  trainingCases: number
  testCases: number
}

const ending = '.nii.gz'

const schema = z.looseObject({
  name: z.string().optional(),
  modality: z.record(z.string(), z.string()),
  labels: z.record(z.string(), z.string()),
  training: z.array(z.looseObject({ image: z.string(), label: z.string() })).min(1),
  test: z.array(z.union([z.string(), z.looseObject({ image: z.string() })])).optional(),
})

/** One image to bring over, and its label for a training case. */
interface Source {
  caseId: string
  image: string
  label?: string
  /** imagesTr or imagesTs */
  part: string
}

/**
 * Imports a decathlon task: 3D images are copied, 4D ones split into one file per channel. The dataset appears under its
 * name only when it is complete.
 * @param folder the task's folder with dataset.json, imagesTr, labelsTr
 * @param id 1 to 999, not yet in use in any of the three folders
 * @throws VoxgradError ERR_DATASET with all faults at once, ERR_DISK if it cannot be written; nothing is left behind
 */
export async function importDecathlon(
  folder: string,
  id: number,
  folders: Folders,
  options: CasePoolOptions = {},
): Promise<ImportedDataset> {
  if (!Number.isInteger(id) || id < 1 || id > 999) {
    throw new VoxgradError('ERR_CONFIG', { where: '--id', required: 'a whole number from 1 to 999', found: `${id}` })
  }
  const file = path.join(folder, 'dataset.json')
  const content = (await readJson(file, 'dataset.json of a decathlon task')) as JsonObject
  const parsed = schema.safeParse(content)
  if (!parsed.success) {
    const faults = parsed.error.issues.map((issue) => `  - "${issue.path.join('.')}": ${issue.message}`)
    throw new VoxgradError('ERR_DATASET', {
      found: `${file} is not that of a Medical Segmentation Decathlon task:\n${faults.join('\n')}`,
      remedy: 'Name the folder of a task, such as Task04_Hippocampus.',
    })
  }
  const sources = collectSources(folder, parsed.data)
  const converted = convertDatasetJson(content, sources.filter((source) => source.part === 'imagesTr').length)
  const channels = parseDatasetJson(converted, file).channels.length
  const name = `Dataset${String(id).padStart(3, '0')}_${taskName(folder, parsed.data.name)}`
  refuseUsedId(id, folders)

  const target = path.join(folders.raw, name)
  const temporary = path.join(folders.raw, `.${name}.${randomBytes(6).toString('hex')}.tmp`)
  try {
    for (const part of ['imagesTr', 'imagesTs', 'labelsTr']) await makeFolder(path.join(temporary, part))
    await forEachCase(sources, (source) => bringOver(source, temporary, channels), bytesOf, options)
    await writeFile(path.join(temporary, 'dataset.json'), formatJson(converted))
    await rename(temporary, target)
    await syncFolder(folders.raw)
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined)
    if (error instanceof VoxgradError) throw error
    throw diskFailure(target, error)
  }
  const trainingCases = sources.filter((source) => source.part === 'imagesTr').length
  return { id, name, folder: target, trainingCases, testCases: sources.length - trainingCases }
}

function taskName(folder: string, inFile: string | undefined): string {
  const fromFolder = /^Task\d+_(.+)$/.exec(path.basename(path.resolve(folder)))?.[1]
  const name = (fromFolder ?? inFile ?? path.basename(path.resolve(folder))).replace(/[^A-Za-z0-9_-]+/g, '')
  return name || 'Task'
}

function refuseUsedId(id: number, folders: Folders): void {
  const roots = (['raw', 'preprocessed', 'results'] as const).flatMap((root) => {
    // Only the raw root is needed here; the others may not be set.
    if (root === 'raw') return [folders.raw]
    try {
      return [folders[root]]
    } catch {
      return []
    }
  })
  const taken = roots
    .filter((root) => existsSync(root))
    .flatMap((root) =>
      visibleNames(root)
        .filter((name) => parseDatasetName(name)?.id === id)
        .map((name) => path.join(root, name)),
    )
  if (taken.length === 0) return
  throw new VoxgradError('ERR_DATASET', {
    found: `Dataset id ${id} is already in use: ${taken.join(', ')}`,
    remedy: 'Choose another --id, or remove these folders.',
  })
}

/** Every listed image with its label; hidden files (macOS's ._ copies) are passed over, names outside the task refused. */
function collectSources(folder: string, content: z.infer<typeof schema>): Source[] {
  const faults: string[] = []
  const root = path.resolve(folder)
  const locate = (listed: string) => {
    const file = path.resolve(root, listed)
    if (!isWithin(root, file)) faults.push(`"${listed}" lies outside of the task's folder`)
    else if (!file.endsWith(ending)) faults.push(`"${listed}" does not end on ${ending}`)
    else if (!existsSync(file)) faults.push(`"${listed}" is listed, but there is no such file`)
    return file
  }
  const isHidden = (listed: string) => path.basename(listed).startsWith('.')
  const source = (part: string, image: string, label?: string): Source => ({
    caseId: path.basename(image).slice(0, -ending.length),
    image: locate(image),
    part,
    ...(label === undefined ? {} : { label: locate(label) }),
  })
  const test = (content.test ?? []).map((entry) => (typeof entry === 'string' ? entry : entry.image))
  const sources = [
    ...content.training
      .filter((entry) => !isHidden(entry.image))
      .map((entry) => source('imagesTr', entry.image, entry.label)),
    ...test.filter((entry) => !isHidden(entry)).map((entry) => source('imagesTs', entry)),
  ]
  const seen = new Set<string>()
  for (const { part, caseId } of sources) {
    if (seen.has(`${part}/${caseId}`)) faults.push(`case ${caseId} is listed twice`)
    seen.add(`${part}/${caseId}`)
  }
  if (faults.length === 0) return sources
  throw new VoxgradError(
    'ERR_DATASET',
    `${path.join(folder, 'dataset.json')} has faulty entries:\n${faults.map((fault) => `  - ${fault}`).join('\n')}`,
  )
}

/** The keys of the task, labels by name, then file_ending and channel_names: nnU-Net's own result. */
function convertDatasetJson(content: JsonObject, trainingCases: number): JsonObject {
  const { modality, labels } = content as { modality: JsonObject; labels: Record<string, string> }
  const result: JsonObject = {}
  for (const key of keysInFileOrder(content)) {
    if (!['modality', 'training', 'test'].includes(key)) result[key] = content[key]
  }
  const byName = keysInFileOrder(labels).map((value): [string, number] => [labels[value] as string, Number(value)])
  result.labels = Object.fromEntries(byName)
  result.numTraining = trainingCases
  result.file_ending = ending
  result.channel_names = modality
  return result
}

/** Copies or splits one image and copies its label. Throws ERR_DATASET for faulty data. */
async function bringOver(source: Source, target: string, channels: number): Promise<void> {
  const place = (part: string, name: string) => path.join(target, part, name)
  const channelName = (channel: number) => `${source.caseId}_${String(channel).padStart(4, '0')}${ending}`
  const nifti = await readNifti(source.image)
  const { extents } = nifti.header
  const dimensions = dimensionsOf(extents)
  const found = dimensions === 4 ? (extents[3] ?? 1) : 1
  if (found !== channels || dimensions > 4) {
    throw new VoxgradError('ERR_DATASET', {
      where: `${source.image}`,
      required: `${channels} channels as "modality" says`,
      found: `${extents.join(' x ')} voxels`,
    })
  }
  if (dimensions < 4) await copyFile(source.image, place(source.part, channelName(0)))
  else await splitChannels(source.image, nifti, (channel) => place(source.part, channelName(channel)))
  if (source.label !== undefined) {
    await readNifti(source.label)
    await copyFile(source.label, place('labelsTr', `${source.caseId}${ending}`))
  }
}

/** Memory for an image while it is split: decompressed, as float32, and the copies that are written. */
function bytesOf(source: Source): number {
  return 16 * statSync(source.image).size
}

async function splitChannels(file: string, nifti: NiftiImage, nameOf: (channel: number) => string): Promise<void> {
  const { image, geometry } = await readCaseImages([file], file, { reader: 'SimpleITKIO' })
  if (geometry.sitk_stuff === undefined) return
  const [channels, z, y, x] = image.shape
  const voxels = storable(nifti)
  const size = z * y * x
  const header = headerFromItk(geometry.sitk_stuff, [z, y, x])
  for (let channel = 0; channel < channels; channel++) {
    await writeNifti(nameOf(channel), header, voxels.slice(channel * size, (channel + 1) * size))
  }
}

/** The stored values where their type can be written, else as float32 (what every reader makes of them). */
function storable(nifti: NiftiImage): WritableVoxels {
  const scaled = scaledVoxels(nifti)
  const { voxels } = nifti
  const plain = voxels instanceof Uint8Array || voxels instanceof Uint16Array || voxels instanceof Int16Array
  const isScaled = plain && voxels.some((value, index) => value !== scaled[index])
  return plain && !isScaled ? voxels : scaled
}
