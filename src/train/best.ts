// Pseudo-Dice of an epoch, its moving average, and whether that is a new best.

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

export interface BestState {
  /** Moving average of the mean foreground Dice; null before the first epoch that has one. */
  ema: number | null
  /** Its highest value so far. */
  best: number | null
}

/**
 * Takes one epoch's mean foreground Dice into the moving average.
 * An epoch without a finite value leaves both as they are, where nnU-Net's average stays NaN from then on.
 * @returns the next state, and whether the average rose strictly above all before
 */
export function updateBest(
  state: BestState,
  meanDice: number,
  decay: number,
): { state: BestState; isNewBest: boolean } {
  if (!Number.isFinite(meanDice)) return { state, isNewBest: false }
  const ema = state.ema === null ? meanDice : decay * state.ema + (1 - decay) * meanDice
  const isNewBest = state.best === null || ema > state.best
  return { state: { ema, best: isNewBest ? ema : state.best }, isNewBest }
}
