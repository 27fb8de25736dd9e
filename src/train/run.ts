// A training run from its first step to its end validation. The only file that acts: what to do is decided in policy.ts.
import { rm } from 'node:fs/promises'
import path from 'node:path'
import type { CheckpointName } from '../config/schema.js'
import type { NativeTrainer } from '../native/binding.js'
import { native } from '../native/load.js'
import { writeProgress } from '../report/plot.js'
import { budgetSentence, stepsInEpoch } from './budget.js'
import { checkpointEntries, emptyLogging, type Logging, logEpoch, readCheckpointEntries } from './checkpoint.js'
import { runEndValidation } from './end-validation.js'
import type { EpochLine, RunResult, StopReason } from './events.js'
import type { JobContext } from './job.js'
import { Pace } from './pace.js'
import {
  type Action,
  afterChunk,
  afterEpoch,
  finiteOrNull,
  initialState,
  type PolicyState,
  remainingSteps,
} from './policy.js'
import type { MetricsLine, RunFolder, RunRecord } from './run-folder.js'
import { learningRate, learningRates } from './schedule.js'
import type { RunSetup } from './setup.js'
import { watch } from './watch.js'

/**
 * Trains from a state to the end of the budget, or until the wish to stop; validates; keeps run.json true all the while.
 * @param from the checkpoint to go on from; null starts at step 0
 */
export async function executeRun(
  setup: RunSetup,
  folder: RunFolder,
  record: RunRecord,
  from: CheckpointName | null,
  context: JobContext,
): Promise<RunResult> {
  const trainer = await native().createTrainer(setup.trainerConfig)
  try {
    return await new TrainingRun(setup, folder, record, trainer, context).execute(from)
  } finally {
    await trainer.dispose()
  }
}

class TrainingRun {
  private state: PolicyState = initialState
  private logging: Logging = emptyLogging()
  private epochs: EpochLine[] = []
  private lastSave = performance.now()
  private readonly pace: Pace

  constructor(
    private readonly setup: RunSetup,
    private readonly folder: RunFolder,
    private record: RunRecord,
    private readonly trainer: NativeTrainer,
    private readonly context: JobContext,
  ) {
    this.pace = new Pace(setup.budget)
  }

  async execute(from: CheckpointName | null): Promise<RunResult> {
    try {
      if (from) await this.load(from)
      const isComplete = from === 'final' && this.state.epoch >= this.setup.budget.epochs
      await this.begin()
      if (!isComplete) await this.loadCases()
      const isTrained = await this.trainAllEpochs()
      if (!isTrained) return await this.end('stopped', 'signal', null)
      if (!isComplete) await this.saveFinal()
      return await this.validate()
    } catch (error) {
      // A full disk must not hide the first error.
      await this.update({ status: 'failed', reason: 'error', error: (error as Error).message }).catch(() => {})
      throw error
    }
  }

  private async load(name: CheckpointName): Promise<void> {
    const file = this.folder.checkpoint(name)
    const entries = await this.trainer.loadCheckpoint({ path: file, what: 'everything' })
    const { state, logging } = readCheckpointEntries(entries, file)
    this.state = state
    this.logging = logging
    this.trainer.setStep(state.step)
  }

  private async loadCases(): Promise<void> {
    const { caseFolder: folder, training, validation, dataset } = this.setup
    await this.watch(() => this.trainer.loadCases({ folder, training, validation, labels: dataset.allLabels }))
  }

  private async begin(): Promise<void> {
    const { setup, folder, state } = this
    this.epochs = await folder.cutMetrics(state)
    await this.update({ status: 'running', reason: null, error: null })
    const budget = budgetSentence(setup.budget, setup.schedule)
    this.context.emit({
      type: 'run_started',
      dataset: setup.name.name,
      configuration: setup.options.configuration,
      plans: setup.options.plans,
      fold: setup.options.fold,
      folder: folder.folder,
      device: setup.trainerConfig.device,
      threads: setup.trainerConfig.threads,
      seed: setup.trainerConfig.seed,
      trainingCases: setup.training.length,
      validationCases: setup.validation.length,
      labels: setup.labels,
      epochs: setup.budget.epochs,
      stepsPerEpoch: setup.budget.stepsPerEpoch,
      totalSteps: setup.budget.totalSteps,
      step: state.step,
      budget,
    })
    await folder.log(`${setup.name.name} ${setup.options.configuration}, fold ${setup.options.fold}: ${budget}`)
  }

  /** Returns false if it was stopped; everything is saved then. */
  private async trainAllEpochs(): Promise<boolean> {
    while (this.state.epoch < this.setup.budget.epochs) {
      if (this.state.partial.steps === 0) await this.logEpochStart()
      while (remainingSteps(this.state, this.setup.budget) > 0) {
        if (this.context.stopping.aborted) return this.saveAndLeave()
        await this.trainChunk()
      }
      const isFinished = await this.validateEpoch()
      if (!isFinished) return this.saveAndLeave()
    }
    return true
  }

  private async saveAndLeave(): Promise<false> {
    if (this.state.step > 0) await this.save('latest')
    return false
  }

  private async trainChunk(): Promise<void> {
    const { schedule, budget, options } = this.setup
    const rates = learningRates(schedule, this.state.step, remainingSteps(this.state, budget))
    const startedAt = Date.now() / 1000
    const begin = performance.now()
    const chunk = await this.watch(
      () => this.trainer.runTraining({ learningRates: rates }),
      options.checkpoint.everyMinutes * 60_000 - (begin - this.lastSave),
    )
    const seconds = (performance.now() - begin) / 1000
    this.state = afterChunk(this.state, chunk, { seconds, startedAt })
    this.pace.trained(chunk.steps, seconds)
    const isDue = chunk.reason === 'stopped' && !this.context.stopping.aborted && chunk.steps > 0
    if (isDue) await this.save('latest')
  }

  /** Returns false if it was stopped: the epoch's validation is then done again from its start. */
  private async validateEpoch(): Promise<boolean> {
    const { budget } = this.setup
    if (this.context.stopping.aborted) return false
    const begin = performance.now()
    const validation = await this.watch(() => this.trainer.runValidation({ steps: budget.valSteps }))
    if (validation.reason === 'stopped') return false
    const validationSeconds = (performance.now() - begin) / 1000
    this.pace.validated(validation.steps, validationSeconds)

    const previous = this.state
    const { state, line, actions } = afterEpoch(previous, this.setup.rules, {
      validation,
      validationSeconds,
      memory: {
        resident_bytes: process.memoryUsage.rss(),
        peak_resident_bytes: process.resourceUsage().maxRSS * 1024,
      },
      minutesSinceSave: (performance.now() - this.lastSave) / 60_000,
    })
    this.state = state
    this.logging = logEpoch(this.logging, line, previous.partial.startedAt ?? 0, Date.now() / 1000)
    await this.writeEpoch(line, actions)
    return true
  }

  private async writeEpoch(line: EpochLine, actions: Action[]): Promise<void> {
    this.epochs.push(line)
    await this.metric(line)
    await this.folder.log(
      `train_loss ${round(line.train_loss, 4)}`,
      `val_loss ${round(line.val_loss, 4)}`,
      `Pseudo dice [${line.dice_per_class.map((dice) => round(dice, 4)).join(', ')}]`,
      `Epoch time: ${round(line.seconds, 2)} s`,
    )
    for (const { checkpoint } of actions) {
      if (checkpoint === 'best') await this.announceBest(line)
      await this.save(checkpoint)
    }
    await this.update({})
    await writeProgress(this.folder.folder, this.epochs)
  }

  private async announceBest(line: EpochLine): Promise<void> {
    const ema = this.state.best.best as number
    await this.metric({ type: 'new_best', epoch: line.epoch, step: line.step, ema_fg_dice: ema })
    await this.folder.log(`New best EMA pseudo Dice: ${round(ema, 4)}`)
  }

  private async logEpochStart(): Promise<void> {
    const rate = learningRate(this.setup.schedule, this.state.step)
    await this.folder.log('', `Epoch ${this.state.epoch}`, `Current learning rate: ${round(rate, 5)}`)
  }

  private async save(name: CheckpointName): Promise<void> {
    const { setup, state } = this
    const lastRate = learningRate(setup.schedule, Math.max(0, state.step - 1))
    const file = this.folder.checkpoint(name)
    const entries = checkpointEntries(setup.checkpointContext, state, this.logging)
    await this.trainer.saveCheckpoint({ path: file, entries, learningRate: lastRate })
    this.lastSave = performance.now()
    await this.metric({ type: 'checkpoint', file: path.basename(file), epoch: state.epoch, step: state.step })
    await this.update({})
  }

  private async saveFinal(): Promise<void> {
    await this.save('final')
    await rm(this.folder.checkpoint('latest'), { force: true })
    await this.folder.log('Training done.')
  }

  private async validate(): Promise<RunResult> {
    const { setup, context } = this
    if (!setup.options.validateAtEnd) return this.end('finished', 'completed', null)
    const validation = await runEndValidation(this.trainer, setup, this.folder, 'final', context)
    if (validation === 'stopped') return this.end('stopped', 'signal', null)
    return this.end('finished', 'completed', validation.meanForegroundDice)
  }

  private async end(
    status: RunResult['status'],
    reason: StopReason,
    meanValidationDice: number | null,
  ): Promise<RunResult> {
    const { epoch, step } = this.state
    if (status === 'stopped') await this.metric({ type: 'stop', reason, epoch, step })
    await this.update({ status, reason })
    const result: RunResult = { status, reason, folder: this.folder.folder, epochs: epoch, step, meanValidationDice }
    this.context.emit({ type: 'run_finished', result })
    return result
  }

  private async metric(line: MetricsLine): Promise<void> {
    await this.folder.appendMetrics(line)
    this.context.emit(line)
  }

  private async update(changes: Partial<RunRecord>): Promise<void> {
    this.record = { ...this.record, ...changes, epoch: this.state.epoch, step: this.state.step, processId: process.pid }
    await this.folder.writeRecord(this.record)
  }

  private watch<Result>(job: () => Promise<Result>, stopAfterMs?: number): Promise<Result> {
    const begin = performance.now()
    let shown = -1
    return watch(this.trainer, this.context.stopping, job, {
      ...(stopAfterMs === undefined ? {} : { stopAfterMs }),
      onSnapshot: (snapshot) => {
        if ((snapshot.job !== 'training' && snapshot.job !== 'validation') || snapshot.done === shown) return
        shown = snapshot.done
        const { epoch, partial } = this.state
        const isTraining = snapshot.job === 'training'
        this.context.emit({
          type: 'progress',
          job: snapshot.job,
          epoch,
          epochs: this.setup.budget.epochs,
          done: isTraining ? partial.steps + snapshot.done : snapshot.done,
          total: isTraining ? stepsInEpoch(this.setup.budget, epoch) : snapshot.total,
          step: snapshot.step,
          totalSteps: this.setup.budget.totalSteps,
          loss: finiteOrNull(snapshot.lossOfLastStep),
          secondsLeft: this.pace.secondsLeft(snapshot, epoch, (performance.now() - begin) / 1000),
        })
      },
    })
  }
}

function round(value: number | null, digits: number): string {
  return value === null ? 'nan' : String(Number(value.toFixed(digits)))
}
