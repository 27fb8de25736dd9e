// The package's verbs that use the engine: train, resume, validate and predict, each started as a run.
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
  resumeOptionsSchema,
  type TrainInput,
  type TrainOptions,
  trainOptionsSchema,
  type ValidateInput,
  validateOptionsSchema,
} from '../config/schema.js'
import type { RawCase } from '../dataset/raw.js'
import { VoxgradError } from '../errors.js'
import { native } from '../native/load.js'
import { openFolder, predictCases } from '../predict/predict.js'
import { type Leader, requireDivisible } from '../ranks/leader.js'
import { resolveBudget } from './budget.js'
import { runEndValidation } from './end-validation.js'
import type { Run, RunResult, ValidationFinishedEvent } from './events.js'
import { type JobContext, type Restart, startJob } from './job.js'
import { lockRun } from './lock.js'
import { newRecord, readRunOptions, readRunSetup } from './open-run.js'
import type { Policies } from './policies.js'
import { ensurePrepared } from './prepare.js'
import { reportRun } from './report-run.js'
import { resumeRun } from './resume-run.js'
import { executeRun } from './run.js'
import { checkpointNames, RunFolder } from './run-folder.js'
import { type RunSetup, readSetup, writeModelFiles } from './setup.js'
import { watch } from './watch.js'

/** What a job takes beside its options. */
export interface JobOptions {
  /** Its abort ends the job as stop() does. */
  signal?: AbortSignal | undefined
  /** @internal Called at every sign of life, for a supervisor. */
  onAlive?: JobContext['alive'] | undefined
  /** @internal Where several ranks share the job, of the first one. */
  leader?: Leader | undefined
}

/** What train() and resume() take besides. */
export interface TrainJobOptions extends JobOptions {
  /** Decisions of the run that are made by functions of the caller. */
  policies?: Policies | undefined
  /** @internal Given by a supervisor that starts the run again. */
  restart?: Restart | undefined
}

/**
 * Trains a network, planning and preprocessing the dataset first if that has not been done, and validates it.
 * Errors reach `finished` and the iteration: ERR_CONFIG, ERR_DATASET, ERR_RUN where the folder already holds a run or is
 * in use, ...
 */
export function train(input: TrainInput, settings: TrainJobOptions = {}): Run {
  const { restart, policies } = settings
  return startJob(async (context) => {
    const options = parseOptions(trainOptionsSchema, input, 'options of train')
    const folder = new RunFolder(runFolderOf(options))
    // A supervisor's restart continues whatever the first start was.
    if (!restart) refusePretrained(options)
    return withLock(folder, async () => {
      if (folder.holdsRun()) {
        if (!options.continue) {
          throw new VoxgradError('ERR_RUN_EXISTS', {
            found: `${folder.folder} already holds a run`,
            remedy: `Go on with it by \`voxgrad resume ${folder.folder}\` or by --continue, or choose another folder with --run.`,
          })
        }
        await noteOtherBudget(folder, options, context)
        const resumed = { run: folder.folder, from: 'newest', budget: {}, folders: options.folders } as const
        return resumeRun(folder, resumed, context, { restart, policies })
      }
      const isPrepared = await ensurePrepared(options, context)
      if (!isPrepared) return stoppedBeforeStart(context)
      const setup = await readSetup(options, { policies })
      if (context.leader) requireDivisible(setup.trainerConfig, context.leader.ranks)
      await checkStart(setup, context)
      await writeModelFiles(setup, folder.modelFolder)
      const record = newRecord(setup)
      await folder.writeRecord(record)
      return executeRun(setup, folder, record, null, context)
    })
  }, settings)
}

/**
 * Goes on with a run at the exact step of its newest whole checkpoint; a finished run only gets what it lacks, or more
 * steps. A folder of nnU-Net is taken over: its run goes on as one of voxgrad.
 */
export function resume(input: ResumeInput, settings: TrainJobOptions = {}): Run {
  const { restart, policies } = settings
  return startJob(async (context) => {
    const options = parseOptions(resumeOptionsSchema, input, 'options of resume')
    const folder = new RunFolder(path.resolve(options.run))
    // Said before the lock would make the folder.
    if (!folder.holdsRun()) await folder.readRecord()
    return withLock(folder, () => resumeRun(folder, options, context, { restart, policies }))
  }, settings)
}

/**
 * Said before anything is planned or written.
 * @throws VoxgradError ERR_CONFIG
 */
function refusePretrained({ pretrained, continue: isContinued }: TrainOptions): void {
  if (pretrained === undefined) return
  if (isContinued) {
    throw new VoxgradError('ERR_CONFIG', {
      found: 'pretrained starts a run, and continue goes on with one',
      remedy: 'Leave one of the two out; a run that began with pretrained weights is continued by `voxgrad resume`.',
    })
  }
  if (!existsSync(pretrained)) {
    throw new VoxgradError('ERR_CHECKPOINT', {
      where: 'pretrained',
      required: 'a checkpoint',
      found: `nothing at ${path.resolve(pretrained)}`,
      remedy: 'Check the path.',
    })
  }
}

/**
 * A device that is not there, and weights that do not fit, are refused before there is a run folder.
 * Throws VoxgradError ERR_DEVICE, ERR_CHECKPOINT, ERR_FORMAT.
 */
async function checkStart({ options, trainerConfig }: RunSetup, { leader }: JobContext): Promise<void> {
  if (options.pretrained === undefined && options.device === 'cpu') return
  const trainer = await native().createTrainer(leader?.onOwnDevice(trainerConfig) ?? trainerConfig)
  try {
    if (options.pretrained !== undefined) await trainer.loadPretrained({ path: options.pretrained })
  } finally {
    await trainer.dispose()
  }
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
  const made: string[] = []
  for (let missing = folder; !existsSync(missing); missing = path.dirname(missing)) made.push(missing)
  const lock = await lockRun(folder)
  try {
    return await deed()
  } finally {
    lock.release()
    // A run that could not start leaves nothing behind; a folder that holds something stays.
    for (const empty of made) await rmdir(empty).catch(() => {})
  }
}

/** Runs the end validation of a run again, on the weights of one of its checkpoints. */
export function validate(input: ValidateInput, settings: JobOptions = {}): Run<ValidationFinishedEvent | 'stopped'> {
  return startJob(async (context) => {
    const options = parseOptions(validateOptionsSchema, input, 'options of validate')
    const folder = new RunFolder(path.resolve(options.run))
    const { saveProbabilities, checkpoint, ...given } = options
    const { options: stored } = await readRunOptions(folder, given)
    if (saveProbabilities !== undefined) stored.validation = { ...stored.validation, saveProbabilities }
    const setup = await readRunSetup(folder, stored)
    requireCheckpoint(folder, checkpoint)
    const trainer = await (context.leader?.openTrainer(setup.trainerConfig, { isGroup: false }) ??
      native().createTrainer(setup.trainerConfig))
    try {
      await trainer.loadCheckpoint({ path: folder.checkpoint(checkpoint), what: 'weights' })
      const found = await runEndValidation(trainer, setup, folder, checkpoint, context)
      // A folder of nnU-Net's has no run.json to report on.
      if (found !== 'stopped' && existsSync(folder.recordFile)) await reportRun(folder.folder, context)
      return found
    } finally {
      await trainer.dispose()
    }
  }, settings)
}

/** Segments a folder of images with one or several trained folds. */
export function predict(input: PredictInput, settings: JobOptions = {}): Run<{ output: string; cases: number }> {
  return startJob(async (context) => {
    const options = parseOptions(predictOptionsSchema, input, 'options of predict')
    const cases = await openFolder(options, (text) => context.emit({ type: 'log', text }))
    const begin = performance.now()
    let done = 0
    const onCase = (caseId: string) => {
      done++
      const secondsLeft = ((performance.now() - begin) / 1000 / done) * (cases.length - done)
      context.emit({ type: 'prediction_progress', caseId, done, total: cases.length, secondsLeft })
    }
    const own = (part: RawCase[], stopping: AbortSignal) =>
      predictCases(context.leader?.onOwnDevice(options) ?? options, part, {
        predict: (trainer, caseId, job) => watch(trainer, { ...context, stopping }, job, { caseId }),
        onCase,
      })
    if (context.leader) {
      const workOf = (part: RawCase[]) => ({ kind: 'prediction' as const, options, cases: part })
      await context.leader.shareCases(cases, workOf, own, onCase, context)
    } else {
      await own(cases, context.stopping)
    }
    const result = { output: path.resolve(options.output), cases: cases.length }
    context.emit({ type: 'prediction_finished', ...result })
    return result
  }, settings)
}

function requireCheckpoint(folder: RunFolder, name: CheckpointName): void {
  if (existsSync(folder.checkpoint(name))) return
  const present = checkpointNames.filter((other) => existsSync(folder.checkpoint(other)))
  const ways = present.length > 0 ? `Choose one that is there (${present.join(', ')}) by --checkpoint, ` : ''
  throw new VoxgradError('ERR_CHECKPOINT', {
    found: `${folder.checkpoint(name)} is missing`,
    remedy: `${ways}${ways ? 'or go' : 'Go'} on with the training by \`voxgrad resume ${folder.folder}\`.`,
  })
}

function stoppedBeforeStart({ emit }: JobContext): RunResult {
  const result: RunResult = { status: 'stopped', reason: 'signal', folder: '', epochs: 0, step: 0, validations: [] }
  emit({ type: 'run_finished', result })
  return result
}

/**
 * Where a run of train() lies.
 * @throws VoxgradError ERR_DATASET_NOT_FOUND, ERR_FOLDER_NOT_SET
 */
export function runFolderOf(
  options: Pick<TrainOptions, 'run' | 'folders' | 'dataset' | 'plans' | 'configuration' | 'fold'>,
): string {
  if (options.run !== undefined) return path.resolve(options.run)
  const folders = resolveFolders(options.folders)
  const { name } = findDataset(folders, options.dataset)
  const model = `voxgrad__${options.plans}__${options.configuration}`
  return path.join(folders.results, name, model, `fold_${options.fold}`)
}
