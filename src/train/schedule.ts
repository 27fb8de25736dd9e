// The learning rate as a function of the step: warm-up and decay (nnU-Net's PolyLRScheduler and its variants), and what
// follows them in a run that was made longer or that anneals before its end.
import type { TrainOptions } from '../config/schema.js'
import { VoxgradError } from '../errors.js'
import type { Budget } from './budget.js'
import { ask, type Policies } from './policies.js'

/** A stretch of steps with one rule. */
export interface SchedulePart {
  /**
   * warmup: rises in equal steps to the initial rate. poly, cosine: decay from the initial rate to 0. constant: the initial
   * rate. own: a caller's function. hold: the last rate of the part before. anneal: straight from that rate to 0.
   */
  kind: 'warmup' | 'poly' | 'cosine' | 'constant' | 'own' | 'hold' | 'anneal'
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
  /** Of the parts of kind own. */
  own?: Policies['learningRate'] | undefined
}

/**
 * The schedule of a run: warm-up, then one decay over all other steps, or one until the first extension and then a part for
 * each.
 * @param own a caller's function in place of the decay
 * @throws VoxgradError ERR_CONFIG if the warm-up leaves no step
 */
export function resolveSchedule(
  { optimizer, schedule }: Pick<TrainOptions, 'optimizer' | 'schedule'>,
  { stepsPerEpoch, totalSteps }: Pick<Budget, 'stepsPerEpoch' | 'totalSteps'>,
  own?: Policies['learningRate'],
): Schedule {
  const { warmupSteps, exponent, granularity, extensions } = schedule
  const kind: SchedulePart['kind'] = own === undefined ? schedule.kind : 'own'
  if (warmupSteps >= totalSteps) {
    throw new VoxgradError('ERR_CONFIG', {
      where: 'schedule.warmupSteps',
      required: `less than the ${totalSteps} steps of the run`,
      found: `${warmupSteps}`,
    })
  }
  const starts = [0, ...extensions.map(({ from }) => from)]
  const parts = starts.flatMap((from, i): SchedulePart[] => {
    const to = starts[i + 1] ?? totalSteps
    if (i > 0) return [{ kind: extensions[i - 1]?.kind === 'continue' ? 'hold' : kind, from, to }]
    const middle = Math.min(warmupSteps, to)
    return [
      { kind: 'warmup' as const, from: 0, to: middle },
      { kind, from: middle, to },
    ].filter((part) => part.from < part.to)
  })
  return { initialLr: optimizer.initialLr, exponent, granularity, stepsPerEpoch, parts, own }
}

/** The schedule that from a step on brings the rate straight down to 0, and ends there. */
export function annealed(schedule: Schedule, from: number, steps: number): Schedule {
  const before = schedule.parts.filter((part) => part.from < from)
  return { ...schedule, parts: [...before, { kind: 'anneal', from, to: from + steps }] }
}

/**
 * Rate of one step, counted from 0. With the steps `done` of a part and its `length` (in whole epochs with granularity
 * epoch), the rate is initialLr times (1 + done) / length in a warmup, (1 - done / length) ^ exponent in poly, and
 * (1 + cos(pi done / length)) / 2 in cosine. Source: nnU-Net's polylr.py and warmup.py, PyTorch's CosineAnnealingLR.
 */
export function learningRate(schedule: Schedule, step: number): number {
  const { initialLr, exponent, granularity, stepsPerEpoch, parts, own } = schedule
  const index = Math.max(
    0,
    parts.findLastIndex(({ from }) => from <= step),
  )
  const { kind, from, to } = parts[index] as SchedulePart
  const unit = granularity === 'step' ? 1 : stepsPerEpoch
  const done = Math.floor((step - from) / unit)
  const length = Math.ceil((to - from) / unit)
  switch (kind) {
    case 'warmup':
      return (initialLr / length) * (1 + done)
    case 'poly':
      return initialLr * (1 - done / length) ** exponent
    case 'cosine':
      return (initialLr * (1 + Math.cos((Math.PI * done) / length))) / 2
    case 'constant':
      return initialLr
    case 'own': {
      const position = { step: done * unit, totalSteps: to - from, stepsPerEpoch, initialLr }
      return ask(
        'learningRate',
        () => own?.(position) as number,
        `a rate of 0 or more at step ${step}`,
        (rate) => Number.isFinite(rate) && rate >= 0,
      )
    }
    default: {
      const before = learningRate({ ...schedule, parts: parts.slice(0, index) }, from - 1)
      return kind === 'hold' ? before : before * (1 - (step - from + 1) / (to - from))
    }
  }
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
