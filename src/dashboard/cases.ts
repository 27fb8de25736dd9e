// The validation cases of a run: their Dice, the worst first, and their images, truth and prediction as NIfTI.
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { realpath } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { z } from 'zod'
import { type DatasetJson, readDatasetJson } from '../dataset/dataset-json.js'
import type { FileImage } from '../dataset/file-image.js'
import { readImageFile } from '../dataset/image.js'
import { encodeNifti } from '../dataset/nifti.js'
import { headerFromAffine, headerFromItk } from '../dataset/nifti-geometry.js'
import { listCases, type RawCase } from '../dataset/raw.js'
import { readersForEnding } from '../dataset/readers.js'
import { VoxgradError } from '../errors.js'
import { parseJson } from '../json.js'
import { openInside, readInside } from './inside.js'
import type { ValidationCase, ValidationCases, Weights } from './messages.js'
import type { WatchedRun } from './runs.js'

/** Roots of data that the user has named; those of a run's own options come after them. */
export interface DataRoots {
  raw?: string | undefined
  preprocessed?: string | undefined
}

export type VolumeKind = 'truth' | 'prediction' | { channel: number }

export interface Volume {
  /** NIfTI, compressed as the name says. */
  name: 'volume.nii' | 'volume.nii.gz'
  bytes: Uint8Array
}

const summarySchema = z.object({
  metric_per_case: z.array(
    z.object({
      metrics: z.record(z.string(), z.object({ Dice: z.number().or(z.nan()) })),
      prediction_file: z.string(),
    }),
  ),
})

const compress = promisify(gzip)
const idOf = (name: string): string => createHash('sha256').update(name).digest('base64url').slice(0, 16)

/** Reads what belongs to the finished validation of one run. */
export class Cases {
  readonly #root: string
  readonly #run: WatchedRun
  readonly #weights: Weights
  readonly #roots: DataRoots

  /** @param root the folder of all runs, as realpath gives it; nothing of a run is read outside of it */
  constructor(root: string, run: WatchedRun, weights: Weights, roots: DataRoots) {
    this.#root = root
    this.#run = run
    this.#weights = weights
    this.#roots = roots
  }

  /** @throws VoxgradError, OutsideError or the system's error, where a file is missing, damaged or lies elsewhere */
  async list(): Promise<ValidationCases> {
    const dataset = await this.#dataset()
    const cases = await this.#cases(dataset)
    return {
      cases: cases.map(({ id, name, dice, dicePerClass }) => ({ id, name, dice, dicePerClass })),
      channels: dataset.channels,
      labels: dataset.labels
        .filter(({ values }) => values.length === 1 && values[0] !== 0)
        .map(({ name, values }) => ({ name, value: values[0] as number })),
      withoutImages: this.#rawFolder() === undefined ? missingImages(String(this.#run.record?.dataset)) : null,
    }
  }

  /** @returns undefined if there is no such case. Throws as list() does */
  async volume(caseId: string, kind: VolumeKind): Promise<Volume | undefined> {
    const dataset = await this.#dataset()
    const found = (await this.#cases(dataset)).find(({ id }) => id === caseId)
    if (!found) return undefined
    if (kind === 'prediction') {
      const file = path.join(this.#run.folder.validation(this.#weights), found.name + dataset.fileEnding)
      return readVolume(file, [this.#root], 0)
    }
    const raw = this.#rawFolder()
    const folders = [raw, this.#preprocessedFolder()].filter((folder) => folder !== undefined)
    const real = await Promise.all(folders.map((folder) => realpath(folder)))
    const rawCase = raw === undefined ? undefined : caseIn(raw, dataset, found.name)
    if (kind === 'truth') {
      const copies = this.#preprocessedFolder()
      const copy = copies && path.join(copies, 'gt_segmentations', found.name + dataset.fileEnding)
      const file = copy && existsSync(copy) ? copy : rawCase?.label
      if (file === undefined)
        throw new VoxgradError('ERR_DATASET', `${found.name}: no reference segmentation was found`)
      return readVolume(file, real, 0)
    }
    const { images = [] } = rawCase ?? {}
    const own = images[kind.channel]
    const file = own ?? images[0]
    if (file === undefined) throw new VoxgradError('ERR_DATASET', missingImages(String(this.#run.record?.dataset)))
    return readVolume(file, real, own === undefined ? kind.channel : 0)
  }

  #dataset(): Promise<DatasetJson> {
    return readDatasetJson(path.join(this.#run.folder.modelFolder, 'dataset.json'))
  }

  async #cases({ targets, fileEnding }: DatasetJson): Promise<ValidationCase[]> {
    const file = path.join(this.#run.folder.validation(this.#weights), 'summary.json')
    const parsed = summarySchema.safeParse(parseJson(await readInside([this.#root], file), file))
    if (!parsed.success)
      throw new VoxgradError('ERR_FORMAT', { where: file, required: "nnU-Net's summary.json", found: 'another form' })
    const cases = parsed.data.metric_per_case.map(({ metrics, prediction_file: prediction }): ValidationCase => {
      const name = path.basename(prediction, fileEnding)
      const dicePerClass = targets.map(({ key }) => {
        const value = metrics[key]?.Dice
        return value === undefined || !Number.isFinite(value) ? null : value
      })
      const known = dicePerClass.filter((value) => value !== null)
      const dice = known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length
      return { id: idOf(name), name, dice, dicePerClass }
    })
    // Without any Dice there is nothing to look for: last.
    return cases.sort((a, b) => (a.dice ?? 2) - (b.dice ?? 2))
  }

  #rawFolder(): string | undefined {
    return this.#folderOf('raw')
  }

  #preprocessedFolder(): string | undefined {
    return this.#folderOf('preprocessed')
  }

  /** The dataset's folder below the first root that has it. */
  #folderOf(root: keyof DataRoots): string | undefined {
    const { record } = this.#run
    // A name and nothing else, so that it leads below the root.
    if (!record || !/^Dataset\d{3}_[^/\\]+$/.test(record.dataset)) return undefined
    const roots = [this.#roots[root], record.options.folders?.[root]]
    return roots.flatMap((one) => (one ? [path.join(one, record.dataset)] : [])).find((folder) => existsSync(folder))
  }
}

const missingImages = (dataset: string): string =>
  `The images of ${dataset} were not found. Start the dashboard with --raw FOLDER, or set nnUNet_raw, to see them.`

function caseIn(raw: string, dataset: DatasetJson, name: string): RawCase | undefined {
  return listCases(raw, dataset).find(({ caseId }) => caseId === name)
}

/**
 * A file as NIfTI: as it is where it is one, else converted.
 * @param folders as realpath gives them; a file elsewhere is refused
 */
async function readVolume(file: string, folders: readonly string[], channel: number): Promise<Volume> {
  const isCompressed = file.toLowerCase().endsWith('.nii.gz')
  const handle = await openInside(folders, file)
  try {
    if (isCompressed || file.toLowerCase().endsWith('.nii'))
      return { name: isCompressed ? 'volume.nii.gz' : 'volume.nii', bytes: await handle.readFile() }
    const image = await readAny(file)
    return { name: 'volume.nii.gz', bytes: await compress(asNifti(image, channel), { level: 1 }) }
  } finally {
    await handle.close()
  }
}

/** By the first of nnU-Net's readers that can. */
async function readAny(file: string): Promise<FileImage> {
  const [first, ...others] = readersForEnding(path.extname(file))
  let found = readImageFile(file, first, 'image')
  for (const reader of others) found = found.catch(() => readImageFile(file, reader, 'image'))
  return found
}

/** One channel. Pictures without a place in space are seen as they are painted: the first row on top. */
function asNifti({ values, shape: [channels, z, y, x], spacing, geometry }: FileImage, channel: number): Uint8Array {
  const voxels = z * y * x
  const from = Math.min(channel, channels - 1) * voxels
  const { sitk_stuff: itk, nibabel_stuff: nibabel } = geometry
  const shape: [number, number, number] = [z, y, x]
  const painted = [
    [spacing[2], 0, 0, 0],
    [0, -spacing[1], 0, 0],
    [0, 0, z === 1 ? spacing[1] : spacing[0], 0],
    [0, 0, 0, 1],
  ]
  const header = itk ? headerFromItk(itk, shape) : headerFromAffine(nibabel?.original_affine ?? painted, shape)
  return encodeNifti(header, values.slice(from, from + voxels))
}
