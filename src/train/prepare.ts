// Plans and preprocesses a dataset with events, as verbs of their own or on the way to its training.
import { existsSync } from 'node:fs'
import path from 'node:path'
import { findDataset, resolveFolders } from '../config/folders.js'
import { didYouMean } from '../config/issues.js'
import type { PlanInput, PreprocessInput, TrainOptions } from '../config/schema.js'
import { VoxgradError } from '../errors.js'
import { type PlanResult, plan } from '../plan/plan.js'
import { readPlans, resolveConfiguration } from '../plan/plans.js'
import { type PresetName, presets } from '../plan/presets.js'
import { type PreprocessResult, preprocess } from '../preprocess/preprocess.js'
import { unpackCases } from '../preprocess/unpack.js'
import type { JobContext } from './job.js'
import { listPreprocessedCases } from './setup.js'

/** plan() with its progress and warnings as events; the wish to stop rejects it. */
export function planWithEvents(input: PlanInput, { emit, stopping }: JobContext): Promise<PlanResult> {
  return plan(input, {
    signal: stopping,
    onProgress: ({ done, total, secondsLeft }) =>
      emit({ type: 'preparing', stage: 'plan', done, total, ...(secondsLeft === undefined ? {} : { secondsLeft }) }),
    onWarning: (text) => emit({ type: 'warning', text }),
  })
}

/** preprocess() with its progress as events; the wish to stop rejects it. */
export function preprocessWithEvents(
  input: PreprocessInput,
  { emit, stopping }: JobContext,
): Promise<PreprocessResult> {
  return preprocess(input, {
    signal: stopping,
    onProgress: ({ done, total, secondsLeft }) =>
      emit({ type: 'preparing', stage: 'preprocess', done, total, secondsLeft }),
  })
}

/** unpackCases() with its progress as events. It is not stopped: a run that is to stop does so at its next step. */
export function unpackWithEvents(folder: string, caseIds: string[], { emit }: Pick<JobContext, 'emit'>): Promise<void> {
  return unpackCases(folder, caseIds, {
    onProgress: ({ done, total, secondsLeft }) =>
      emit({ type: 'preparing', stage: 'unpack', done, total, secondsLeft }),
  })
}

/**
 * Makes sure that plans and preprocessed cases are there; says so by events where it has to make them.
 * @returns false if it was stopped on the way
 * @throws VoxgradError as plan and preprocess do; ERR_CONFIG if the plans are missing and no preset writes them
 */
export async function ensurePrepared(options: TrainOptions, context: JobContext): Promise<boolean> {
  try {
    await makeWhatIsMissing(options, context)
    return !context.stopping.aborted
  } catch (error) {
    if (context.stopping.aborted) return false
    throw error
  }
}

async function makeWhatIsMissing(options: TrainOptions, context: JobContext): Promise<void> {
  const folders = resolveFolders(options.folders)
  const { name } = findDataset(folders, options.dataset)
  const plansFile = path.join(folders.preprocessed, name, `${options.plans}.json`)
  if (!existsSync(plansFile)) {
    const preset = presetOf(options.plans, plansFile)
    context.emit({ type: 'log', text: `${name} has no ${options.plans}.json: planning it now.` })
    await planWithEvents({ dataset: name, folders: options.folders, preset }, context)
  }
  const configuration = resolveConfiguration(await readPlans(plansFile), options.configuration)
  const caseFolder = path.join(folders.preprocessed, name, configuration.data_identifier)
  if ((await listPreprocessedCases(caseFolder)).length > 0) return
  context.emit({ type: 'log', text: `${name} is not preprocessed for ${options.configuration}: doing it now.` })
  const { plans, configuration: wanted } = options
  await preprocessWithEvents({ dataset: name, folders: options.folders, configurations: [wanted], plans }, context)
}

function presetOf(plansName: string, plansFile: string): PresetName {
  const names = Object.keys(presets) as PresetName[]
  const preset = names.find((name) => presets[name].plansName === plansName)
  if (preset !== undefined) return preset
  const known = names.map((name) => presets[name].plansName)
  throw new VoxgradError('ERR_PLANS', {
    found: `${plansFile} is missing, and no preset of voxgrad writes plans of this name`,
    remedy: `Check --plans; the presets write ${known.join(', ')}${didYouMean(plansName, known) || '.'}`,
  })
}
