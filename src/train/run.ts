// A training run from its first step to its end validation. The only file that acts: what to do is decided in policy.ts.
import { rm } from 'node:fs/promises'
import path from 'node:path'
import { freeMemory } from '../case-pool.js'
import type { CheckpointName } from '../config/schema.js'
import { isDataFault, isDiskFault, VoxgradError } from '../errors.js'
import type { NativeTrainer } from '../native/binding.js'
import { native } from '../native/load.js'
import { formatFixed } from '../report/format.js'
import { advise, trainingOf } from './advice.js'
import { budgetSentence, remainingSteps, totalEpochs } from './budget.js'
import { readCandidates } from './candidates.js'
import {
  checkpointEntries,
  emptyLogging,
  epochCurveOf,
  type Logging,
  logEpoch,
  readCheckpointEntries,
} from './checkpoint.js'
import { describeStorage } from './data.js'
import { readValidation, runEndValidation, wantedValidations } from './end-validation.js'
import type { EpochCurve, EpochLine, RunResult, StopReason } from './events.js'
import type { JobContext } from './job.js'
import { Journal } from './journal.js'
import { afterReload, type NonFiniteState, nonFiniteDecision } from './non-finite.js'
import { noteGrowingMemory, noteRisingValLoss, noteSlowData, resourceWindow } from './notes.js'
import { Pace } from './pace.js'
import {
  type Action,
  afterChunk,
  afterEpoch,
  finiteOrNull,
  initialState,
  isTrained,
  type PolicyState,
  planAhead,
  reopened,
} from './policy.js'
import { unpackWithEvents } from './prepare.js'
import { reportRun } from './report-run.js'
import { occasionally, readMemory, readResources } from './resources.js'
import { chooseCheckpoint } from './resume.js'
import type { RunFolder, RunRecord } from './run-folder.js'
import { CheckpointSaver } from './saver.js'
import { learningRate, learningRates } from './schedule.js'
import type { RunSetup } from './setup.js'
import { watch } from './watch.js'

/**
 * Trains from a state to the end of the budget, or until the wish to stop; validates; keeps run.json true all the while.
 * @param from the checkpoint to go on from; null starts at step 0
 * @param secondsUsed of the time budget, by an earlier process of this call
 * @param isLonger whether the run got more steps than it had, so that what had ended it no longer holds
 * @throws VoxgradError ERR_NON_FINITE where training became non-finite for good; ERR_DISK, ERR_CHECKPOINT, ...
 */
export async function executeRun(
  setup: RunSetup,
  folder: RunFolder,
  record: RunRecord,
  from: CheckpointName | null,
  context: JobContext,
  { isLonger = false, secondsUsed = 0 }: { isLonger?: boolean; secondsUsed?: number | undefined } = {},
): Promise<RunResult> {
  const deadline = performance.now() + ((setup.budget.seconds ?? Number.POSITIVE_INFINITY) - secondsUsed) * 1000
  let failed: NonFiniteState | null = null
  for (let checkpoint = from; ; ) {
    const trainer = await (context.leader?.openTrainer(setup.trainerConfig) ??
      native().createTrainer(setup.trainerConfig))
    try {
      const run = new TrainingRun(setup, folder, record, trainer, context, deadline)
      return await run.execute(checkpoint, failed, isLonger && failed === null)
    } catch (error) {
      if (!(error instanceof ReloadNeeded)) throw error
      failed = error.failed
    } finally {
      await trainer.dispose()
    }
    checkpoint = chooseCheckpoint(await readCandidates(folder, record.id, setup.budget.stepsPerEpoch), 'newest').name
  }
}

/** Progress is reported ten times a second; its memory need not be that new. */
const memoryEverySeconds = 2

/** Thrown to give up the trainer and go on from the last checkpoint. */
class ReloadNeeded extends Error {
  constructor(readonly failed: NonFiniteState) {
    super('reload')
  }
}

class TrainingRun {
  private state: PolicyState = initialState
  private logging: Logging = emptyLogging()
  /** All finished epochs, and of them the last ones of this call. */
  private curve: EpochCurve[] = []
  private recent: EpochLine[] = []
  private lastSave = performance.now()
  private isGraphFaultSaid = false
  private readonly pace = new Pace()
  private readonly journal: Journal
  private readonly saver: CheckpointSaver

  constructor(
    private readonly setup: RunSetup,
    private readonly folder: RunFolder,
    private readonly record: RunRecord,
    private readonly trainer: NativeTrainer,
    private readonly context: JobContext,
    private readonly deadline: number,
  ) {
    this.journal = new Journal(folder, record, context.emit)
    this.saver = new CheckpointSaver(
      trainer,
      folder,
      async (event) => {
        this.context.alive('saving')
        await this.journal.metric(event)
      },
      async (error) => {
        await this.journal.warn(
          `${error.message}. Training goes on; the checkpoint before is whole, and the next epoch tries again.`,
        )
      },
    )
  }

  /** @param failed what made a reload necessary; null at the start of a call */
  async execute(from: CheckpointName | null, failed: NonFiniteState | null, isLonger: boolean): Promise<RunResult> {
    try {
      if (from) await this.load(from)
      else await this.loadPretrained()
      if (isLonger) this.state = reopened(this.state)
      if (failed) this.state = { ...this.state, nonFinite: afterReload(failed, failed.failedAt) }
      this.trainer.setPosition({ step: this.state.step, redraws: this.state.nonFinite.redraws })
      await this.begin()
      // The checkpoint that the run was ended with must not end it again.
      if (isLonger) await this.saveNow('latest')
      if (!isTrained(this.state, this.setup.rules)) {
        await this.loadCases()
        const stopped = await this.trainAllEpochs()
        if (stopped) return await this.end('stopped', stopped)
        await this.saveFinal()
      } else if (from !== 'final') await this.saveFinal()
      return await this.validate()
    } catch (error) {
      if (error instanceof ReloadNeeded) throw error
      const { code, message } = error as VoxgradError
      const reason = code === 'ERR_NON_FINITE' ? 'non_finite' : 'error'
      // A full disk must not hide the first error.
      await this.journal.close({ ...this.position, status: 'failed', reason, error: message }).catch(() => {})
      throw error
    }
  }

  private async load(name: CheckpointName): Promise<void> {
    const file = this.folder.checkpoint(name)
    const entries = await this.trainer.loadCheckpoint({ path: file, what: 'everything' })
    const { state, logging } = readCheckpointEntries(entries, file, this.setup.budget.stepsPerEpoch)
    this.state = state
    this.logging = logging
  }

  /** What a run that begins starts from, if not from random weights. */
  private async loadPretrained(): Promise<void> {
    const { pretrained } = this.setup.options
    if (pretrained === undefined) return
    await this.trainer.loadPretrained({ path: pretrained })
    await this.journal.log(`Starting from the weights of ${pretrained}, with segmentation layers of its own`)
  }

  private async loadCases(): Promise<void> {
    const { caseFolder: folder, training, validation, dataset, previousStage } = this.setup
    const labels = [...dataset.allLabels, ...(dataset.ignoreLabel === undefined ? [] : [dataset.ignoreLabel])]
    await unpackWithEvents(folder, [...training, ...validation], this.context)
    const { trainerConfig, isStoredAsHalf: half } = this.setup
    const { place } = this.setup.options.data
    const storage = await this.watch(() =>
      this.trainer.loadCases({
        folder,
        training,
        validation,
        labels,
        previousStage,
        place,
        half,
        freeHostMemory: freeMemory(),
      }),
    )
    const cases = { training: training.length, validation: validation.length }
    const text = describeStorage(storage, cases, half, trainerConfig.device)
    this.context.emit({ type: 'log', text })
    await this.journal.log(text)
  }

  private async begin(): Promise<void> {
    const { setup, folder, state } = this
    await this.journal.open(state, epochCurveOf(this.logging, setup.budget.stepsPerEpoch))
    this.curve = (await folder.readMetrics()).filter((line): line is EpochCurve => line.type === 'epoch')
    await this.journal.update({ ...this.position, status: 'running', reason: null, error: null })
    const { budget, schedule } = planAhead(state, setup.rules)
    const sentence = budgetSentence(budget, schedule)
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
      labels: setup.dataset.targets.map(({ name, value }) => ({ name, value })),
      epochs: totalEpochs(state, budget),
      stepsPerEpoch: budget.stepsPerEpoch,
      totalSteps: budget.totalSteps,
      step: state.step,
      budget: sentence,
      hangSeconds: setup.options.watchdog.hangSeconds,
    })
    await this.journal.log(`${setup.name.name} ${setup.options.configuration}, fold ${setup.options.fold}: ${sentence}`)
  }

  /** Returns why it was stopped before the end, with everything saved; null at the end. */
  private async trainAllEpochs(): Promise<'signal' | 'time_budget' | null> {
    while (!isTrained(this.state, this.setup.rules)) {
      if (this.state.partial.steps === 0) await this.logEpochStart()
      while (remainingSteps(this.state, planAhead(this.state, this.setup.rules).budget) > 0) {
        const reason = this.reasonToLeave()
        if (reason) return this.saveAndLeave(reason)
        await this.trainChunk()
      }
      const isFinished = await this.validateEpoch()
      if (!isFinished) return this.saveAndLeave(this.reasonToLeave() ?? 'signal')
    }
    return null
  }

  /**
   * A case on disk that can no longer be read, or a policy that gives no answer, ends a run between two steps: all of them
   * are saved.
   */
  private async saveAfterFault(error: unknown): Promise<never> {
    const isOfPolicy = error instanceof VoxgradError && error.code === 'ERR_CONFIG'
    const { step } = this.state
    if (!(isDataFault(error) || isDiskFault(error) || isOfPolicy) || step === 0) throw error
    // A disk that lets nothing be written must not hide the first error.
    const isSaved = await this.saveNow('latest').then(
      () => true,
      () => false,
    )
    if (!isSaved) throw error
    const way = isOfPolicy
      ? `mend the function, then go on by resume({ run: '${this.folder.folder}' }, { policies })`
      : `bring the case back, then go on by \`voxgrad resume ${this.folder.folder}\``
    const remedy = `All ${step} steps are saved: ${way}.`
    throw new VoxgradError(error.code, { ...error.facts, remedy }, { cause: error.cause })
  }

  private reasonToLeave(): 'signal' | 'time_budget' | null {
    if (this.context.stopping.aborted) return 'signal'
    return performance.now() >= this.deadline ? 'time_budget' : null
  }

  private async saveAndLeave<Reason>(reason: Reason): Promise<Reason> {
    if (this.state.step > 0) await this.saveNow('latest')
    return reason
  }

  private async trainChunk(): Promise<void> {
    const { options, rules } = this.setup
    const { budget, schedule } = planAhead(this.state, rules)
    const rates = learningRates(schedule, this.state.step, remainingSteps(this.state, budget))
    const mostSkipped = Math.max(1, rules.nonFinite.mostInARow - this.state.nonFinite.inARow)
    const startedAt = Date.now() / 1000
    const begin = performance.now()
    const saveDueMs = options.checkpoint.everyMinutes * 60_000 - (begin - this.lastSave)
    const chunk = await this.watch(
      () => this.trainer.runTraining({ learningRates: rates, mostSkipped }),
      Math.max(0, Math.min(saveDueMs, this.deadline - begin)),
    ).catch((error: unknown) => this.saveAfterFault(error))
    const seconds = (performance.now() - begin) / 1000
    this.state = afterChunk(this.state, chunk, { seconds, startedAt })
    if (chunk.stoppedElsewhere) this.context.stop()
    this.pace.trained(chunk.steps, seconds)
    if (chunk.graphFault !== '' && !this.isGraphFaultSaid) {
      this.isGraphFaultSaid = true
      await this.journal.warn(
        `Steps are not replayed as a CUDA graph, which makes small networks slower: ${chunk.graphFault}`,
      )
    }
    await this.reactToSkippedSteps(chunk.skipped)
    const isSaveDue = performance.now() - this.lastSave >= options.checkpoint.everyMinutes * 60_000
    if (chunk.reason === 'stopped' && isSaveDue && chunk.steps > 0) await this.save(['latest'])
  }

  private async reactToSkippedSteps(skipped: Uint8Array): Promise<void> {
    const { nonFinite, step } = this.state
    const count = skipped.reduce((sum, value) => sum + value, 0)
    if (count > 0) {
      const first = step - skipped.length + skipped.indexOf(1)
      await this.journal.warn(
        `${count} of ${skipped.length} steps were skipped, because their loss or gradient was not finite (first: step ${first}).`,
      )
    }
    await this.reloadOrEnd(nonFinite)
  }

  private async reloadOrEnd(nonFinite: NonFiniteState): Promise<void> {
    const { rules } = this.setup
    const { epoch, step } = this.state
    const decision = nonFiniteDecision(nonFinite, rules.nonFinite)
    if (decision === 'go_on') return
    await this.saver.settle()
    const failure = `the loss or its gradient was not finite in ${nonFinite.inARow} steps in a row, up to step ${step}`
    if (decision === 'reload') {
      const which = `${nonFinite.reloads + 1} of ${rules.nonFinite.mostReloads}`
      await this.journal.warn(`Loading the last checkpoint and drawing other patches (${which}): ${failure}.`)
      throw new ReloadNeeded({ ...nonFinite, failedAt: Math.max(step, nonFinite.failedAt) })
    }
    const text = `Training ended: ${failure}, after ${nonFinite.reloads} reloads of the last checkpoint`
    await this.journal.metric({ type: 'stop', reason: 'non_finite', epoch, step, text })
    throw new VoxgradError('ERR_NON_FINITE', { where: this.folder.folder, found: text })
  }

  /** Returns false if it was stopped: the epoch's validation is then done again from its start. */
  private async validateEpoch(): Promise<boolean> {
    const { setup, state } = this
    if (this.context.stopping.aborted) return false
    const begin = performance.now()
    const validation = await this.watch(() => this.trainer.runValidation({ steps: setup.budget.valSteps })).catch(
      (error: unknown) => this.saveAfterFault(error),
    )
    if (validation.reason === 'stopped') return false
    const validationSeconds = (performance.now() - begin) / 1000
    this.pace.validated(validation.steps, validationSeconds)

    const measures = {
      validation,
      validationSeconds,
      resources: readResources(this.trainer),
      minutesSinceSave:
        this.saver.overdue.size > 0 ? Number.POSITIVE_INFINITY : (performance.now() - this.lastSave) / 60_000,
    }
    const next = await Promise.resolve()
      .then(() => afterEpoch(state, setup.rules, measures, this.curve))
      .catch((error: unknown) => this.saveAfterFault(error))
    this.state = next.state
    this.curve.push(next.line)
    logEpoch(this.logging, next.line, state.partial.startedAt ?? 0, Date.now() / 1000)
    await this.writeEpoch(next.line, next.actions)
    return true
  }

  private async writeEpoch(line: EpochLine, actions: Action[]): Promise<void> {
    this.recent = [...this.recent, line].slice(-resourceWindow)
    await this.journal.metric(line)
    await this.journal.log(
      `train_loss ${formatFixed(line.train_loss, 4)}`,
      `val_loss ${formatFixed(line.val_loss, 4)}`,
      `Pseudo dice [${line.dice_per_class.map((dice) => (dice === null ? 'nan' : formatFixed(dice, 4))).join(', ')}]`,
      `Epoch time: ${formatFixed(line.seconds, 2)} s`,
    )
    const saves = actions.flatMap((action) => (action.type === 'save' ? [action.checkpoint] : []))
    if (saves.includes('best')) await this.announceBest(line)
    for (const action of actions) if (action.type !== 'save') await this.announceStop(action)
    await this.makeNotes()
    if (saves.length > 0) await this.save(saves)
    await this.journal.update(this.position)
    this.journal.draw()
  }

  private async announceStop(action: Exclude<Action, { type: 'save' }>): Promise<void> {
    const { epoch, step } = this.state
    const { text } = action
    if (action.type === 'anneal') {
      await this.journal.metric({ type: 'annealing', epoch, step, steps: action.steps, text })
    } else await this.journal.metric({ type: 'stop', reason: 'early_stopping', epoch, step, text })
    await this.journal.log(text)
  }

  private async announceBest(line: EpochLine): Promise<void> {
    const value = this.state.best.best as number
    const { options, rules } = this.setup
    const metric = rules.bestModel.metric.kind === 'own' ? 'policies.bestMetric' : options.bestModel.metric
    await this.journal.metric({ type: 'new_best', epoch: line.epoch, step: line.step, metric, value })
    const name = metric === 'ema_fg_dice' ? 'EMA pseudo Dice' : metric
    await this.journal.log(`New best ${name}: ${formatFixed(value, 4)}`)
  }

  private async makeNotes(): Promise<void> {
    const notes = [noteRisingValLoss(this.logging), noteGrowingMemory(this.recent), noteSlowData(this.recent)]
    for (const note of notes) {
      if (note === null || this.state.noted.includes(note.name)) continue
      this.state = { ...this.state, noted: [...this.state.noted, note.name] }
      await this.journal.warn(note.text)
    }
  }

  private async logEpochStart(): Promise<void> {
    const { schedule } = planAhead(this.state, this.setup.rules)
    const rate = Number(learningRate(schedule, this.state.step).toFixed(5))
    await this.journal.log('', `Epoch ${this.state.epoch}`, `Current learning rate: ${rate}`)
  }

  /** Returns when training may go on; the files are written meanwhile. */
  private async save(names: CheckpointName[]): Promise<void> {
    const { setup, state } = this
    const { schedule } = planAhead(state, setup.rules)
    this.context.alive('saving')
    try {
      await this.saver.save(names, {
        entries: checkpointEntries({ ...setup.checkpointContext, runId: this.record.id }, state, this.logging),
        learningRate: learningRate(schedule, Math.max(0, state.step - 1)),
        epoch: state.epoch,
        step: state.step,
      })
    } catch (error) {
      if (!(error instanceof VoxgradError) || error.code !== 'ERR_NON_FINITE') throw error
      // As bad as the longest row of skipped steps.
      await this.journal.warn(`${error.message}. Nothing was saved.`)
      await this.reloadOrEnd({ ...state.nonFinite, inARow: setup.rules.nonFinite.mostInARow })
    }
    this.lastSave = performance.now()
  }

  /** Returns when the file is on the disk. Throws ERR_DISK if it cannot be written. */
  private async saveNow(name: CheckpointName): Promise<void> {
    await this.save([name])
    await this.saver.settle()
    const failure = this.saver.overdue.get(name)
    if (failure === undefined) return
    const remedy = `Free some space, then go on by \`voxgrad resume ${this.folder.folder}\`.`
    throw new VoxgradError(failure.code, { ...failure.facts, remedy })
  }

  private async saveFinal(): Promise<void> {
    await this.saveNow('final')
    await rm(this.folder.checkpoint('latest'), { force: true })
    // Those of a run that was finished before and made longer are of other weights.
    for (const name of ['final', 'best'] as const) {
      await rm(path.join(this.folder.validation(name), 'summary.json'), { force: true })
    }
    await this.journal.log('Training done.')
    await this.adviseOnLongerTraining()
  }

  private async adviseOnLongerTraining(): Promise<void> {
    const advice = advise(this.curve, trainingOf(this.setup.options, true))
    if (advice.verdict === 'too_few') return
    await this.journal.metric({ type: 'advice', text: advice.lines.join('\n') })
    await this.journal.log(...advice.lines)
  }

  private async validate(): Promise<RunResult> {
    const { setup, folder, context, trainer } = this
    const validations: RunResult['validations'] = []
    for (const checkpoint of wantedValidations(setup.options.validateAtEnd)) {
      const before = await readValidation(folder, checkpoint)
      if (before) {
        validations.push(before)
        continue
      }
      if (checkpoint === 'best') {
        if (this.state.best.best === null) {
          await this.journal.warn('There are no best weights to validate: bestModel.metric never had a finite value.')
          continue
        }
        await this.watch(() => trainer.loadCheckpoint({ path: folder.checkpoint('best'), what: 'weights' }))
      }
      const found = await runEndValidation(trainer, setup, folder, checkpoint, context)
      if (found === 'stopped') return this.end('stopped', 'signal')
      validations.push({ checkpoint, meanForegroundDice: found.meanForegroundDice })
    }
    return this.end('finished', this.state.stoppedEarly ? 'early_stopping' : 'completed', validations)
  }

  private async end(
    status: RunResult['status'],
    reason: StopReason,
    validations: RunResult['validations'] = [],
  ): Promise<RunResult> {
    const { epoch, step } = this.state
    await this.saver.settle()
    if (status === 'stopped') {
      const text = reason === 'signal' ? 'Stopped by request' : 'The time budget of this call is used up'
      await this.journal.metric({ type: 'stop', reason, epoch, step, text: `${text}; everything is saved.` })
    }
    await this.journal.close({ ...this.position, status, reason })
    if (status === 'finished') await reportRun(this.folder.folder, this.context)
    const result: RunResult = { status, reason, folder: this.folder.folder, epochs: epoch, step, validations }
    this.context.emit({ type: 'run_finished', result })
    return result
  }

  /** Where the run is, for run.json. */
  private get position(): Pick<RunRecord, 'epoch' | 'step'> {
    return { epoch: this.state.epoch, step: this.state.step }
  }

  private watch<Result>(job: () => Promise<Result>, stopAfterMs?: number): Promise<Result> {
    const begin = performance.now()
    const { budget } = planAhead(this.state, this.setup.rules)
    const epochs = totalEpochs(this.state, budget)
    const trained = this.state.partial.steps
    const inEpoch = trained + remainingSteps(this.state, budget)
    let shown = -1
    const memory = occasionally(memoryEverySeconds, () => readMemory(this.trainer))
    return watch(this.trainer, this.context, job, {
      ...(stopAfterMs === undefined ? {} : { stopAfterMs }),
      onSnapshot: (snapshot) => {
        if ((snapshot.job !== 'training' && snapshot.job !== 'validation') || snapshot.done === shown) return
        shown = snapshot.done
        const isTraining = snapshot.job === 'training'
        this.context.emit({
          type: 'progress',
          job: snapshot.job,
          epoch: this.state.epoch,
          epochs,
          done: isTraining ? trained + snapshot.done : snapshot.done,
          total: isTraining ? inEpoch : snapshot.total,
          step: snapshot.step,
          totalSteps: budget.totalSteps,
          loss: finiteOrNull(snapshot.lossOfLastStep),
          secondsLeft: this.pace.secondsLeft(
            snapshot,
            {
              stepsLeft: budget.totalSteps - snapshot.step,
              epochsLeft: epochs - this.state.epoch,
              valSteps: budget.valSteps,
            },
            (performance.now() - begin) / 1000,
          ),
          budgetSecondsLeft: Number.isFinite(this.deadline)
            ? Math.max(0, (this.deadline - performance.now()) / 1000)
            : null,
          memory: memory(),
        })
      },
    })
  }
}
