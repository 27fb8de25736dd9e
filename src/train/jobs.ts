// The package's verbs that use the engine: train, resume, validate and predict, each started as a run.
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { rmdir } from 'node:fs/promises'
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
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
import { native } from '../native/load.js'
import { predictFolder } from '../predict/predict.js'
import { isComplete, resolveBudget } from './budget.js'
import { readCandidates } from './candidates.js'
import { readValidation, runEndValidation, wantedValidations } from './end-validation.js'
import type { Run, RunResult, ValidationFinishedEvent } from './events.js'
import { extend } from './extend.js'
import { type JobContext, startJob } from './job.js'
import { lockRun } from './lock.js'
import { newRecord, readRunOptions, readRunSetup, recordOf } from './open-run.js'
import { isTrained, type PolicyState } from './policy.js'
import { ensurePrepared } from './prepare.js'
import { chooseCheckpoint } from './resume.js'
import { executeRun } from './run.js'
import { checkpointNames, RunFolder, type RunRecord } from './run-folder.js'
import { readSetup, writeModelFiles } from './setup.js'
import { watch } from './watch.js'

export interface JobOptions {
  signal?: AbortSignal | undefined
  /** Called at every sign of life, for a supervisor. */
  onAlive?: JobContext['alive'] | undefined
  /** Why a supervisor starts the run again; goes into its record. */
  restartedBecause?: string | undefined
}

/**
 * Trains a network, planning and preprocessing the dataset first if that has not been done, and validates it.
 * Errors reach `finished` and the iteration: ERR_CONFIG, ERR_DATASET, ERR_RUN where the folder already holds a run or is
 * in use, ...
 */
export function train(input: TrainInput, { restartedBecause, ...jobOptions }: JobOptions = {}): Run {
  return startJob(async (context) => {
    const options = parseOptions(trainOptionsSchema, input, 'options of train')
    const folder = new RunFolder(runFolderOf(options))
    return withLock(folder, async () => {
      if (folder.holdsRun()) {
        if (!options.continue) {
          throw new VoxgradError(
            'ERR_RUN',
            `${folder.folder} already holds a run. Go on with it by \`voxgrad resume ${folder.folder}\` or by --continue, or choose another folder with --run.`,
          )
        }
        await noteOtherBudget(folder, options, context)
        const resumed = { run: folder.folder, from: 'newest', budget: {}, folders: options.folders } as const
        return resumeRun(folder, resumed, context, restartedBecause)
      }
      const isPrepared = await ensurePrepared(options, context)
      if (!isPrepared) return stoppedBeforeStart(context)
      const setup = await readSetup(options)
      await writeModelFiles(setup, folder.modelFolder)
      const record = newRecord(setup)
      await folder.writeRecord(record)
      return executeRun(setup, folder, record, null, context)
    })
  }, jobOptions)
}

/**
 * Goes on with a run at the exact step of its newest whole checkpoint; a finished run only gets what it lacks, or more
 * steps. A folder of nnU-Net is taken over: its run goes on as one of voxgrad.
 */
export function resume(input: ResumeInput, { restartedBecause, ...jobOptions }: JobOptions = {}): Run {
  return startJob(async (context) => {
    const options = parseOptions(resumeOptionsSchema, input, 'options of resume')
    const folder = new RunFolder(path.resolve(options.run))
    // Said before the lock would make the folder.
    if (!folder.holdsRun()) await folder.readRecord()
    return withLock(folder, () => resumeRun(folder, options, context, restartedBecause))
  }, jobOptions)
}

/** A run that is continued keeps its budget; who asked for another one is told how to get it. */
async function noteOtherBudget(folder: RunFolder, wanted: TrainOptions, { emit }: JobContext): Promise<void> {
  const { options: stored } = await readRunOptions(folder, { folders: wanted.folders })
  const [asked, kept] = [resolveBudget(wanted.budget), resolveBudget(stored.budget)]
  if (isDeepStrictEqual(asked, kept)) return
  const total = `${kept.totalSteps} steps, ${kept.stepsPerEpoch} an epoch`
  const text = `The run goes on with its own budget (${total}), not with the one given here; change it by \`voxgrad resume ${folder.folder}\`.`
  emit({ type: 'log', text })
}

async function withLock<Result>({ folder }: RunFolder, deed: () => Promise<Result>): Promise<Result> {
  const existed = existsSync(folder)
  const lock = await lockRun(folder)
  try {
    return await deed()
  } finally {
    lock.release()
    // A run that could not start leaves nothing behind.
    if (!existed) await rmdir(folder).catch(() => {})
  }
}

/** Runs the end validation of a run again, on the weights of one of its checkpoints. */
export function validate(input: ValidateInput, jobOptions: JobOptions = {}): Run<ValidationFinishedEvent | 'stopped'> {
  return startJob(async (context) => {
    const options = parseOptions(validateOptionsSchema, input, 'options of validate')
    const folder = new RunFolder(path.resolve(options.run))
    const { options: stored } = await readRunOptions(folder, options)
    const setup = await readRunSetup(folder, stored)
    requireCheckpoint(folder, options.checkpoint)
    const trainer = await native().createTrainer(setup.trainerConfig)
    try {
      await trainer.loadCheckpoint({ path: folder.checkpoint(options.checkpoint), what: 'weights' })
      return await runEndValidation(trainer, setup, folder, options.checkpoint, context)
    } finally {
      await trainer.dispose()
    }
  }, jobOptions)
}

/** Segments a folder of images with one or several trained folds. */
export function predict(input: PredictInput, jobOptions: JobOptions = {}): Run<{ output: string; cases: number }> {
  return startJob(async (context) => {
    const options = parseOptions(predictOptionsSchema, input, 'options of predict')
    const cases = await predictFolder(options, {
      predict: (trainer, job) => watch(trainer, context, job),
      onCase: (caseId, done, total, secondsLeft) =>
        context.emit({ type: 'prediction_progress', caseId, done, total, secondsLeft }),
    })
    const result = { output: path.resolve(options.output), cases }
    context.emit({ type: 'prediction_finished', ...result })
    return result
  }, jobOptions)
}

async function resumeRun(
  folder: RunFolder,
  options: ResumeOptions,
  context: JobContext,
  restartedBecause: string | undefined,
): Promise<RunResult> {
  const { record: stored, options: started } = await readRunOptions(folder, { folders: options.folders })
  const id = stored?.id ?? randomUUID()
  // Of nnU-Net's checkpoints, which count epochs only, the position depends on this number.
  const stepsPerEpoch = stored
    ? started.budget.stepsPerEpoch
    : (options.budget.stepsPerEpoch ?? started.budget.stepsPerEpoch)
  const candidates = await readCandidates(folder, id, stepsPerEpoch)
  const choice = chooseCheckpoint(candidates, options.from)
  if (choice.name === null && candidates.length > 0) {
    throw new VoxgradError(
      'ERR_CHECKPOINT',
      `${folder.folder}: ${choice.text}. Start again in another folder with --run.`,
    )
  }
  const { state } = choice
  const isEnded = state.stoppedEarly || isComplete(state, resolveBudget(started.budget))
  const { options: extended, isLonger } = extend(started, state, isEnded, options)
  const setup = await readRunSetup(folder, extended)
  const record = { ...(stored ?? newRecord(setup, id)), ...recordOf(setup) }
  if (!stored) await folder.writeRecord(record)

  const { epoch, step } = state
  const text = restartedBecause === undefined ? choice.text : `${restartedBecause}. ${choice.text}`
  const from = choice.name && path.basename(folder.checkpoint(choice.name))
  const line = { type: 'resume', from, epoch, step, text } as const
  await folder.cutMetrics(state, [])
  await folder.appendMetrics(line)
  await folder.log(text)
  context.emit(line)
  if (choice.name === 'final' && isTrained(state, setup.rules) && !isLonger) {
    const wanted = wantedValidations(setup.options.validateAtEnd)
    const validations = (await Promise.all(wanted.map((name) => readValidation(folder, name)))).filter(
      (found) => !!found,
    )
    if (validations.length === wanted.length) return alreadyFinished(folder, record, state, validations, context)
    context.emit({ type: 'log', text: 'The run is finished; its validation is missing and follows now.' })
  }
  return executeRun(setup, folder, record, choice.name, context, { isLonger })
}

async function alreadyFinished(
  folder: RunFolder,
  record: RunRecord,
  { epoch, step, stoppedEarly }: PolicyState,
  validations: RunResult['validations'],
  { emit }: JobContext,
): Promise<RunResult> {
  emit({ type: 'log', text: 'The run is finished; nothing is missing.' })
  const outcome = { status: 'finished', reason: stoppedEarly ? 'early_stopping' : 'completed' } as const
  await folder.writeRecord({ ...record, ...outcome })
  const result: RunResult = { ...outcome, folder: folder.folder, epochs: epoch, step, validations }
  emit({ type: 'run_finished', result })
  return result
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

function stoppedBeforeStart({ emit }: JobContext): RunResult {
  const result: RunResult = { status: 'stopped', reason: 'signal', folder: '', epochs: 0, step: 0, validations: [] }
  emit({ type: 'run_finished', result })
  return result
}

function runFolderOf(options: TrainOptions): string {
  if (options.run !== undefined) return path.resolve(options.run)
  const folders = resolveFolders(options.folders)
  const { name } = findDataset(folders, options.dataset)
  const model = `voxgrad__${options.plans}__${options.configuration}`
  return path.join(folders.results, name, model, `fold_${options.fold}`)
}
