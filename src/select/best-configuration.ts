// Which configuration, or ensemble of two, does best in cross-validation, and with which postprocessing.
// Source: nnU-Net, evaluation/find_best_configuration.py, evaluation/accumulate_cv_results.py.
import { existsSync } from 'node:fs'
import { copyFile, rm } from 'node:fs/promises'
import path from 'node:path'
import type { CasePoolOptions, CaseProgress } from '../case-pool.js'
import { findDataset, resolveFolders } from '../config/folders.js'
import { type BestConfigurationInput, bestConfigurationOptionsSchema, parseOptions } from '../config/schema.js'
import { type DatasetJson, readDatasetJson } from '../dataset/dataset-json.js'
import { visibleNames } from '../dataset/raw.js'
import { type ReaderName, supportedReader } from '../dataset/readers.js'
import { VoxgradError } from '../errors.js'
import { makeFolder, writeFileAtomically } from '../files.js'
import { type Plans, readPlans, resolveConfiguration } from '../plan/plans.js'
import { evaluateFiles, matchFiles } from '../validate/evaluate.js'
import { PythonFloat, pythonJson, type Summary, summaryText } from '../validate/summary.js'
import { commonCases, type EnsembleCase, ensembleCases, npzFilesOf } from './ensemble.js'
import { instructionsFor } from './instructions.js'
import {
  choosePostprocessing,
  copyDescription,
  type PostprocessingStep,
  writePostprocessing,
} from './postprocessing.js'

/** One trained configuration: the folder TRAINER__PLANS__CONFIGURATION and what names it. */
export interface TrainedModel {
  trainer: string
  plans: string
  configuration: string
  /** Absolute. */
  folder: string
  /** Of a cascade: the configuration whose segmentations it starts from. */
  previousStage: string | undefined
}

/** A model or an ensemble, cross-validated. */
export interface Candidate {
  /** The name of its folder: TRAINER__PLANS__CONFIGURATION, or ensemble___A___B___FOLDS. */
  name: string
  models: TrainedModel[]
  /** Where its predictions of all folds lie. */
  folder: string
  summary: Summary
}

/** What was compared, and what won. */
export interface BestConfiguration {
  /** Models and ensembles, in the order in which they were compared. */
  candidates: Candidate[]
  best: Candidate
  /** Mean Dice of the best with its postprocessing. */
  diceAfter: number
  postprocessing: PostprocessingStep[]
  /** Commands that predict new images with it. */
  instructions: string
  /** inference_information.json */
  file: string
}

export interface BestConfigurationHooks {
  onCandidate(candidate: Candidate): void
  onProgress(title: string, progress: CaseProgress): void
  onNote(text: string): void
  signal?: AbortSignal | undefined
}

/**
 * Gathers the validations of all folds, ensembles every two models, takes the highest mean Dice (of equal ones the first:
 * single models come before ensembles), chooses its postprocessing, and writes nnU-Net's files below the results root.
 * @throws VoxgradError ERR_RUN naming all that is missing with the commands that make it; ERR_CONFIG, ERR_DATASET, ERR_DISK
 */
export async function bestConfiguration(
  input: BestConfigurationInput,
  hooks: Partial<BestConfigurationHooks> = {},
): Promise<BestConfiguration> {
  const options = parseOptions(bestConfigurationOptionsSchema, input, 'options of best-configuration')
  const folders = resolveFolders(options.folders)
  const { name } = findDataset(folders, options.dataset)
  const preprocessed = path.join(folders.preprocessed, name)
  const results = path.join(folders.results, name)
  const models = await plannedModels(options, preprocessed, results, hooks)
  requireValidations(models, options, name)

  const pool = (title: string): CasePoolOptions => ({
    jobs: options.jobs,
    signal: hooks.signal,
    onProgress: (progress) => hooks.onProgress?.(title, progress),
  })
  const truth = path.join(preprocessed, 'gt_segmentations')
  const foldText = options.folds.join('_')
  const candidates: Candidate[] = []
  const add = (candidate: Candidate) => {
    candidates.push(candidate)
    hooks.onCandidate?.(candidate)
  }
  for (const model of models) {
    const folder = path.join(model.folder, `crossval_results_folds_${foldText}`)
    await gatherFolds(model, options.folds, folder)
    const summary = await evaluateFolder(folder, truth, pool(path.basename(model.folder)))
    add({ name: path.basename(model.folder), models: [model], folder, summary })
  }
  for (const [a, b] of options.ensembles ? pairsOf(models) : []) {
    const ensembleName = ['ensemble', path.basename(a.folder), path.basename(b.folder), foldText].join('___')
    const folder = path.join(results, 'ensembles', ensembleName)
    const summary = await ensembleFolds([a, b], options.folds, folder, truth, pool('ensemble'))
    add({ name: ensembleName, models: [a, b], folder, summary })
  }

  const best = bestOf(candidates)
  const how = await describeFolder(best.folder)
  const cases = matchFiles(best.folder, truth, how.dataset.fileEnding, true)
  const chosen = await choosePostprocessing(cases, best.summary, how, pool('postprocessing'))
  await writePostprocessing(best.folder, cases, chosen, how.reader, pool('postprocessing'))
  const diceAfter = chosen.after.foregroundMean.Dice

  const instructions = instructionsFor(best.models, options.folds, path.join(best.folder, 'postprocessing.json'))
  const file = path.join(results, 'inference_information.json')
  const named = ({ trainer, plans, configuration }: TrainedModel) => ({ configuration, plans, trainer })
  const information = {
    folds: options.folds,
    dataset_name_or_id: name,
    considered_models: models.map(named),
    ensembling_allowed: options.ensembles,
    all_results: Object.fromEntries(
      candidates.map((candidate) => [candidate.name, new PythonFloat(candidate.summary.foregroundMean.Dice)]),
    ),
    best_model_or_ensemble: {
      result_on_crossval_pre_pp: new PythonFloat(best.summary.foregroundMean.Dice),
      result_on_crossval_post_pp: new PythonFloat(diceAfter),
      postprocessing_file: path.join(best.folder, 'postprocessing.pkl'),
      some_plans_file: path.join(best.folder, 'plans.json'),
      selected_model_or_models: best.models.map(({ trainer, plans, configuration }) => ({
        configuration,
        plans_identifier: plans,
        trainer,
      })),
    },
  }
  await writeFileAtomically(file, pythonJson(information))
  await writeFileAtomically(path.join(results, 'inference_instructions.txt'), instructions)
  return { candidates, best, diceAfter, postprocessing: chosen.steps, instructions, file }
}

type Options = ReturnType<typeof bestConfigurationOptionsSchema.parse>

/** All trainers, configurations and plans together, in nnU-Net's order, without configurations that the plans lack. */
async function plannedModels(
  { trainers, configurations, plans: plansNames }: Options,
  preprocessed: string,
  results: string,
  hooks: Partial<BestConfigurationHooks>,
): Promise<TrainedModel[]> {
  const plansByName = new Map<string, Plans>()
  for (const name of plansNames) plansByName.set(name, await readPlans(path.join(preprocessed, `${name}.json`)))
  const models = trainers.flatMap((trainer) =>
    configurations.flatMap((configuration) =>
      plansNames
        .filter((plans) => plansByName.get(plans)?.configurations[configuration] !== undefined)
        .map((plans) => {
          const folder = path.join(results, `${trainer}__${plans}__${configuration}`)
          const { previous_stage: previousStage } = resolveConfiguration(plansByName.get(plans) as Plans, configuration)
          return { trainer, plans, configuration, folder, previousStage }
        }),
    ),
  )
  const absent = configurations.filter((wanted) => !models.some(({ configuration }) => configuration === wanted))
  if (absent.length > 0) hooks.onNote?.(`Not in the plans, and so not compared: ${absent.join(', ')}.`)
  if (models.length > 0) return models
  throw new VoxgradError('ERR_PLANS', {
    where: plansNames.join(', '),
    required: `one of the configurations ${configurations.join(', ')}`,
    found: 'none of them',
    remedy: 'Choose others by -c.',
  })
}

/** @throws VoxgradError ERR_RUN naming every fold that is not validated or has no probabilities where they are needed */
function requireValidations(models: TrainedModel[], { folds, ensembles }: Options, dataset: string): void {
  const needsProbabilities = ensembles && models.length > 1
  const missing: string[] = []
  for (const { folder, configuration, plans, trainer } of models) {
    for (const fold of folds) {
      const run = path.join(folder, `fold_${fold}`)
      const validation = path.join(run, 'validation')
      const isValidated = existsSync(path.join(validation, 'summary.json'))
      const flag = needsProbabilities ? ' --save-probabilities' : ''
      if (!isValidated && existsSync(path.join(run, 'checkpoint_final.pth'))) {
        missing.push(`${run} is not validated: voxgrad validate ${run}${flag}`)
      } else if (!isValidated) {
        const how =
          trainer === 'voxgrad'
            ? `voxgrad train ${dataset} ${configuration} ${fold} --plans ${plans}${flag}`
            : `nnUNetv2_train ${dataset} ${configuration} ${fold} -p ${plans} -tr ${trainer} --npz`
        missing.push(`${run} is not trained to its end: ${how}`)
      } else if (needsProbabilities && npzFilesOf([validation]).size === 0) {
        missing.push(`${run} has no probabilities: voxgrad validate ${run} --save-probabilities`)
      }
    }
  }
  if (missing.length === 0) return
  const lines = missing.map((line) => `  ${line}`).join('\n')
  throw new VoxgradError('ERR_RUN', {
    found: `${missing.length} of ${models.length * folds.length} folds lack what cross-validation needs:\n${lines}`,
    remedy:
      'Run the commands above, or compare less: -c names configurations, --folds folds, and --no-ensembles needs no probabilities.',
  })
}

const validationsOf = ({ folder }: TrainedModel, folds: Options['folds']) =>
  folds.map((fold) => path.join(folder, `fold_${fold}`, 'validation'))

/** Copies the segmentations of all folds into one new folder. Throws ERR_DATASET if two folds predicted one case. */
async function gatherFolds(model: TrainedModel, folds: Options['folds'], output: string): Promise<void> {
  const { fileEnding } = await readDatasetJson(path.join(model.folder, 'dataset.json'))
  await makeEmptyFolder(output)
  await copyDescription(model.folder, output)
  const copied = new Set<string>()
  for (const validation of validationsOf(model, folds)) {
    for (const name of visibleNames(validation).filter((one) => one.endsWith(fileEnding))) {
      if (copied.has(name)) throw twice(name, model)
      copied.add(name)
      await copyFile(path.join(validation, name), path.join(output, name))
    }
  }
}

const twice = (name: string, { folder }: TrainedModel) =>
  new VoxgradError('ERR_DATASET', {
    where: folder,
    found: `more than one fold predicted ${name}`,
    remedy: 'All folds need one splits_final.json: train again those that had another.',
  })

/** Evaluates a folder of predictions with the dataset.json and plans.json in it. */
async function evaluateFolder(folder: string, truth: string, pool: CasePoolOptions): Promise<Summary> {
  const how = await describeFolder(folder)
  const summary = await evaluateFiles(matchFiles(folder, truth, how.dataset.fileEnding, true), how, pool)
  await writeFileAtomically(path.join(folder, 'summary.json'), summaryText(summary))
  return summary
}

async function describeFolder(folder: string): Promise<{ dataset: DatasetJson; reader: ReaderName }> {
  const plansFile = path.join(folder, 'plans.json')
  return {
    dataset: await readDatasetJson(path.join(folder, 'dataset.json')),
    reader: supportedReader((await readPlans(plansFile)).image_reader_writer, plansFile),
  }
}

/** Means of two models' probabilities over all folds, whose splits may differ, evaluated. */
async function ensembleFolds(
  models: [TrainedModel, TrainedModel],
  folds: Options['folds'],
  folder: string,
  truth: string,
  pool: CasePoolOptions,
): Promise<Summary> {
  const members = models.map((model) => {
    const validations = validationsOf(model, folds)
    const files = npzFilesOf(validations)
    for (const caseId of files.keys()) {
      const holders = validations.filter((validation) => existsSync(path.join(validation, `${caseId}.npz`)))
      if (holders.length > 1) throw twice(`${caseId}.npz`, model)
    }
    return { name: model.folder, files }
  })
  const explain = (missing: string) =>
    `${missing}\nValidate these folds again: voxgrad validate RUN --save-probabilities; or compare with --no-ensembles.`
  const cases: EnsembleCase[] = commonCases(members, explain)
  const [first] = models
  await makeEmptyFolder(folder)
  await copyDescription(first.folder, folder)
  await ensembleCases(cases, folder, { ...(await describeFolder(folder)), saveProbabilities: false }, pool)
  return evaluateFolder(folder, truth, pool)
}

function pairsOf<Item>(items: Item[]): [Item, Item][] {
  return items.flatMap((a, i) => items.slice(i + 1).map((b): [Item, Item] => [a, b]))
}

/** The first of the highest; a mean that does not exist is the lowest. */
function bestOf(candidates: Candidate[]): Candidate {
  const score = ({ summary }: Candidate) =>
    Number.isNaN(summary.foregroundMean.Dice) ? -1 : summary.foregroundMean.Dice
  const best = candidates.reduce((high, candidate) => (score(candidate) > score(high) ? candidate : high))
  if (score(best) >= 0) return best
  throw new VoxgradError('ERR_DATASET', {
    found: 'No candidate has a mean Dice: a label is in no reference and no prediction of the cross-validation',
    remedy: 'Remove the label from dataset.json.',
  })
}

async function makeEmptyFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true })
  await makeFolder(folder)
}
