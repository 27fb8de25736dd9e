// A training case in memory: image and label on one grid.
import { statSync } from 'node:fs'
import { type CaseImage, readCaseImages, readSegmentation } from '../dataset/image.js'
import type { RawCase } from '../dataset/raw.js'
import type { ReaderName } from '../dataset/readers.js'
import { VoxgradError } from '../errors.js'

export interface TrainingCase extends CaseImage {
  /** Labels in C order (z, y, x). */
  segmentation: Float32Array
}

/**
 * Reads images and label of a case and checks that they fit.
 * @param channels how many the dataset has
 * @param reader the plans' image_reader_writer
 * @throws VoxgradError ERR_DATASET, naming the file
 */
export async function readTrainingCase(rawCase: RawCase, channels: number, reader: ReaderName): Promise<TrainingCase> {
  if (rawCase.label === undefined) {
    throw new VoxgradError('ERR_DATASET', {
      required: 'a label file',
      found: 'images alone',
      remedy: 'Add the label to labelsTr.',
    })
  }
  const [images, label] = await Promise.all([
    readCaseImages(rawCase.images, rawCase.caseId, { reader }),
    readSegmentation(rawCase.label, { reader }),
  ])
  const [found, ...extents] = images.image.shape
  if (found !== channels) {
    throw new VoxgradError('ERR_DATASET', {
      required: `${channels} channels as dataset.json names them`,
      found: `${found} in ${rawCase.images.join(', ')}`,
      remedy: 'Add the missing channels, or correct "channel_names".',
    })
  }
  if (extents.join() !== label.shape.join()) {
    throw new VoxgradError('ERR_IMAGE', {
      required: 'image and label on one grid',
      found: `(z, y, x) = (${extents.join(', ')}) in ${rawCase.images[0]} and (${label.shape.join(', ')}) in ${rawCase.label}`,
      remedy: 'Resample the label onto the image.',
    })
  }
  return { ...images, segmentation: label.labels }
}

/** The missing files of all cases, so that they can be named at once before any work is done. */
export function missingFiles(cases: RawCase[]): string[] {
  const files = cases.flatMap((rawCase) => [...rawCase.images, ...(rawCase.label === undefined ? [] : [rawCase.label])])
  return files.filter((file) => statSync(file, { throwIfNoEntry: false }) === undefined)
}

/** @throws VoxgradError ERR_DATASET listing every file that is not there */
export function requireFiles(cases: RawCase[]): void {
  const missing = missingFiles(cases)
  if (missing.length === 0) return
  throw new VoxgradError('ERR_DATASET', {
    found: `${missing.length} files of the dataset are missing:\n${missing.map((file) => `  - ${file}`).join('\n')}`,
    remedy: 'Add them, or remove their cases.',
  })
}
