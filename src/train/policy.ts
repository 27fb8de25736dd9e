// What follows from a chunk of steps and from an epoch: pure reducers from a state to the next state and actions.
import type { TrainingChunk, ValidationChunk } from '../native/binding.js'
import {
  type BestState,
  initialBest,
  type Metric,
  metricValue,
  moveAverages,
  nanMean,
  pseudoDice,
  updateBest,
} from './best.js'
import { type Budget, remainingSteps } from './budget.js'
import {
  countPatience,
  type EarlyStoppingRules,
  initialPatience,
  type PatienceState,
  type ReasonToStop,
  reasonToStop,
} from './early-stopping.js'
import type { EpochCurve, EpochLine } from './events.js'
import {
  afterFiniteEpoch,
  countSkipped,
  initialNonFinite,
  type NonFiniteRules,
  type NonFiniteState,
} from './non-finite.js'
import type { NoteName } from './notes.js'
import { ask, type Policies } from './policies.js'
import { annealed, learningRate, type Schedule } from './schedule.js'

/** All that decides how a run goes on; stored in every checkpoint. */
export interface PolicyState {
  /** Finished epochs and optimizer steps done. */
  epoch: number
  step: number
  /** Training steps of the epoch under way. */
  partial: PartialEpoch
  best: BestState
  patience: PatienceState
  /** Set when a plateau was met and the rate is being brought down. */
  annealing: { from: number; steps: number } | null
  /** Early stopping has ended the training. */
  stoppedEarly: boolean
  nonFinite: NonFiniteState
  /** Remarks that were made. */
  noted: NoteName[]
  /** Finished epochs when checkpoint_latest was last saved. */
  savedEpoch: number
}

export interface PartialEpoch {
  steps: number
  /** Over the steps with a finite loss, and their number. */
  lossSum: number
  finiteSteps: number
  skippedSteps: number
  seconds: number
  stepMs: number[]
  dataMs: number[]
  /** Unix seconds at which the epoch began; null before its first step. */
  startedAt: number | null
}

export interface PolicyRules {
  budget: Budget
  schedule: Schedule
  bestModel: { metric: Metric; emaDecay: number }
  earlyStopping: EarlyStoppingRules
  /** A caller's own, before them. */
  stopEarly?: Policies['stopEarly'] | undefined
  nonFinite: NonFiniteRules
  checkpoint: { everyEpochs: number; everyMinutes: number }
}

export type Action =
  | { type: 'save'; checkpoint: 'latest' | 'best' }
  /** The next steps bring the rate down to 0, then training ends. */
  | { type: 'anneal'; steps: number; text: string }
  | { type: 'stop_early'; text: string }

const emptyEpoch: PartialEpoch = {
  steps: 0,
  lossSum: 0,
  finiteSteps: 0,
  skippedSteps: 0,
  seconds: 0,
  stepMs: [],
  dataMs: [],
  startedAt: null,
}

export const initialState: PolicyState = {
  epoch: 0,
  step: 0,
  partial: emptyEpoch,
  best: initialBest,
  patience: initialPatience,
  annealing: null,
  stoppedEarly: false,
  nonFinite: initialNonFinite,
  noted: [],
  savedEpoch: 0,
}

/** Budget and schedule as they are in this state: annealing ends the run earlier. */
export function planAhead(
  { annealing }: Pick<PolicyState, 'annealing'>,
  { budget, schedule }: Pick<PolicyRules, 'budget' | 'schedule'>,
): { budget: Budget; schedule: Schedule } {
  if (annealing === null) return { budget, schedule }
  const { from, steps } = annealing
  return { budget: { ...budget, totalSteps: from + steps }, schedule: annealed(schedule, from, steps) }
}

/** The state of a run that is made longer: what had ended it no longer holds. */
export function reopened(state: PolicyState): PolicyState {
  return { ...state, stoppedEarly: false, annealing: null, patience: initialPatience }
}

/** Whether all training is done, its last epoch included. */
export function isTrained(state: PolicyState, rules: PolicyRules): boolean {
  return (
    state.partial.steps === 0 && (state.stoppedEarly || remainingSteps(state, planAhead(state, rules).budget) === 0)
  )
}

/**
 * Takes the steps of one native call into the epoch's sums.
 * Losses are added one by one, so that the sum does not depend on how an epoch was cut into calls.
 * @param clock wall seconds that the call took, and Unix seconds at its start
 */
export function afterChunk(
  state: PolicyState,
  chunk: Pick<TrainingChunk, 'steps' | 'loss' | 'skipped' | 'stepMs' | 'dataMs'>,
  clock: { seconds: number; startedAt: number },
): PolicyState {
  const { partial } = state
  const finite = chunk.loss.filter(Number.isFinite)
  return {
    ...state,
    step: state.step + chunk.steps,
    nonFinite: countSkipped(state.nonFinite, chunk.skipped),
    partial: {
      steps: partial.steps + chunk.steps,
      lossSum: finite.reduce((sum, loss) => sum + loss, partial.lossSum),
      finiteSteps: partial.finiteSteps + finite.length,
      skippedSteps: chunk.skipped.reduce((sum, skipped) => sum + skipped, partial.skippedSteps),
      seconds: partial.seconds + clock.seconds,
      stepMs: [...partial.stepMs, ...chunk.stepMs],
      dataMs: [...partial.dataMs, ...chunk.dataMs],
      startedAt: partial.startedAt ?? clock.startedAt,
    },
  }
}

export interface EpochMeasures {
  validation: Pick<ValidationChunk, 'loss' | 'truePositives' | 'falsePositives' | 'falseNegatives'>
  validationSeconds: number
  resources: Pick<EpochLine, 'memory' | 'file_descriptors' | 'threads'>
  minutesSinceSave: number
}

/**
 * Closes an epoch: its line, the best model, patience, and what to do.
 * @param earlier all epochs before it
 * @throws VoxgradError ERR_CONFIG where a caller's policy gives no answer
 */
export function afterEpoch(
  state: PolicyState,
  rules: PolicyRules,
  measures: EpochMeasures,
  earlier: readonly EpochCurve[] = [],
): { state: PolicyState; line: EpochLine; actions: Action[] } {
  const { partial } = state
  const { budget, schedule } = planAhead(state, rules)
  const losses = measures.validation.loss
  const dicePerLabel = pseudoDice(measures.validation)
  const scores = {
    dicePerLabel,
    meanDice: nanMean(dicePerLabel),
    valLoss: losses.reduce((sum, loss) => sum + loss, 0) / losses.length,
  }
  const trainLoss = partial.lossSum / partial.finiteSteps
  const { metric } = rules.bestModel
  const averaged = moveAverages(state.best, scores, rules.bestModel)
  const line: EpochLine = {
    type: 'epoch',
    epoch: state.epoch,
    step: state.step,
    lr: learningRate(schedule, state.step - partial.steps),
    train_loss: finiteOrNull(trainLoss),
    val_loss: finiteOrNull(scores.valLoss),
    dice_per_class: dicePerLabel.map(finiteOrNull),
    mean_fg_dice: finiteOrNull(scores.meanDice),
    ema_fg_dice: averaged.ema,
    seconds: partial.seconds + measures.validationSeconds,
    step_ms: percentiles(partial.stepMs),
    data_ms: percentiles(partial.dataMs),
    skipped_steps: partial.skippedSteps,
    ...measures.resources,
  }
  const epochs = [...earlier, line]
  const value = metricValue(metric, averaged, scores, epochs)
  const { state: best, isNewBest } = updateBest(averaged, state.epoch, value, metric)

  const next: PolicyState = {
    ...state,
    epoch: state.epoch + 1,
    partial: emptyEpoch,
    best,
    patience: countPatience(state.patience, state.epoch, value, metric, rules.earlyStopping),
    nonFinite: afterFiniteEpoch(state.nonFinite, state.step),
  }
  const isLast = remainingSteps(next, budget) === 0
  const stopping = isLast ? endOfAnnealing(state) : earlyStop(next, trainLoss, rules, epochs)
  const decided = { ...next, ...stopping?.changes }
  const saveLatest = isSaveDue(decided, rules.checkpoint, measures.minutesSinceSave) && !isLast && !decided.stoppedEarly

  const actions: Action[] = []
  if (isNewBest) actions.push({ type: 'save', checkpoint: 'best' })
  if (stopping?.action) actions.push(stopping.action)
  // The end needs no checkpoint_latest: checkpoint_final follows.
  if (saveLatest) actions.push({ type: 'save', checkpoint: 'latest' })
  return { state: { ...decided, savedEpoch: saveLatest ? decided.epoch : state.savedEpoch }, line, actions }
}

function isSaveDue({ epoch, savedEpoch }: PolicyState, rules: PolicyRules['checkpoint'], minutes: number): boolean {
  return epoch - savedEpoch >= rules.everyEpochs || minutes >= rules.everyMinutes
}

interface Stopping {
  changes: Partial<PolicyState>
  action: Action
}

function earlyStop(
  state: PolicyState,
  trainLoss: number,
  rules: PolicyRules,
  epochs: readonly EpochCurve[],
): Stopping | null {
  const { earlyStopping, budget } = rules
  // While the rate comes down, patience has had its say.
  const isAnnealing = state.annealing !== null
  const limits = isAnnealing ? { ...earlyStopping, patience: null } : earlyStopping
  const reason =
    (isAnnealing ? null : ownReasonToStop(rules, epochs)) ?? reasonToStop(state.patience, trainLoss, limits)
  if (reason === null) return null
  const text = `Early stopping after epoch ${state.epoch} (step ${state.step}): ${reason.text}`
  if (reason.kind === 'divergence' || earlyStopping.onPlateau === 'stop') {
    return { changes: { stoppedEarly: true }, action: { type: 'stop_early', text: `${text}.` } }
  }
  const steps = Math.min(earlyStopping.annealSteps, budget.totalSteps - state.step)
  return {
    changes: { annealing: { from: state.step, steps } },
    action: {
      type: 'anneal',
      steps,
      text: `${text}. The learning rate now goes down to 0 in ${steps} steps, then training ends.`,
    },
  }
}

function ownReasonToStop({ stopEarly }: PolicyRules, epochs: readonly EpochCurve[]): ReasonToStop | null {
  const text = ask(
    'stopEarly',
    () => stopEarly?.(epochs) ?? null,
    'the reason as text, or null',
    (answer) => answer === null || (typeof answer === 'string' && answer !== ''),
  )
  return text === null ? null : { kind: 'plateau', text }
}

/** The last epoch of an annealing ends the run early, by plan. */
function endOfAnnealing({ annealing }: PolicyState): Stopping | null {
  if (annealing === null) return null
  const text = `Early stopping: the learning rate was brought down over ${annealing.steps} steps.`
  return { changes: { stoppedEarly: true }, action: { type: 'stop_early', text } }
}

/** JSON has no NaN or infinity. */
export function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null
}

function percentiles(values: readonly number[]): { p50: number; p95: number } {
  const sorted = [...values].sort((a, b) => a - b)
  // Nearest rank; 0 of nothing.
  const at = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0
  return { p50: at(0.5), p95: at(0.95) }
}
