// The learning rate as a function of the step: polynomial decay (nnU-Net's PolyLRScheduler), and what follows it in a run
// that was made longer or that anneals before its end.
import type { TrainOptions } from '../config/schema.js'
import type { Budget } from './budget.js'

/** A stretch of steps with one rule. */
export interface SchedulePart {
  /**
   * poly: decays from the initial rate to 0 over the part. hold: the last rate of the part before. anneal: straight from that
   * rate to 0.
   */
  kind: 'poly' | 'hold' | 'anneal'
  /** First step of the part, and of a decaying one the step at which its rate would be 0. */
  from: number
  to: number
}

export interface Schedule {
  initialLr: number
  exponent: number
  /** epoch: the rate of an epoch's first step holds for all its steps, as in nnU-Net. */
  granularity: 'step' | 'epoch'
  stepsPerEpoch: number
  /** At least one; the first begins at step 0. */
  parts: SchedulePart[]
}

/** The schedule of a run: one decay over all its steps, or one until the first extension and then a part for each. */
export function resolveSchedule(
  { optimizer, schedule }: Pick<TrainOptions, 'optimizer' | 'schedule'>,
  { stepsPerEpoch, totalSteps }: Pick<Budget, 'stepsPerEpoch' | 'totalSteps'>,
): Schedule {
  const { exponent, granularity, extensions } = schedule
  const starts = [0, ...extensions.map(({ from }) => from)]
  const parts = starts.map((from, i): SchedulePart => {
    const kind = extensions[i - 1]?.kind === 'continue' ? 'hold' : 'poly'
    return { kind, from, to: starts[i + 1] ?? totalSteps }
  })
  return { initialLr: optimizer.initialLr, exponent, granularity, stepsPerEpoch, parts }
}

/** The schedule that from a step on brings the rate straight down to 0, and ends there. */
export function annealed(schedule: Schedule, from: number, steps: number): Schedule {
  const before = schedule.parts.filter((part) => part.from < from)
  return { ...schedule, parts: [...before, { kind: 'anneal', from, to: from + steps }] }
}

/**
 * Rate of one step, counted from 0. In a decaying part: initialLr * (1 - done / length) ^ exponent, where `done` counts
 * steps, or whole epochs with granularity epoch.
 */
export function learningRate(schedule: Schedule, step: number): number {
  const { initialLr, exponent, granularity, stepsPerEpoch, parts } = schedule
  const index = Math.max(
    0,
    parts.findLastIndex(({ from }) => from <= step),
  )
  const { kind, from, to } = parts[index] as SchedulePart
  if (kind !== 'poly') {
    const before = learningRate({ ...schedule, parts: parts.slice(0, index) }, from - 1)
    return kind === 'hold' ? before : before * (1 - (step - from + 1) / (to - from))
  }
  const done =
    granularity === 'step'
      ? (step - from) / (to - from)
      : Math.floor((step - from) / stepsPerEpoch) / Math.ceil((to - from) / stepsPerEpoch)
  return initialLr * (1 - done) ** exponent
}

/** Rates of `count` steps from `firstStep` on. */
export function learningRates(schedule: Schedule, firstStep: number, count: number): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => learningRate(schedule, firstStep + i))
}

/** The first step from which on the rate stays at or below a bound; null if it is still above it at the end. */
export function firstStepAtMost(schedule: Schedule, bound: number): number | null {
  let step = schedule.parts.at(-1)?.to as number
  const end = step
  while (step > 0 && learningRate(schedule, step - 1) <= bound) step--
  return step === end ? null : step
}
