// What follows from a chunk of steps and from an epoch: pure reducers from a state to the next state and actions.
import type { TrainingChunk, ValidationChunk } from '../native/binding.js'
import { type BestState, nanMean, pseudoDice, updateBest } from './best.js'
import { type Budget, stepsInEpoch } from './budget.js'
import type { EpochLine } from './events.js'
import { learningRate, type Schedule } from './schedule.js'

/** All that decides how a run goes on; stored in every checkpoint. */
export interface PolicyState {
  /** Finished epochs and optimizer steps done. */
  epoch: number
  step: number
  /** Training steps of the epoch under way. */
  partial: PartialEpoch
  best: BestState
  /** Epochs that were finished when checkpoint_latest was last saved. */
  savedEpoch: number
}

export interface PartialEpoch {
  steps: number
  lossSum: number
  seconds: number
  stepMs: number[]
  /** Unix seconds at which the epoch began; null before its first step. */
  startedAt: number | null
}

export interface PolicyRules {
  budget: Budget
  schedule: Schedule
  emaDecay: number
  checkpoint: { everyEpochs: number; everyMinutes: number }
}

export type Action = { type: 'save'; checkpoint: 'latest' | 'best' }

const emptyEpoch: PartialEpoch = { steps: 0, lossSum: 0, seconds: 0, stepMs: [], startedAt: null }

export const initialState: PolicyState = {
  epoch: 0,
  step: 0,
  partial: emptyEpoch,
  best: { ema: null, best: null },
  savedEpoch: 0,
}

/** Steps of the current epoch that are still to do. */
export function remainingSteps(state: PolicyState, budget: Budget): number {
  return stepsInEpoch(budget, state.epoch) - state.partial.steps
}

/**
 * Takes the steps of one native call into the epoch's sums.
 * Losses are added one by one, so that the sum does not depend on how an epoch was cut into calls.
 * @param clock wall seconds that the call took, and Unix seconds at its start
 */
export function afterChunk(
  state: PolicyState,
  chunk: Pick<TrainingChunk, 'steps' | 'loss' | 'stepMs'>,
  clock: { seconds: number; startedAt: number },
): PolicyState {
  const { partial } = state
  return {
    ...state,
    step: state.step + chunk.steps,
    partial: {
      steps: partial.steps + chunk.steps,
      lossSum: chunk.loss.reduce((sum, loss) => sum + loss, partial.lossSum),
      seconds: partial.seconds + clock.seconds,
      stepMs: [...partial.stepMs, ...chunk.stepMs],
      startedAt: partial.startedAt ?? clock.startedAt,
    },
  }
}

export interface EpochMeasures {
  validation: Pick<ValidationChunk, 'loss' | 'truePositives' | 'falsePositives' | 'falseNegatives'>
  validationSeconds: number
  memory: EpochLine['memory']
  minutesSinceSave: number
}

/** Closes an epoch: its line, the moving average, and what to save. The last epoch needs no `latest`: `final` follows. */
export function afterEpoch(
  state: PolicyState,
  rules: PolicyRules,
  measures: EpochMeasures,
): { state: PolicyState; line: EpochLine; actions: Action[] } {
  const { partial } = state
  const validationLoss = measures.validation.loss
  const dice = pseudoDice(measures.validation)
  const meanDice = nanMean(dice)
  const { state: best, isNewBest } = updateBest(state.best, meanDice, rules.emaDecay)
  const epoch = state.epoch + 1
  const isLast = epoch >= rules.budget.epochs
  const isDue =
    epoch - state.savedEpoch >= rules.checkpoint.everyEpochs ||
    measures.minutesSinceSave >= rules.checkpoint.everyMinutes
  const saveLatest = isDue && !isLast

  const line: EpochLine = {
    type: 'epoch',
    epoch: state.epoch,
    step: state.step,
    lr: learningRate(rules.schedule, state.epoch * rules.budget.stepsPerEpoch),
    train_loss: finiteOrNull(partial.lossSum / partial.steps),
    val_loss: finiteOrNull(validationLoss.reduce((sum, loss) => sum + loss, 0) / validationLoss.length),
    dice_per_class: dice.map(finiteOrNull),
    mean_fg_dice: finiteOrNull(meanDice),
    ema_fg_dice: best.ema,
    seconds: partial.seconds + measures.validationSeconds,
    step_ms: { p50: percentile(partial.stepMs, 0.5), p95: percentile(partial.stepMs, 0.95) },
    memory: measures.memory,
  }
  const actions: Action[] = []
  if (isNewBest) actions.push({ type: 'save', checkpoint: 'best' })
  if (saveLatest) actions.push({ type: 'save', checkpoint: 'latest' })
  return {
    state: { ...state, epoch, partial: emptyEpoch, best, savedEpoch: saveLatest ? epoch : state.savedEpoch },
    line,
    actions,
  }
}

/** JSON has no NaN or infinity. */
export function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null
}

/** Nearest-rank percentile; 0 of nothing. */
function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0
}
