// When a run that no longer improves ends: patience, divergence, and annealing before the end.
import { improvement, type Metric } from './best.js'

export interface EarlyStoppingRules {
  /** Epochs without improvement after which training ends; null: never. */
  patience: number | null
  /** An improvement must be larger than this. */
  minDelta: number
  warmupEpochs: number
  onPlateau: 'stop' | 'anneal'
  annealSteps: number
  /** Largest mean training loss of an epoch. */
  divergenceLoss: number | null
}

export interface PatienceState {
  /** Value of the metric that the next one must exceed by more than minDelta; null before the first. */
  reference: number | null
  /** Epochs since then. */
  epochs: number
}

export const initialPatience: PatienceState = { reference: null, epochs: 0 }

/**
 * Counts one epoch.
 * @param epoch from 0; epochs of the warm-up set the reference, but none of them counts
 * @param value of the metric in this epoch; NaN (none) counts as no improvement
 */
export function countPatience(
  state: PatienceState,
  epoch: number,
  value: number,
  metric: Metric,
  { minDelta, warmupEpochs }: Pick<EarlyStoppingRules, 'minDelta' | 'warmupEpochs'>,
): PatienceState {
  const isBetter =
    Number.isFinite(value) && (state.reference === null || improvement(metric, value, state.reference) > minDelta)
  if (isBetter) return { reference: value, epochs: 0 }
  return epoch < warmupEpochs ? state : { ...state, epochs: state.epochs + 1 }
}

export interface ReasonToStop {
  kind: 'plateau' | 'divergence'
  /** In words. */
  text: string
}

/** Why training should end after an epoch; null if it should not. */
export function reasonToStop(
  { epochs }: PatienceState,
  trainLoss: number,
  { patience, divergenceLoss }: Pick<EarlyStoppingRules, 'patience' | 'divergenceLoss'>,
): ReasonToStop | null {
  if (divergenceLoss !== null && trainLoss > divergenceLoss) {
    const loss = Number(trainLoss.toPrecision(4))
    return { kind: 'divergence', text: `the mean training loss ${loss} exceeds the limit of ${divergenceLoss}` }
  }
  if (patience !== null && epochs >= patience) {
    return { kind: 'plateau', text: `no improvement in ${epochs} epoch${epochs === 1 ? '' : 's'}` }
  }
  return null
}
