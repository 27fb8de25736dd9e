// Pseudo-Dice of an epoch, its moving average, and whether the monitored metric is at a new best.
import type { TrainOptions } from '../config/schema.js'
import type { EpochCurve } from './events.js'
import { ask } from './policies.js'

/**
 * Dice per foreground label over all validation batches: 2 TP / (2 TP + FP + FN); NaN where the label was neither there
 * nor predicted (nnUNetTrainer.on_validation_epoch_end).
 */
export function pseudoDice(counts: {
  truePositives: ArrayLike<number>
  falsePositives: ArrayLike<number>
  falseNegatives: ArrayLike<number>
}): number[] {
  return Array.from(counts.truePositives, (truePositives, label) => {
    const twice = 2 * truePositives
    return twice / (twice + (counts.falsePositives[label] as number) + (counts.falseNegatives[label] as number))
  })
}

/** Mean of what is not NaN; NaN if nothing is left. */
export function nanMean(values: readonly number[]): number {
  const known = values.filter((value) => !Number.isNaN(value))
  return known.reduce((sum, value) => sum + value, 0) / known.length
}

/** What decides about the best model and about patience. */
export type Metric =
  | { kind: 'ema_fg_dice' | 'mean_fg_dice' | 'val_loss' }
  /** The moving average of one foreground label, by its place among them. */
  | { kind: 'label'; label: number }
  /** A caller's function of all epochs. */
  | { kind: 'own'; of: (epochs: readonly EpochCurve[]) => number }

/** What one epoch's validation gave; NaN where there is no value. */
export interface EpochScores {
  dicePerLabel: readonly number[]
  meanDice: number
  valLoss: number
}

export interface BestState {
  /** Moving average of the mean foreground Dice; null before the first epoch that has one. */
  ema: number | null
  /** The same of the metric's label, where it is one. */
  labelEma: number | null
  /** Best value of the metric so far, and its epoch. */
  best: number | null
  bestEpoch: number | null
}

export const initialBest: BestState = { ema: null, labelEma: null, best: null, bestEpoch: null }

/**
 * Takes one epoch into the moving averages.
 * A value that is not finite changes nothing, where nnU-Net's average stays NaN from then on.
 */
export function moveAverages(
  state: BestState,
  scores: EpochScores,
  { metric, emaDecay }: { metric: Metric; emaDecay: number },
): BestState {
  const average = (before: number | null, value: number) => {
    if (!Number.isFinite(value)) return before
    return before === null ? value : emaDecay * before + (1 - emaDecay) * value
  }
  return {
    ...state,
    ema: average(state.ema, scores.meanDice),
    labelEma: average(state.labelEma, labelDice(metric, scores)),
  }
}

/**
 * The metric's value in an epoch that the averages know; NaN: none.
 * @param epochs all finished epochs, this one last
 */
export function metricValue(
  metric: Metric,
  { ema, labelEma }: BestState,
  scores: EpochScores,
  epochs: readonly EpochCurve[],
): number {
  switch (metric.kind) {
    // An average that this epoch did not move is no value of this epoch.
    case 'ema_fg_dice':
      return Number.isFinite(scores.meanDice) ? (ema as number) : Number.NaN
    case 'label':
      return Number.isFinite(labelDice(metric, scores)) ? (labelEma as number) : Number.NaN
    case 'mean_fg_dice':
      return scores.meanDice
    case 'val_loss':
      return scores.valLoss
    case 'own':
      return ask(
        'bestMetric',
        () => metric.of(epochs),
        'a number',
        (value) => typeof value === 'number',
      )
  }
}

function labelDice(metric: Metric, { dicePerLabel }: EpochScores): number {
  return metric.kind === 'label' ? (dicePerLabel[metric.label] as number) : Number.NaN
}

/** Compares an epoch's value of the metric with the best before; new is what is strictly better. */
export function updateBest(
  state: BestState,
  epoch: number,
  value: number,
  metric: Metric,
): { state: BestState; isNewBest: boolean } {
  const isNewBest = Number.isFinite(value) && (state.best === null || improvement(metric, value, state.best) > 0)
  return { state: isNewBest ? { ...state, best: value, bestEpoch: epoch } : state, isNewBest }
}

/** By how much a value is better than another; negative where it is worse. */
export function improvement(metric: Metric, value: number, reference: number): number {
  return metric.kind === 'val_loss' ? reference - value : value - reference
}

/**
 * The option's text as a metric.
 * @param labels foreground labels in the order of the metrics
 * @returns undefined for a label that is not among them
 */
export function parseMetric(
  text: TrainOptions['bestModel']['metric'],
  labels: readonly { name: string }[],
): Metric | undefined {
  if (!text.startsWith('label:')) return { kind: text as 'ema_fg_dice' }
  const label = labels.findIndex(({ name }) => `label:${name}` === text)
  return label < 0 ? undefined : { kind: 'label', label }
}
