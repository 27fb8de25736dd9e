// Validation on whole cases: sliding window over the preprocessed case, back to the original grid, compared with the
// reference segmentation (nnUNetTrainer.perform_actual_validation).
import path from 'node:path'
import type { Target } from '../dataset/dataset-json.js'
import { geometryOfProperties } from '../dataset/file-image.js'
import { readSegmentation } from '../dataset/image.js'
import { VoxgradError } from '../errors.js'
import { makeFolder, writeFileAtomically } from '../files.js'
import type { ExportedSegmentation, NativeTrainer, PredictionJob } from '../native/binding.js'
import { native } from '../native/load.js'
import { type ExportFormat, exportCase } from '../preprocess/export-case.js'
import { caseMetrics } from './metrics.js'
import { type CaseResult, type Summary, summarize, summaryText } from './summary.js'

export interface CaseValidation extends ExportFormat {
  caseIds: string[]
  /** Folder of the preprocessed cases, folder of the reference segmentations, folder to write to. */
  dataFolder: string
  referenceFolder: string
  outputFolder: string
  targets: Target[]
  ignoreLabel: number | undefined
  /** In a cascade: folder of the previous stage's segmentations. */
  previousStage: string | null
  /** What the next stages of a cascade train on: their spacing, and the folder of the cases. */
  nextStages: { spacing: number[]; folder: string }[]
  /** The plans' patch size. */
  patchSize: number[]
  window: PredictionJob
}

export interface ValidationHooks {
  /** Runs one prediction; it may end it early, which rejects. */
  predict<Result>(caseId: string, job: () => Promise<Result>): Promise<Result>
  /** A case is predicted, compared and written. */
  onCase(caseId: string, result: CaseResult): void
}

/**
 * Predicts every case with the trainer's present weights and writes the segmentations. While one case is exported and
 * compared, the next one is predicted.
 * @throws VoxgradError ERR_DATASET where a reference is missing or does not fit its case, ERR_DISK
 */
export async function validateCases(
  trainer: NativeTrainer,
  job: CaseValidation,
  hooks: ValidationHooks,
): Promise<void> {
  const finishCase = async (caseId: string, prediction: Awaited<ReturnType<NativeTrainer['predictCase']>>) => {
    const geometry = geometryOfProperties(prediction.geometry)
    const pickle = path.join(job.dataFolder, `${caseId}.pkl`)
    const stem = path.join(job.outputFolder, caseId)
    const segmentation = await exportCase(stem, { ...prediction, geometry }, job, pickle)
    for (const { spacing: nextSpacing, folder } of job.nextStages) {
      const file = path.join(folder, `${caseId}.b2nd`)
      const { exportPlan, patchSize } = job
      const { logits, properties } = prediction
      await makeFolder(folder)
      await native().exportNextStage({ ...exportPlan, logits, properties, nextSpacing, patchSize, file })
    }
    hooks.onCase(caseId, await compare(job, caseId, segmentation))
  }
  let exporting: Promise<void> = Promise.resolve()
  try {
    for (const caseId of job.caseIds) {
      const prediction = await hooks.predict(caseId, () =>
        trainer.predictCase({ ...job.window, folder: job.dataFolder, caseId, previousStage: job.previousStage }),
      )
      await exporting
      exporting = finishCase(caseId, prediction)
      // A failure is reported by the await above or below; until then it must not count as unhandled.
      exporting.catch(() => {})
    }
  } finally {
    await exporting
  }
}

/** Writes the summary.json of all cases. */
export async function writeSummary(
  { outputFolder, targets }: Pick<CaseValidation, 'outputFolder' | 'targets'>,
  results: CaseResult[],
): Promise<Summary> {
  const summary = summarize(
    results,
    targets.map(({ key }) => key),
  )
  await writeFileAtomically(path.join(outputFolder, 'summary.json'), summaryText(summary))
  return summary
}

async function compare(job: CaseValidation, caseId: string, segmentation: ExportedSegmentation): Promise<CaseResult> {
  const predictionFile = path.join(job.outputFolder, caseId + job.fileEnding)
  const referenceFile = path.join(job.referenceFolder, caseId + job.fileEnding)
  const reference = await readSegmentation(referenceFile, { reader: job.reader })
  if (reference.labels.length !== segmentation.labels.length) {
    throw new VoxgradError('ERR_PREPROCESSED', {
      where: referenceFile,
      required: `the grid of the preprocessed case, ${segmentation.shape.join(' x ')} voxels`,
      found: `${reference.shape.join(' x ')}`,
      remedy: 'Preprocess the dataset again.',
    })
  }
  return {
    metrics: caseMetrics(segmentation.labels, reference.labels, job.targets, job.ignoreLabel),
    predictionFile,
    referenceFile,
  }
}
