// What a sweep has to do: its runs in their order, each as far as its folder says it is, and every fault at once before any
// begins.
import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { type Folders, findDataset, resolveFolders } from '../config/folders.js'
import { resolveTrainerConfig } from '../config/resolve.js'
import {
  type Fold,
  parseOptions,
  type SweepInput,
  type SweepOptions,
  sweepOptionsSchema,
  type TrainInput,
  type TrainOptions,
  trainOptionsSchema,
} from '../config/schema.js'
import { type DatasetJson, readDatasetJson } from '../dataset/dataset-json.js'
import { compareCodePoints } from '../dataset/raw.js'
import { casesOfFold, makeSplits, readSplits, type Split } from '../dataset/splits.js'
import { commonCode, VoxgradError } from '../errors.js'
import { type Configuration, type Plans, readPlans, resolveConfiguration } from '../plan/plans.js'
import { presets } from '../plan/presets.js'
import { resolveBudget } from '../train/budget.js'
import { readValidation, wantedValidations } from '../train/end-validation.js'
import { runFolderOf } from '../train/jobs.js'
import { readOverview } from '../train/overview.js'
import { findPreviousStage } from '../train/previous-stage.js'
import { RunFolder } from '../train/run-folder.js'
import { listPreprocessedCases, policyRules } from '../train/setup.js'
import { countGpus, devicesThere, requireDevices } from './devices.js'
import type { SweepRun } from './events.js'
import { trainingSeconds } from './summary.js'

/** A sweep that can begin. */
export interface PreparedSweep {
  options: SweepOptions
  folders: Folders
  /** Full names. */
  datasets: string[]
  /** One for each run at a time. */
  devices: string[]
  /** Native threads of a run that begins. */
  threads: number
  runs: SweepRun[]
  /** What the caller should know before it begins. */
  notes: string[]
}

/** What a run of the sweep is trained with, by train()'s options. */
export function trainInputOf(
  input: SweepOptions | SweepInput,
  run: Pick<SweepRun, 'dataset' | 'configuration' | 'fold'>,
) {
  const { datasets: _, configurations: __, folds: ___, devices: ____, ...training } = input
  const { dataset, configuration, fold } = run
  return { ...training, dataset, configuration, fold } as TrainInput
}

/**
 * Reads what is there, and works out what is left to do. Writes nothing.
 * @throws VoxgradError naming every fault of options, plans, preprocessed data and runs at once
 */
export async function prepareSweep(input: SweepInput): Promise<PreparedSweep> {
  const options = parseOptions(sweepOptionsSchema, input, 'options of sweep')
  const folders = resolveFolders(options.folders)
  const gpus = await countGpus()
  const devices = options.devices ?? devicesThere(gpus)
  requireDevices(devices, gpus)
  const threads = options.threads ?? Math.max(1, Math.floor(availableParallelism() / devices.length))
  const faults = new Faults()
  faults.note(() => requirePretrained(options))

  const runs: SweepRun[] = []
  const own = new Map<string, string>()
  const names = options.datasets.map((dataset) => faults.note(() => findDataset(folders, dataset).name))
  const datasets = [...new Set(names.filter((name) => name !== undefined))]
  for (const dataset of datasets) {
    const found = await readStages(dataset, options, devices[0] as string, folders, faults)
    for (const { configuration, previous } of found) {
      for (const fold of new Set(options.folds)) {
        const needs = found.some((stage) => stage.configuration === previous)
          ? [...new Set(options.folds)].map((other) => nameOf(dataset, previous as string, other))
          : []
        const run = await faults.noteAsync(() => readRun({ dataset, configuration, fold, needs }, options, own))
        if (run) runs.push(run)
      }
    }
  }
  faults.raise()
  return { options, folders, datasets, devices, threads, runs, notes: notesOf(own) }
}

/** Runs whose options differ alike stand in one note. */
function notesOf(own: ReadonlyMap<string, string>): string[] {
  return [...new Set(own.values())].map((difference) => {
    const names = [...own].filter(([, text]) => text === difference).map(([name]) => name)
    return `Runs that keep their own options (${difference}): ${names.join(', ')}`
  })
}

const nameOf = (dataset: string, configuration: string, fold: Fold): string =>
  `${dataset}/${configuration}/fold_${fold}`

/** Collects what is wrong, to say it at once. */
class Faults {
  readonly #found: VoxgradError[] = []

  note<Result>(deed: () => Result): Result | undefined {
    try {
      return deed()
    } catch (error) {
      this.#add(error)
      return undefined
    }
  }

  async noteAsync<Result>(deed: () => Promise<Result>): Promise<Result | undefined> {
    return deed().catch((error) => {
      this.#add(error)
      return undefined
    })
  }

  /** @throws VoxgradError with all faults */
  raise(): void {
    const [first] = this.#found
    if (first === undefined) return
    if (this.#found.length === 1) throw first
    const lines = this.#found.map(({ message }) => `  ${message.replaceAll('\n', '\n  ')}`)
    throw new VoxgradError(commonCode(this.#found), {
      found: `The sweep cannot begin, ${lines.length} faults:\n${lines.join('\n')}`,
      remedy: 'Do what each line says, then repeat the sweep.',
    })
  }

  #add(error: unknown): void {
    if (!(error instanceof VoxgradError)) throw error
    // The same file may be asked for by several configurations.
    if (!this.#found.some(({ message }) => message === error.message)) this.#found.push(error)
  }
}

function requirePretrained({ pretrained }: SweepOptions): void {
  if (pretrained === undefined || existsSync(pretrained)) return
  throw new VoxgradError('ERR_CHECKPOINT', {
    where: 'pretrained',
    required: 'a checkpoint',
    found: `nothing at ${path.resolve(pretrained)}`,
    remedy: 'Check the path.',
  })
}

interface Stage {
  configuration: string
  /** The configuration on whose segmentations it trains. */
  previous: string | undefined
}

/** The configurations of one dataset that can be trained; what keeps the others from it is noted. */
async function readStages(
  dataset: string,
  options: SweepOptions,
  device: string,
  folders: Folders,
  faults: Faults,
): Promise<Stage[]> {
  const folder = path.join(folders.preprocessed, dataset)
  const plans = await faults.noteAsync(() => readPlansOf(dataset, folder, options.plans))
  const description = plans && (await faults.noteAsync(() => readDatasetJson(path.join(folder, 'dataset.json'))))
  if (!plans || !description) return []
  const stages: Stage[] = []
  for (const configuration of new Set(options.configurations)) {
    await faults.noteAsync(async () => {
      const resolved = resolveConfiguration(plans, configuration)
      const caseIds = await requireCases(dataset, folder, configuration, resolved, options.plans)
      requireTrainable(resolved, description, options, { dataset, configuration, device })
      const { previous_stage: previous } = resolved
      if (previous !== undefined) {
        const splits = await splitsOf(folder, caseIds)
        requirePreviousStage({ dataset, configuration, previous, plans, folders, options, caseIds, splits })
      }
      stages.push({ configuration, previous })
    })
  }
  return stages
}

async function readPlansOf(dataset: string, folder: string, name: string): Promise<Plans> {
  const file = path.join(folder, `${name}.json`)
  if (existsSync(file)) return readPlans(file)
  const preset = Object.entries(presets).find(([, { plansName }]) => plansName === name)?.[0]
  const choice = preset === undefined ? ` --plans-name ${name}` : preset === 'default' ? '' : ` --preset ${preset}`
  throw new VoxgradError('ERR_PLANS', {
    where: dataset,
    required: `${name}.json`,
    found: 'none',
    remedy: `Plan it: voxgrad plan ${dataset}${choice}`,
  })
}

async function requireCases(
  dataset: string,
  folder: string,
  configuration: string,
  { data_identifier: data }: Configuration,
  plans: string,
): Promise<string[]> {
  const caseIds = await listPreprocessedCases(path.join(folder, data))
  if (caseIds.length > 0) return caseIds
  throw new VoxgradError('ERR_PREPROCESSED', {
    where: dataset,
    required: `preprocessed cases of ${configuration} (${data})`,
    found: 'none',
    remedy: `Preprocess them: voxgrad preprocess ${dataset} -c ${configuration} --plans ${plans}`,
  })
}

/** What the options ask of plans and labels is found out before the first run, not by each. */
function requireTrainable(
  configuration: Configuration,
  description: DatasetJson,
  options: SweepOptions,
  run: { dataset: string; configuration: string; device: string },
): void {
  const asked = { ...trainInputOf(options, { ...run, fold: 0 }), device: run.device }
  const training = parseOptions(trainOptionsSchema, asked, 'options of sweep')
  resolveTrainerConfig(configuration, description, training)
  policyRules(training, description.targets)
}

/** As training reads them, without writing new ones. */
async function splitsOf(folder: string, caseIds: string[]): Promise<Split[]> {
  const file = path.join(folder, 'splits_final.json')
  return existsSync(file) ? readSplits(file) : makeSplits(caseIds)
}

/** Segmentations that the sweep does not make itself must be there. Throws ERR_PREPROCESSED naming those that are not. */
function requirePreviousStage(cascade: {
  dataset: string
  configuration: string
  previous: string
  plans: Plans
  folders: Folders
  options: SweepOptions
  caseIds: string[]
  splits: Split[]
}): void {
  const { options, previous, caseIds, splits, ...query } = cascade
  const isSwept = options.configurations.includes(previous)
  const made = new Set(isSwept ? options.folds.flatMap((fold) => casesOfFold(splits, caseIds, fold).val) : [])
  const others = caseIds.filter((caseId) => !made.has(caseId)).sort(compareCodePoints)
  findPreviousStage({ ...query, previous, splits, given: undefined, caseIds: others })
}

/** A run as its folder says it is. Where its options are not those of the sweep, `own` tells which. */
async function readRun(
  { dataset, configuration, fold, needs }: Pick<SweepRun, 'dataset' | 'configuration' | 'fold' | 'needs'>,
  options: SweepOptions,
  own: Map<string, string>,
): Promise<SweepRun> {
  const asked = parseOptions(
    trainOptionsSchema,
    trainInputOf(options, { dataset, configuration, fold }),
    'options of sweep',
  )
  const folder = new RunFolder(runFolderOf(asked))
  const name = nameOf(dataset, configuration, fold)
  const budget = resolveBudget(asked.budget)
  const run: SweepRun = {
    name,
    dataset,
    configuration,
    fold,
    folder: folder.folder,
    state: 'waiting',
    needs,
    device: null,
    epoch: 0,
    epochs: Math.ceil(budget.totalSteps / budget.stepsPerEpoch),
    step: 0,
    totalSteps: budget.totalSteps,
    ema_fg_dice: null,
    validationDice: null,
    seconds: 0,
    secondsPerStep: null,
    secondsLeft: null,
    validation: null,
    error: null,
  }
  if (!existsSync(folder.recordFile)) return run

  const { epoch, epochs, step, totalSteps, ema_fg_dice, status } = await readOverview(folder)
  const stored = parseOptions(trainOptionsSchema, (await folder.readRecord()).options, folder.recordFile)
  const others = differences(asked, stored)
  if (others.length > 0) own.set(name, others.join(', '))
  const wanted = wantedValidations(stored.validateAtEnd)
  const validations = await Promise.all(wanted.map((checkpoint) => readValidation(folder, checkpoint)))
  const isDone = status === 'finished' && !validations.includes(undefined)
  const seconds = trainingSeconds(await folder.readMetrics())
  return {
    ...run,
    state: isDone ? 'finished' : 'waiting',
    epoch,
    epochs,
    step,
    totalSteps,
    ema_fg_dice,
    validationDice: (isDone && validations[0]?.meanForegroundDice) || null,
    seconds,
    secondsPerStep: step > 0 && seconds > 0 ? seconds / step : null,
  }
}

/** What may change from call to call, or follows from where a run is. */
const free = new Set(
  ['dataset', 'folders', 'run', 'continue', 'device', 'threads', 'pretrained', 'previousStage'].concat('budget.time'),
)

/** Options of a run that the sweep would set otherwise: `budget.epochs 1000 in place of 20`. */
export function differences(asked: TrainOptions, stored: TrainOptions): string[] {
  const flat = (value: unknown, place: string): [string, string][] =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.entries(value).flatMap(([key, inner]) => flat(inner, place === '' ? key : `${place}.${key}`))
      : [[place, JSON.stringify(value) ?? 'none']]
  const kept = new Map(flat(stored, ''))
  const wanted = new Map(flat(asked, ''))
  return [...new Set([...kept.keys(), ...wanted.keys()])]
    .filter((place) => !free.has(place) && !free.has(place.split('.')[0] as string))
    .filter((place) => kept.get(place) !== wanted.get(place))
    .map((place) => `${place} ${kept.get(place) ?? 'none'} in place of ${wanted.get(place) ?? 'none'}`)
}
