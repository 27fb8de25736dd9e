// The learning rate as a function of the step: polynomial decay (nnU-Net's PolyLRScheduler).

export interface Schedule {
  initialLr: number
  exponent: number
  /** epoch: the rate of an epoch's first step holds for all its steps, as in nnU-Net. */
  granularity: 'step' | 'epoch'
  totalSteps: number
  stepsPerEpoch: number
}

/** Rate of one step, counted from 0: initialLr * (1 - step / totalSteps) ^ exponent. */
export function learningRate(schedule: Schedule, step: number): number {
  const { initialLr, exponent, granularity, totalSteps, stepsPerEpoch } = schedule
  const done =
    granularity === 'step'
      ? step / totalSteps
      : Math.floor(step / stepsPerEpoch) / Math.ceil(totalSteps / stepsPerEpoch)
  return initialLr * (1 - done) ** exponent
}

/** Rates of `count` steps from `firstStep` on. */
export function learningRates(schedule: Schedule, firstStep: number, count: number): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => learningRate(schedule, firstStep + i))
}
