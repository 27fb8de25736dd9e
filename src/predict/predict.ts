// Segments a folder of images: preprocess, sliding window with every fold, mean of the logits, back to the original grid.
import { existsSync } from 'node:fs'
import path from 'node:path'
import type { PredictOptions } from '../config/schema.js'
import { listImageFolder, type RawCase } from '../dataset/raw.js'
import { commonCode, isDataFault, VoxgradError } from '../errors.js'
import { readBytes, writeFileAtomically, writeJson } from '../files.js'
import type { NativeTrainer } from '../native/binding.js'
import { exportCase } from '../preprocess/export-case.js'
import { type Model, openModel } from './model.js'
import { type PredictionRunner, Predictor, readCase } from './predictor.js'

export interface PredictionHooks {
  /** Runs one native prediction of a case; it may end it early, which rejects. */
  predict<Result>(trainer: NativeTrainer, caseId: string, job: () => Promise<Result>): Promise<Result>
  /** A case is written. */
  onCase(caseId: string): void
}

/**
 * Prepares the prediction of every case of a folder, or of those that are this part's or not there yet, and writes what
 * nnU-Net writes besides the cases: dataset.json, plans.json and predict_from_raw_data_args.json.
 * @returns the cases to predict
 * @throws VoxgradError ERR_DATASET naming every faulty input before anything is predicted; ERR_RUN, ERR_DISK
 */
export async function openFolder(options: PredictOptions, onNote: (text: string) => void): Promise<RawCase[]> {
  const model = await openModel(options.run, options.folds, options.checkpoint)
  const outputFolder = path.resolve(options.output)
  const inPart = listImageFolder(path.resolve(options.input), model.dataset).filter(
    (_, index) => index % options.numParts === options.partId,
  )
  const cases = options.continue
    ? inPart.filter(({ caseId }) => !isDone(path.join(outputFolder, caseId), model.dataset.fileEnding, options))
    : inPart
  if (cases.length < inPart.length) onNote(`${inPart.length - cases.length} cases are there already.`)
  requirePreviousStage(options.previousStage, cases, model)
  await checkInputs(cases, model)
  for (const file of ['dataset.json', 'plans.json']) {
    const content = await readBytes(path.join(model.folder, file), file)
    await writeFileAtomically(path.join(outputFolder, file), content)
  }
  await writeJson(path.join(outputFolder, 'predict_from_raw_data_args.json'), nnunetArguments(options))
  return cases
}

/**
 * Predicts cases of a folder and writes their segmentations, with probabilities if wanted.
 * @throws VoxgradError as openPredictor does; ERR_DATASET, ERR_DISK
 */
export async function predictCases(options: PredictOptions, cases: RawCase[], hooks: PredictionHooks): Promise<void> {
  if (cases.length === 0) return
  const model = await openModel(options.run, options.folds, options.checkpoint)
  await using predictor = await Predictor.open(model, options)
  const previousFile = (caseId: string) =>
    options.previousStage === undefined ? null : previousStageFile(options.previousStage, caseId, model)
  for (const { caseId, images } of cases) {
    const image = await readCase(model, caseId, images)
    const run: PredictionRunner = (trainer, job) => hooks.predict(trainer, caseId, job)
    const logits = await predictor.logitsOf(image, previousFile(caseId), run)
    await exportCase(path.join(path.resolve(options.output), caseId), logits, predictor.format)
    hooks.onCase(caseId)
  }
}

/** Reads every input once, so that a damaged one is known before hours of prediction. */
async function checkInputs(cases: RawCase[], model: Model): Promise<void> {
  const faults: VoxgradError[] = []
  for (const { caseId, images } of cases) {
    try {
      await readCase(model, caseId, images)
    } catch (error) {
      if (!isDataFault(error)) throw error
      faults.push(error)
    }
  }
  if (faults.length > 0) {
    throw new VoxgradError(commonCode(faults), {
      found: `Nothing was predicted, because these inputs are faulty:\n${faults.map(({ message }) => `  ${message}`).join('\n')}`,
      remedy: 'Correct or remove them.',
    })
  }
}

/** Whether a case has all its files; each is written whole, and the segmentation last. */
function isDone(stem: string, fileEnding: string, { saveProbabilities }: PredictOptions): boolean {
  return existsSync(stem + fileEnding) && (!saveProbabilities || existsSync(`${stem}.npz`))
}

/** The options under the names that nnU-Net's predict_from_files has for them, in its order. */
function nnunetArguments(options: PredictOptions): object {
  return {
    folder_with_segs_from_prev_stage: options.previousStage ?? null,
    list_of_lists_or_source_folder: path.resolve(options.input),
    num_parts: options.numParts,
    num_processes_preprocessing: 1,
    num_processes_segmentation_export: 1,
    output_folder_or_list_of_truncated_output_files: path.resolve(options.output),
    overwrite: !options.continue,
    part_id: options.partId,
    save_probabilities: options.saveProbabilities,
  }
}

const previousStageFile = (folder: string, caseId: string, { dataset }: Model): string =>
  path.join(path.resolve(folder), caseId + dataset.fileEnding)

/**
 * That a cascade has what the previous stage predicted, and that no other model is given that.
 * @throws VoxgradError ERR_CONFIG if the folder is missing, or the model is no cascade; ERR_DATASET naming missing files
 */
function requirePreviousStage(folder: string | undefined, cases: RawCase[], model: Model): void {
  const { previous_stage: previous } = model.configuration
  if (previous === undefined) {
    if (folder === undefined) return
    throw new VoxgradError('ERR_CONFIG', {
      where: 'previousStage',
      required: 'the model of a cascade',
      found: 'another',
      remedy: 'Leave --previous-stage out.',
    })
  }
  if (folder === undefined) {
    throw new VoxgradError('ERR_CONFIG', {
      found: `The model is a cascade on ${previous}, and --previous-stage is not given`,
      remedy: `Predict the images with a model of ${previous} first, and give that folder by --previous-stage.`,
    })
  }
  const missing = cases
    .map(({ caseId }) => previousStageFile(folder, caseId, model))
    .filter((file) => !existsSync(file))
  if (missing.length === 0) return
  throw new VoxgradError('ERR_DATASET', {
    found: `Segmentations of the previous stage (${previous}) are missing:\n${missing.map((file) => `  ${file}`).join('\n')}`,
    remedy: `Predict these cases with a model of ${previous}.`,
  })
}
