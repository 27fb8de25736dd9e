// The files of a predicted case: its segmentation on the original grid, and with it, if wanted, the probabilities.
import { copyFile } from 'node:fs/promises'
import type { DatasetJson } from '../dataset/dataset-json.js'
import type { Geometry } from '../dataset/file-image.js'
import { writeSegmentation } from '../dataset/image.js'
import type { ReaderName } from '../dataset/readers.js'
import { diskFailure } from '../files.js'
import type { CaseProperties, ExportedSegmentation, NativeImage } from '../native/binding.js'
import { native } from '../native/load.js'
import { writeNpz } from '../npz.js'
import type { ExportPlan } from './export-plan.js'

/** A case as the network leaves it. */
export interface CaseLogits {
  /** (classes, z, y, x) on the network's grid. */
  logits: NativeImage
  properties: CaseProperties
  geometry: Geometry
}

export interface ExportFormat {
  exportPlan: ExportPlan
  /** The plans' image_reader_writer. */
  reader: ReaderName
  /** With the dot. */
  fileEnding: string
  /** Also CASE.npz and CASE.pkl, as ensembles of configurations need them. */
  saveProbabilities: boolean
}

/** The key of nnU-Net's arrays of probabilities. */
export const probabilitiesKey = 'probabilities'

/**
 * Writes CASE.npz and CASE.pkl, if wanted, and last the segmentation, whose presence says that the case is done
 * (nnU-Net's export_prediction_from_logits).
 * @param stem the path without the file ending
 * @param pickle the CASE.pkl of preprocessing, which is then copied
 * @returns the segmentation; with probabilities it is made from those, as nnU-Net does
 * @throws VoxgradError ERR_DISK
 */
export async function exportCase(
  stem: string,
  { logits, properties, geometry }: CaseLogits,
  { exportPlan, reader, fileEnding, saveProbabilities }: ExportFormat,
  pickle?: string,
): Promise<ExportedSegmentation> {
  const job = { ...exportPlan, logits, properties }
  let segmentation: ExportedSegmentation
  if (saveProbabilities) {
    const overlapping = exportPlan.regionLabels !== null
    const probabilities = await native().exportProbabilities({ ...job, overlapping })
    segmentation = labelsOfProbabilities(probabilities, exportPlan.regionLabels)
    await writeNpz(`${stem}.npz`, probabilitiesKey, probabilities)
    if (pickle === undefined) await native().writeProperties({ path: `${stem}.pkl`, properties, geometry })
    else await copyPickle(pickle, `${stem}.pkl`)
  } else {
    segmentation = await native().exportSegmentation(job)
  }
  const grid = { geometry, spacing: properties.spacing }
  await writeSegmentation(stem + fileEnding, segmentation.labels, segmentation.shape, grid, reader)
  return segmentation
}

async function copyPickle(from: string, to: string): Promise<void> {
  try {
    await copyFile(from, to)
  } catch (error) {
    throw diskFailure(to, error, `cannot be copied from ${from}`)
  }
}

/**
 * The segmentation that probabilities say: the most probable class (ties: the lowest), or with regions what each one above
 * one half paints, later ones over earlier ones (LabelManager.convert_probabilities_to_segmentation).
 * @param probabilities (classes or regions, z, y, x)
 */
export function labelsOfProbabilities(
  { data, shape: [classes, ...shape] }: NativeImage,
  regionLabels: DatasetJson['regionsClassOrder'] | null,
): ExportedSegmentation {
  const voxels = shape[0] * shape[1] * shape[2]
  const largest = regionLabels ? Math.max(...regionLabels) : classes - 1
  const labels = largest < 255 ? new Uint8Array(voxels) : new Uint16Array(voxels)
  if (regionLabels) {
    for (const [region, label] of regionLabels.entries()) {
      for (let i = 0; i < voxels; i++) if ((data[region * voxels + i] as number) > 0.5) labels[i] = label
    }
    return { labels, shape }
  }
  const best = data.slice(0, voxels)
  for (let label = 1; label < classes; label++) {
    for (let i = 0; i < voxels; i++) {
      const probability = data[label * voxels + i] as number
      if (probability <= (best[i] as number)) continue
      best[i] = probability
      labels[i] = label
    }
  }
  return { labels, shape }
}
