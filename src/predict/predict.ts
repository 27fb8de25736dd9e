// Segments a folder of images: preprocess, sliding window with every fold, mean of the logits, back to the original grid.
import { existsSync } from 'node:fs'
import path from 'node:path'
import type { PredictOptions } from '../config/schema.js'
import { listImageFolder, type RawCase } from '../dataset/raw.js'
import { commonCode, isDataFault, VoxgradError } from '../errors.js'
import { readBytes, writeFileAtomically, writeJson } from '../files.js'
import { exportCase } from '../preprocess/export-case.js'
import { type Model, openModel } from './model.js'
import { type PredictionRunner, Predictor, readCase } from './predictor.js'

export interface PredictionHooks {
  predict: PredictionRunner
  onCase(caseId: string, done: number, total: number, secondsLeft: number): void
  onNote(text: string): void
}

/**
 * Predicts every case of a folder, or those that are this part's or not there yet, and writes what nnU-Net writes:
 * segmentations, probabilities if wanted, dataset.json, plans.json and predict_from_raw_data_args.json.
 * @returns the number of cases that were predicted
 * @throws VoxgradError ERR_DATASET naming every faulty input before anything is predicted; ERR_RUN, ERR_DISK
 */
export async function predictFolder(options: PredictOptions, hooks: PredictionHooks): Promise<number> {
  const model = await openModel(options.run, options.folds, options.checkpoint)
  const outputFolder = path.resolve(options.output)
  const inPart = listImageFolder(path.resolve(options.input), model.dataset).filter(
    (_, index) => index % options.numParts === options.partId,
  )
  const cases = options.continue
    ? inPart.filter(({ caseId }) => !isDone(path.join(outputFolder, caseId), model.dataset.fileEnding, options))
    : inPart
  if (cases.length < inPart.length) hooks.onNote(`${inPart.length - cases.length} cases are there already.`)
  const previousFile = previousStageFiles(options.previousStage, cases, model)
  await checkInputs(cases, model)
  for (const file of ['dataset.json', 'plans.json']) {
    const content = await readBytes(path.join(model.folder, file), file)
    await writeFileAtomically(path.join(outputFolder, file), content)
  }
  await writeJson(path.join(outputFolder, 'predict_from_raw_data_args.json'), nnunetArguments(options))
  if (cases.length === 0) return 0

  await using predictor = await Predictor.open(model, options)
  const begin = performance.now()
  for (const [index, { caseId, images }] of cases.entries()) {
    const image = await readCase(model, caseId, images)
    const logits = await predictor.logitsOf(image, previousFile?.(caseId) ?? null, hooks.predict)
    await exportCase(path.join(outputFolder, caseId), logits, predictor.format)
    const done = index + 1
    const secondsPerCase = (performance.now() - begin) / 1000 / done
    hooks.onCase(caseId, done, cases.length, secondsPerCase * (cases.length - done))
  }
  return cases.length
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

/**
 * The previous stage's file of each case; undefined without a cascade.
 * @throws VoxgradError ERR_CONFIG if the folder is missing, or the model is no cascade; ERR_DATASET naming missing files
 */
function previousStageFiles(
  folder: string | undefined,
  cases: RawCase[],
  { configuration: { previous_stage: previous }, dataset }: Model,
): ((caseId: string) => string) | undefined {
  if (previous === undefined) {
    if (folder === undefined) return undefined
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
  const fileOf = (caseId: string) => path.join(path.resolve(folder), caseId + dataset.fileEnding)
  const missing = cases.map(({ caseId }) => fileOf(caseId)).filter((file) => !existsSync(file))
  if (missing.length === 0) return fileOf
  throw new VoxgradError('ERR_DATASET', {
    found: `Segmentations of the previous stage (${previous}) are missing:\n${missing.map((file) => `  ${file}`).join('\n')}`,
    remedy: `Predict these cases with a model of ${previous}.`,
  })
}
