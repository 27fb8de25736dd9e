// The package's verbs that use the engine: train, resume, validate and predict, each started as a run.
import { existsSync } from 'node:fs'
import path from 'node:path'
import { findDataset, resolveFolders } from '../config/folders.js'
import {
  type CheckpointName,
  type PredictInput,
  parseOptions,
  predictOptionsSchema,
  type ResumeInput,
  type ResumeOptions,
  resumeOptionsSchema,
  type TrainInput,
  type TrainOptions,
  trainOptionsSchema,
  type ValidateInput,
  validateOptionsSchema,
} from '../config/schema.js'
import { VoxgradError } from '../errors.js'
import { readJson } from '../files.js'
import { native } from '../native/load.js'
import { predictFolder } from '../predict/predict.js'
import { readCheckpointEntries } from './checkpoint.js'
import { runEndValidation } from './end-validation.js'
import type { Run, RunResult, ValidationFinishedEvent } from './events.js'
import { type JobContext, startJob } from './job.js'
import { finiteOrNull } from './policy.js'
import { ensurePrepared } from './prepare.js'
import { type Candidate, chooseCheckpoint } from './resume.js'
import { executeRun } from './run.js'
import { checkpointNames, RunFolder, type RunRecord } from './run-folder.js'
import { type RunSetup, readSetup, writeModelFiles } from './setup.js'
import { watch } from './watch.js'

export interface JobOptions {
  signal?: AbortSignal
}

/**
 * Trains a network, planning and preprocessing the dataset first if that has not been done, and validates it.
 * Errors reach `finished` and the iteration: ERR_CONFIG, ERR_DATASET, ERR_RUN where the folder already holds a run, ...
 */
export function train(input: TrainInput, { signal }: JobOptions = {}): Run {
  return startJob(async (context) => {
    const options = parseOptions(trainOptionsSchema, input, 'options of train')
    const folder = new RunFolder(runFolderOf(options))
    if (folder.holdsRun()) {
      if (options.continue) return resumeRun({ run: folder.folder, from: 'newest', folders: options.folders }, context)
      throw new VoxgradError(
        'ERR_RUN',
        `${folder.folder} already holds a run. Go on with it by \`voxgrad resume ${folder.folder}\` or by --continue, or choose another folder with --run.`,
      )
    }
    const isPrepared = await ensurePrepared(options, context)
    if (!isPrepared) return stoppedBeforeStart(folder, context)
    const setup = await readSetup(options)
    await writeModelFiles(setup, folder.modelFolder)
    const record = newRecord(setup)
    await folder.writeRecord(record)
    return executeRun(setup, folder, record, null, context)
  }, signal)
}

/** Goes on with a run at the exact step of its newest whole checkpoint; a finished run only gets what it lacks. */
export function resume(input: ResumeInput, { signal }: JobOptions = {}): Run {
  return startJob(
    (context) => resumeRun(parseOptions(resumeOptionsSchema, input, 'options of resume'), context),
    signal,
  )
}

/** Runs the end validation of a run again, on the weights of one of its checkpoints. */
export function validate(input: ValidateInput, { signal }: JobOptions = {}): Run<ValidationFinishedEvent | 'stopped'> {
  return startJob(async (context) => {
    const options = parseOptions(validateOptionsSchema, input, 'options of validate')
    const { device, threads } = options
    const { folder, setup } = await openRun(options, { device, threads })
    requireCheckpoint(folder, options.checkpoint)
    const trainer = await native().createTrainer(setup.trainerConfig)
    try {
      await trainer.loadCheckpoint({ path: folder.checkpoint(options.checkpoint), what: 'weights' })
      return await runEndValidation(trainer, setup, folder, options.checkpoint, context)
    } finally {
      await trainer.dispose()
    }
  }, signal)
}

/** Segments a folder of images with one or several trained folds. */
export function predict(input: PredictInput, { signal }: JobOptions = {}): Run<{ output: string; cases: number }> {
  return startJob(async (context) => {
    const options = parseOptions(predictOptionsSchema, input, 'options of predict')
    const cases = await predictFolder(options, {
      predict: (trainer, job) => watch(trainer, context.stopping, job),
      onCase: (caseId, done, total, secondsLeft) =>
        context.emit({ type: 'prediction_progress', caseId, done, total, secondsLeft }),
    })
    const result = { output: path.resolve(options.output), cases }
    context.emit({ type: 'prediction_finished', ...result })
    return result
  }, signal)
}

async function resumeRun(options: ResumeOptions, context: JobContext): Promise<RunResult> {
  const { folder, setup, record } = await openRun(options, {})
  const candidates = await readCandidates(folder)
  const choice = chooseCheckpoint(candidates, options.from)
  if (choice.name === null && candidates.length > 0) {
    throw new VoxgradError(
      'ERR_CHECKPOINT',
      `${folder.folder}: ${choice.text}. Start again in another folder with --run.`,
    )
  }
  const from = choice.name && path.basename(folder.checkpoint(choice.name))
  const { epoch, step } = choice
  await folder.cutMetrics({ epoch, step })
  const line = { type: 'resume', from, epoch, step, text: choice.text } as const
  await folder.appendMetrics(line)
  await folder.log(choice.text)
  context.emit(line)
  if (choice.name !== 'final' || epoch < setup.budget.epochs) {
    return executeRun(setup, folder, record, choice.name, context)
  }
  const dice = await readMeanDice(folder)
  if (dice === undefined && setup.options.validateAtEnd) {
    context.emit({ type: 'log', text: 'The run is finished; its validation is missing and follows now.' })
    return executeRun(setup, folder, record, 'final', context)
  }
  context.emit({ type: 'log', text: 'The run is finished; nothing is missing.' })
  await folder.writeRecord({ ...record, status: 'finished', reason: 'completed' })
  const result: RunResult = {
    status: 'finished',
    reason: 'completed',
    folder: folder.folder,
    epochs: epoch,
    step,
    meanValidationDice: dice ?? null,
  }
  context.emit({ type: 'run_finished', result })
  return result
}

/** A run's folder, its record and its setup, with the options that it was started with and those given now. */
async function openRun(
  { run, folders }: Pick<ResumeOptions, 'run' | 'folders'>,
  overrides: { device?: string | undefined; threads?: number | undefined },
): Promise<{ folder: RunFolder; setup: RunSetup; record: RunRecord }> {
  const folder = new RunFolder(path.resolve(run))
  const record = await folder.readRecord()
  const stored = parseOptions(trainOptionsSchema, record.options, folder.recordFile)
  const known = Object.entries(stored.folders).filter(([, root]) => root !== undefined && existsSync(root))
  const given = Object.entries({ ...overrides }).filter(([, value]) => value !== undefined)
  const options = {
    ...stored,
    ...Object.fromEntries(given),
    folders: { ...Object.fromEntries(known), ...folders },
  }
  const setup = await readSetup(options, path.join(folder.modelFolder, 'plans.json'))
  return { folder, setup, record }
}

function requireCheckpoint(folder: RunFolder, name: CheckpointName): void {
  if (existsSync(folder.checkpoint(name))) return
  const present = checkpointNames.filter((other) => existsSync(folder.checkpoint(other)))
  const ways = present.length > 0 ? `there is ${present.join(', ')}: choose one by --checkpoint, or ` : ''
  throw new VoxgradError(
    'ERR_RUN',
    `${folder.checkpoint(name)} is missing; ${ways}go on with the training by \`voxgrad resume ${folder.folder}\`.`,
  )
}

/** The checkpoints that are there, each read as far as it is whole. */
async function readCandidates(folder: RunFolder): Promise<Candidate[]> {
  const present = checkpointNames.filter((name) => existsSync(folder.checkpoint(name)))
  return Promise.all(
    present.map(async (name): Promise<Candidate> => {
      const file = folder.checkpoint(name)
      try {
        const entries = (await native().readTorchFile(file)) as Record<string, unknown>
        const { epoch, step } = readCheckpointEntries(entries, file).state
        return { name, epoch, step }
      } catch (error) {
        return { name, fault: (error as Error).message }
      }
    }),
  )
}

async function readMeanDice(folder: RunFolder): Promise<number | null | undefined> {
  const file = path.join(folder.validation('final'), 'summary.json')
  if (!existsSync(file)) return undefined
  const summary = (await readJson(file, 'summary.json')) as { foreground_mean: { Dice: number } }
  return finiteOrNull(summary.foreground_mean.Dice)
}

function stoppedBeforeStart({ folder }: RunFolder, { emit }: JobContext): RunResult {
  const result = { status: 'stopped', reason: 'signal', folder, epochs: 0, step: 0, meanValidationDice: null } as const
  emit({ type: 'run_finished', result })
  return result
}

function newRecord(setup: RunSetup): RunRecord {
  const { seed, device, threads } = setup.trainerConfig
  const now = new Date().toISOString()
  return {
    format: 1,
    status: 'running',
    reason: null,
    error: null,
    dataset: setup.name.name,
    options: setup.options,
    resolved: setup.trainerConfig,
    versions: setup.versions,
    seed,
    device,
    threads,
    epoch: 0,
    step: 0,
    processId: process.pid,
    startedAt: now,
    updatedAt: now,
  }
}

function runFolderOf(options: TrainOptions): string {
  if (options.run !== undefined) return path.resolve(options.run)
  const folders = resolveFolders(options.folders)
  const { name } = findDataset(folders, options.dataset)
  const model = `voxgrad__${options.plans}__${options.configuration}`
  return path.join(folders.results, name, model, `fold_${options.fold}`)
}
