// What happens when losses or gradients are not finite: steps are skipped, then the last checkpoint is loaded and other
// patches are drawn, then the run ends.

export interface NonFiniteRules {
  /** Skipped steps in a row after which the last checkpoint is loaded. */
  mostInARow: number
  /** Reloads after which the run ends. */
  mostReloads: number
}

export interface NonFiniteState {
  /** Steps that were skipped just now, one after another. */
  inARow: number
  /** Which draws the steps make: counts the reloads of the whole run. */
  redraws: number
  /** Reloads since the run last came beyond the step where it failed. */
  reloads: number
  /** That step; 0 before the first failure. */
  failedAt: number
}

export const initialNonFinite: NonFiniteState = { inARow: 0, redraws: 0, reloads: 0, failedAt: 0 }

/** Counts the steps of one native call; `skipped` holds 1 for a skipped step. */
export function countSkipped(state: NonFiniteState, skipped: ArrayLike<number>): NonFiniteState {
  let { inARow } = state
  for (let i = 0; i < skipped.length; i++) inARow = skipped[i] ? inARow + 1 : 0
  return { ...state, inARow }
}

/** After an epoch: a run that came beyond its point of failure may fail anew. */
export function afterFiniteEpoch(state: NonFiniteState, step: number): NonFiniteState {
  return step > state.failedAt && state.inARow === 0 ? { ...state, reloads: 0 } : state
}

/** What to do after a chunk: go on, load the last checkpoint, or end the run. */
export function nonFiniteDecision(
  { inARow, reloads }: NonFiniteState,
  rules: NonFiniteRules,
): 'go_on' | 'reload' | 'end' {
  if (inARow < rules.mostInARow) return 'go_on'
  return reloads < rules.mostReloads ? 'reload' : 'end'
}

/**
 * The state to go on with after a reload.
 * @param failed the state that made it necessary, at step `failedAt`
 */
export function afterReload(failed: NonFiniteState, failedAt: number): NonFiniteState {
  return {
    inARow: 0,
    redraws: failed.redraws + 1,
    reloads: failed.reloads + 1,
    failedAt: Math.max(failed.failedAt, failedAt),
  }
}
