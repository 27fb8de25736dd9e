// Everything that a run needs to know before it starts, read from the preprocessed dataset and checked.
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { type DatasetName, findDataset, resolveFolders } from '../config/folders.js'
import { trainerOfNetwork } from '../config/nnunet-trainer.js'
import { resolveTrainerConfig } from '../config/resolve.js'
import type { TrainOptions } from '../config/schema.js'
import { type DatasetJson, readDatasetJson } from '../dataset/dataset-json.js'
import { compareCodePoints } from '../dataset/raw.js'
import { casesOfFold, readOrWriteSplits } from '../dataset/splits.js'
import { VoxgradError } from '../errors.js'
import { readBytes, writeFileAtomically } from '../files.js'
import type { TrainerConfig } from '../native/binding.js'
import { native } from '../native/load.js'
import { type Configuration, type Plans, readPlans, resolveConfiguration } from '../plan/plans.js'
import { type ExportPlan, exportPlan } from '../preprocess/export-plan.js'
import { version } from '../version.js'
import { type Metric, parseMetric } from './best.js'
import { type Budget, resolveBudget } from './budget.js'
import type { CheckpointContext } from './checkpoint.js'
import { isStoredAsHalf } from './data.js'
import { ownPolicies, type Policies, type PolicyName } from './policies.js'
import type { PolicyRules } from './policy.js'
import { findPreviousStage, type NextStage, nextStagesOf } from './previous-stage.js'
import { learningRates, resolveSchedule } from './schedule.js'

export interface RunSetup {
  /** With threads resolved and folders absolute. */
  options: TrainOptions
  name: DatasetName
  dataset: DatasetJson
  plans: Plans
  configuration: Configuration
  /** Case ids. */
  training: string[]
  validation: string[]
  /** nnUNet_preprocessed/DATASET, and in it the cases of the configuration and the reference segmentations. */
  datasetFolder: string
  caseFolder: string
  referenceFolder: string
  /** In a cascade: folder of the previous stage's segmentations. */
  previousStage: string | null
  nextStages: NextStage[]
  trainerConfig: TrainerConfig
  isStoredAsHalf: boolean
  exportPlan: ExportPlan
  mirrorAxes: number[]
  budget: Budget
  rules: PolicyRules
  /** Those that are the caller's own. */
  ownPolicies: PolicyName[]
  /** What every checkpoint of the run holds; its id is that of run.json. */
  checkpointContext: Omit<CheckpointContext, 'runId'>
  versions: Record<string, string>
}

/**
 * Reads plans, dataset.json and splits of a preprocessed dataset and works out every number of the run.
 * @param settings.policies the caller's own
 * @param settings.plansFile in place of the one of the preprocessed dataset: a run that goes on keeps its own
 * @throws VoxgradError ERR_CONFIG, ERR_DATASET
 */
export async function readSetup(
  options: TrainOptions,
  { policies = {}, plansFile }: { policies?: Policies | undefined; plansFile?: string } = {},
): Promise<RunSetup> {
  const folders = resolveFolders(options.folders)
  const name = findDataset(folders, options.dataset)
  const datasetFolder = path.join(folders.preprocessed, name.name)
  const dataset = await readDatasetJson(path.join(datasetFolder, 'dataset.json'))
  const plans = await readPlans(plansFile ?? path.join(datasetFolder, `${options.plans}.json`))
  const configuration = resolveConfiguration(plans, options.configuration)

  const caseFolder = path.join(datasetFolder, configuration.data_identifier)
  const caseIds = await listPreprocessedCases(caseFolder)
  const splits = await readOrWriteSplits(datasetFolder, caseIds)
  const { train: training, val: validation } = casesOfFold(splits, caseIds, options.fold)

  const previousStage = configuration.previous_stage
    ? findPreviousStage({
        given: options.previousStage,
        folders,
        dataset: name.name,
        plans,
        configuration: options.configuration,
        previous: configuration.previous_stage,
        caseIds: [...new Set([...training, ...validation])].sort(compareCodePoints),
        splits,
      })
    : null

  const trainerConfig = resolveTrainerConfig(configuration, dataset, options)
  const resolved: TrainOptions = {
    ...options,
    dataset: name.name,
    threads: trainerConfig.threads,
    folders: { preprocessed: folders.preprocessed },
    ...(options.pretrained === undefined ? {} : { pretrained: path.resolve(options.pretrained) }),
    ...(previousStage === null ? {} : { previousStage }),
  }
  const ownNames = ownPolicies(policies)
  const rules = policyRules(options, dataset.targets, policies)
  const { mirrorAxes } = trainerConfig.augmentation
  const versions = { voxgrad: version, node: process.versions.node, ...native().versions() }
  return {
    options: resolved,
    name,
    dataset,
    plans,
    configuration,
    training,
    validation,
    datasetFolder,
    caseFolder,
    referenceFolder: path.join(datasetFolder, 'gt_segmentations'),
    previousStage,
    nextStages: nextStagesOf(plans, options.configuration),
    trainerConfig,
    isStoredAsHalf: isStoredAsHalf(options.data.storage, configuration.normalization_schemes, trainerConfig.precision),
    exportPlan: exportPlan(plans, configuration, dataset),
    mirrorAxes,
    budget: rules.budget,
    rules,
    ownPolicies: ownNames,
    checkpointContext: {
      plans,
      datasetJson: dataset.content,
      configuration: options.configuration,
      fold: options.fold,
      device: trainerConfig.device,
      trainer: trainerOfNetwork(options.network),
      mirrorAxes,
      seed: trainerConfig.seed,
      versions,
    },
    versions,
  }
}

/**
 * The rules of every decision in a run.
 * @param labels foreground labels or regions in the order of all metrics
 * @param policies the caller's own, in place of those that the options describe
 * @throws VoxgradError ERR_CONFIG if bestModel.metric names a label that is not there, or a rate is none
 */
export function policyRules(
  options: TrainOptions,
  labels: readonly { name: string }[],
  { learningRate, bestMetric, stopEarly }: Policies = {},
): PolicyRules {
  const budget = resolveBudget(options.budget)
  const metric: Metric | undefined = bestMetric
    ? { kind: 'own', of: bestMetric }
    : parseMetric(options.bestModel.metric, labels)
  if (!metric) {
    throw new VoxgradError('ERR_CONFIG', {
      where: 'bestModel.metric',
      required: `label: and one of ${labels.map(({ name }) => name).join(', ')}`,
      found: options.bestModel.metric,
    })
  }
  const schedule = resolveSchedule(options, budget, learningRate)
  // A function that fails at a late step is found before the first one.
  if (learningRate) learningRates(schedule, 0, budget.totalSteps)
  const { annealSteps, divergenceLoss, ...earlyStopping } = options.earlyStopping
  return {
    budget,
    schedule,
    bestModel: { metric, emaDecay: options.bestModel.emaDecay },
    earlyStopping: {
      ...earlyStopping,
      annealSteps: annealSteps ?? defaultAnnealEpochs * budget.stepsPerEpoch,
      divergenceLoss: divergenceLoss ?? null,
    },
    stopEarly,
    nonFinite: options.nonFinite,
    checkpoint: options.checkpoint,
  }
}

const defaultAnnealEpochs = 10

/**
 * Ids of the cases in a preprocessed folder (CASE.b2nd; CASE.npz or CASE.npy of older nnU-Nets), in nnU-Net's order (code
 * points); empty if there is no such folder.
 */
export async function listPreprocessedCases(folder: string): Promise<string[]> {
  if (!existsSync(folder)) return []
  const stems = (await readdir(folder)).flatMap((file) => /^(.+)\.(?:b2nd|npz|npy)$/.exec(file)?.[1] ?? [])
  const all = new Set(stems)
  const isSegmentation = (stem: string) => stem.endsWith('_seg') && all.has(stem.slice(0, -'_seg'.length))
  return [...all].filter((stem) => !isSegmentation(stem)).sort((a, b) => (a < b ? -1 : 1))
}

/**
 * Copies dataset.json, dataset_fingerprint.json and the plans into the model folder, as nnU-Net does.
 * @throws VoxgradError ERR_RUN if other folds there were trained with other plans, ERR_DISK
 */
export async function writeModelFiles(setup: RunSetup, modelFolder: string): Promise<void> {
  const plansFile = path.join(modelFolder, 'plans.json')
  if (existsSync(plansFile)) {
    if (isDeepStrictEqual(await readPlans(plansFile), setup.plans)) return
    throw new VoxgradError('ERR_RUN_EXISTS', {
      where: plansFile,
      required: `the plans of this run (${setup.plans.plans_name})`,
      found: 'others, with which earlier folds were trained',
      remedy: 'Move the folder away, or train with --run into another one.',
    })
  }
  const copies: [string, string][] = [
    ['dataset.json', 'dataset.json'],
    ['dataset_fingerprint.json', 'dataset_fingerprint.json'],
    [`${setup.options.plans}.json`, 'plans.json'],
  ]
  for (const [source, target] of copies) {
    const file = path.join(setup.datasetFolder, source)
    if (existsSync(file)) await writeFileAtomically(path.join(modelFolder, target), await readBytes(file, source))
  }
}
