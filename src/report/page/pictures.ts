// Pictures of validation cases: a slice of the image as PNG, truth and prediction as outlines over it.
import { existsSync } from 'node:fs'
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { encode } from 'fast-png'
import { freeMemory } from '../../case-pool.js'
import { type FolderOptions, resolveFolders } from '../../config/folders.js'
import type { DatasetJson } from '../../dataset/dataset-json.js'
import { readCaseImages, readSegmentation } from '../../dataset/image.js'
import { bytesToRead, listCases, type RawCase } from '../../dataset/raw.js'
import type { ReaderName } from '../../dataset/readers.js'
import { native } from '../../native/load.js'
import { type Plans, readPlans, resolveConfiguration } from '../../plan/plans.js'
import { RunFolder } from '../../train/run-folder.js'
import {
  cropTo,
  cutSlice,
  differingSlice,
  foregroundBox,
  grayWindow,
  type Slice,
  viewingAxis,
  viewingSlice,
} from '../slices.js'
import type { ReportContent, ReportedCase, ReportedValidation } from './content.js'
import { outlinePath } from './outline.js'

export interface CasePicture {
  reportedCase: ReportedCase
  rank: 'worst' | 'best'
  /** Which slice, and what is missing. */
  caption: string
  /** The outlines' grid: its pixels, and their size in millimeters. */
  width: number
  height: number
  spacing: [vertical: number, horizontal: number]
  /** PNG in base64 with its extents in millimeters; null where the image was not found. */
  image: { png: string; width: number; height: number } | null
  outlines: { target: number; truth: string; prediction: string }[]
  /** Outline of what is not annotated; empty where all is. */
  ignored: string
}

/** A case that could not be shown, with the reason. */
export interface MissingPicture {
  reportedCase: ReportedCase
  rank: CasePicture['rank']
  reason: string
}

const casesAtEachEnd = 3
/** Pixels of a side at most; larger slices are shrunk. Colors take three times the bytes. */
const [gray, color] = [288, 176]

/** The worst cases, and the best of the others. */
export function shownCases({ cases }: ReportedValidation): { reportedCase: ReportedCase; rank: CasePicture['rank'] }[] {
  const known = cases.filter(({ mean }) => mean !== null)
  const worst = known.slice(0, Math.min(casesAtEachEnd, Math.ceil(known.length / 2)))
  const best = known.slice(worst.length).slice(-casesAtEachEnd).reverse()
  const ranked = (list: ReportedCase[], rank: CasePicture['rank']) =>
    list.map((reportedCase) => ({ reportedCase, rank }))
  return [...ranked(worst, 'worst'), ...ranked(best, 'best')]
}

/** Reads cases of one run; never rejects, since a picture is no reason to have no report. */
class PictureMaker {
  /** The first case decides for all, so that they look alike. */
  #axis: number | undefined

  private constructor(
    private readonly dataset: DatasetJson,
    private readonly plans: Plans | null,
    private readonly rawCases: ReadonlyMap<string, RawCase>,
    /** Folders of the preprocessed cases and of the references; null where they are not known. */
    private readonly caseFolder: string | null,
    private readonly referenceFolder: string | null,
  ) {}

  /** @param folders roots in place of the run's own and the environment's */
  static async open(runFolder: string, content: ReportContent, folders: FolderOptions): Promise<PictureMaker> {
    const { record, dataset } = content
    const modelFolder = new RunFolder(runFolder).modelFolder
    const plans = await readPlans(path.join(modelFolder, 'plans.json')).catch(() => null)
    const roots = resolveFolders({ ...record.options.folders, ...folders })
    const folderOf = (root: 'raw' | 'preprocessed') => attempt(() => path.join(roots[root], record.dataset))
    const raw = folderOf('raw')
    const preprocessed = folderOf('preprocessed')
    const cases = (raw === null ? null : attempt(() => listCases(raw, dataset))) ?? []
    const configuration = plans && attempt(() => resolveConfiguration(plans, record.options.configuration))
    return new PictureMaker(
      dataset,
      plans,
      new Map(cases.map((rawCase) => [rawCase.caseId, rawCase])),
      preprocessed && configuration ? path.join(preprocessed, configuration.data_identifier) : null,
      preprocessed && path.join(preprocessed, 'gt_segmentations'),
    )
  }

  async picture(
    validation: ReportedValidation,
    { reportedCase, rank }: { reportedCase: ReportedCase; rank: CasePicture['rank'] },
  ): Promise<CasePicture | MissingPicture> {
    try {
      return await this.#draw(validation, reportedCase, rank)
    } catch (error) {
      return { reportedCase, rank, reason: (error as Error).message }
    }
  }

  async #draw(
    { folder }: ReportedValidation,
    reportedCase: ReportedCase,
    rank: CasePicture['rank'],
  ): Promise<CasePicture> {
    const { caseId } = reportedCase
    const reader = this.plans?.image_reader_writer as ReaderName | undefined
    const predictionFile = path.join(folder, path.basename(reportedCase.predictionFile))
    const moved = this.referenceFolder && path.join(this.referenceFolder, path.basename(reportedCase.referenceFile))
    const truthFile = existsSync(reportedCase.referenceFile) || !moved ? reportedCase.referenceFile : moved
    const rawCase = this.rawCases.get(caseId)
    const bytes = bytesToRead({ caseId, images: [predictionFile, ...(rawCase?.images ?? [])], label: truthFile })
    if (bytes > freeMemory() / 2) throw new Error('The case is too large for the memory that is free.')

    const prediction = await readSegmentation(predictionFile, { reader })
    const { shape, spacing } = prediction
    const truth = await readSegmentation(truthFile, { reader })
    if (truth.shape.join() !== shape.join()) throw new Error('Reference and prediction differ in size.')
    const { ignoreLabel } = this.dataset
    const ignored = truth.labels.map((label) => Number(label === ignoreLabel))
    // What is not annotated is neither right nor wrong.
    const judged = {
      truth: truth.labels.map((label, index) => (ignored[index] ? 0 : label)),
      prediction: prediction.labels.map((label, index) => (ignored[index] ? 0 : label)),
      shape,
      spacing,
    }
    this.#axis ??= viewingAxis([judged])
    const axis = this.#axis
    const differing = rank === 'worst' ? differingSlice(judged, axis) : null
    const index = differing ?? viewingSlice(judged, axis)
    const cut = (volume: ArrayLike<number>) => cutSlice(volume, shape, spacing, axis, index)
    const [truthSlice, predictedSlice] = [cut(truth.labels), cut(prediction.labels)]
    const ignoredSlice = cut(ignored)
    const box = foregroundBox([cut(judged.truth), cut(judged.prediction)])
    const channels = await this.#image(caseId, shape, spacing, axis, index)

    const shrink = (slice: Slice, most: number) => shrunk(cropTo(slice, box), most)
    const outline = (slice: Slice, labels: readonly number[]) => {
      const mask = Float32Array.from(slice.values, (label) => Number(labels.includes(label)))
      const small = shrink({ ...slice, values: mask }, gray)
      return outlinePath(
        small.values.map((part) => Number(part >= 0.5)),
        small.width,
        small.height,
      )
    }
    const grid = shrink(truthSlice, gray)
    const where = shape[axis] === 1 ? '' : `Slice ${index + 1} of ${shape[axis]} along ${'zyx'[axis]}, `
    const why = differing === null ? 'with most foreground' : 'where most voxels differ'
    const sentences = [
      where === '' ? '' : `${where}${why}.`,
      channels === null ? 'The image was not found: give its root with --raw.' : '',
    ]
    return {
      reportedCase,
      rank,
      caption: sentences.filter((text) => text !== '').join(' '),
      width: grid.width,
      height: grid.height,
      spacing: grid.spacing,
      image: channels && encodeSlice(channels.map((slice) => shrink(slice, channels.length === 3 ? color : gray))),
      outlines: this.dataset.targets
        .map(({ labels }, target) => ({
          target,
          truth: outline(truthSlice, labels),
          prediction: outline(predictedSlice, labels),
        }))
        .filter(({ truth: drawn, prediction: predicted }) => drawn !== '' || predicted !== ''),
      ignored: ignoreLabel === undefined ? '' : outline(ignoredSlice, [1]),
    }
  }

  /** The slice of the image: three channels of a color picture, else the first one; null where it is not found. */
  async #image(
    caseId: string,
    shape: readonly [number, number, number],
    spacing: readonly [number, number, number],
    axis: number,
    index: number,
  ): Promise<Slice[] | null> {
    const reader = this.plans?.image_reader_writer as ReaderName | undefined
    const isColor = reader === 'NaturalImage2DIO' && this.dataset.channels.length === 3
    const rawCase = this.rawCases.get(caseId)
    const channels = isColor ? [0, 1, 2] : [0]
    if (rawCase?.images.every((file) => existsSync(file))) {
      const files = isColor ? rawCase.images : rawCase.images.slice(0, 1)
      const { image } = await readCaseImages(files, caseId, { reader })
      if (image.shape.slice(1).join() !== shape.join()) throw new Error('Image and prediction differ in size.')
      const voxels = shape[0] * shape[1] * shape[2]
      return channels.map((channel) =>
        cutSlice(image.data.subarray(channel * voxels, (channel + 1) * voxels), shape, spacing, axis, index),
      )
    }
    return this.#preprocessedImage(caseId, shape, spacing, axis, index, channels)
  }

  /** From the preprocessed case, put back to where it was cut out of the original grid. */
  async #preprocessedImage(
    caseId: string,
    shape: readonly [number, number, number],
    spacing: readonly [number, number, number],
    axis: number,
    index: number,
    channels: readonly number[],
  ): Promise<Slice[] | null> {
    const stem = this.caseFolder && path.join(this.caseFolder, caseId)
    if (!stem || !existsSync(`${stem}.b2nd`) || !existsSync(`${stem}.pkl`)) return null
    const properties = (await native().readPickle(`${stem}.pkl`)) as {
      bbox_used_for_cropping: [number, number][]
      shape_after_cropping_and_before_resampling: number[]
    }
    const { data, shape: stored } = await native().readBlosc2(`${stem}.b2nd`)
    const extents = stored.slice(1) as [number, number, number]
    const forward = this.plans?.transpose_forward ?? [0, 1, 2]
    const [vertical, horizontal] = [0, 1, 2].filter((other) => other !== axis) as [number, number]
    const [height, width] = [shape[vertical] as number, shape[horizontal] as number]
    return channels.map((channel) => {
      const offset = channel * extents[0] * extents[1] * extents[2]
      const values = new Float32Array(width * height).fill(Number.NaN)
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const position = [index, index, index]
          position[vertical] = y
          position[horizontal] = x
          const at = forward.map((original, transposed) => {
            const [low] = properties.bbox_used_for_cropping[transposed] as [number, number]
            const cropped = properties.shape_after_cropping_and_before_resampling[transposed] as number
            const place = ((position[original] as number) - low + 0.5) / cropped
            return place < 0 || place >= 1 ? -1 : Math.floor(place * (extents[transposed] as number))
          }) as [number, number, number]
          if (Math.min(...at) < 0) continue
          const row = vertical === 0 ? height - 1 - y : y
          values[row * width + x] = Number(data[offset + (at[0] * extents[1] + at[1]) * extents[2] + at[2]])
        }
      }
      // What was cut away is as dark as the darkest that was kept.
      const known = values.filter((value) => !Number.isNaN(value))
      const least = known.reduce((low, value) => Math.min(low, value), Number.POSITIVE_INFINITY)
      return {
        values: values.map((value) => (Number.isNaN(value) ? (known.length === 0 ? 0 : least) : value)),
        width,
        height,
        spacing: [spacing[vertical] as number, spacing[horizontal] as number],
      }
    })
  }
}

function attempt<Value>(deed: () => Value): Value | null {
  try {
    return deed()
  } catch {
    return null
  }
}

/** Means over boxes of pixels, so that no side is longer than `most`. */
function shrunk(slice: Slice, most: number): Slice {
  const factor = Math.ceil(Math.max(slice.width, slice.height) / most)
  if (factor <= 1) return slice
  const [width, height] = [Math.ceil(slice.width / factor), Math.ceil(slice.height / factor)]
  const values = new Float32Array(width * height)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let [sum, count] = [0, 0]
      for (let dy = y * factor; dy < Math.min(slice.height, (y + 1) * factor); dy++) {
        for (let dx = x * factor; dx < Math.min(slice.width, (x + 1) * factor); dx++) {
          sum += slice.values[dy * slice.width + dx] as number
          count++
        }
      }
      values[y * width + x] = sum / count
    }
  }
  return { values, width, height, spacing: [slice.spacing[0] * factor, slice.spacing[1] * factor] }
}

/** One channel in gray, three in color: the darkest and lightest half percent end the scale. */
function encodeSlice(channels: readonly Slice[]): CasePicture['image'] {
  const [{ width, height, spacing }] = channels as [Slice]
  const all = new Float32Array(channels.length * width * height)
  channels.forEach(({ values }, channel) => {
    values.forEach((value, index) => {
      all[index * channels.length + channel] = value
    })
  })
  const { low, high } = grayWindow(all)
  const data = Uint8Array.from(all, (value) => Math.round(255 * Math.min(1, Math.max(0, (value - low) / (high - low)))))
  const png = encode({ width, height, data, channels: channels.length, depth: 8 }, { zlib: { level: 9 } })
  return { png: Buffer.from(png).toString('base64'), width: width * spacing[1], height: height * spacing[0] }
}

/** Pictures of the worst and best cases of each validation, in their order. */
export async function makePictures(
  runFolder: string,
  content: ReportContent,
  folders: FolderOptions,
): Promise<(CasePicture | MissingPicture)[][]> {
  if (content.validations.length === 0) return []
  const maker = await PictureMaker.open(runFolder, content, folders)
  const pictures: (CasePicture | MissingPicture)[][] = []
  for (const validation of content.validations) {
    const found: (CasePicture | MissingPicture)[] = []
    // Where the best weights are the final ones, the same pictures would come again.
    if (pictures.length > 0 && isSame(validation, content.validations[0] as ReportedValidation)) {
      pictures.push([])
      continue
    }
    // One at a time: whole images are in memory.
    for (const shown of shownCases(validation)) found.push(await maker.picture(validation, shown))
    pictures.push(found)
  }
  return pictures
}

const isSame = (validation: ReportedValidation, first: ReportedValidation): boolean =>
  isDeepStrictEqual(
    validation.cases.map(({ caseId, dice }) => [caseId, dice]),
    first.cases.map(({ caseId, dice }) => [caseId, dice]),
  )
