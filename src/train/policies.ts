// The decisions of a run that its caller may replace by functions: learning rate, best model, early stopping.
import { VoxgradError } from '../errors.js'
import type { EpochCurve } from './events.js'

/** Where in a run, or in the part of it that a warm-up or an extension leaves, a rate is asked for. */
export interface SchedulePosition {
  /** From 0; with schedule.granularity "epoch" that of the epoch's first step. */
  step: number
  totalSteps: number
  stepsPerEpoch: number
  /** The option optimizer.initialLr. */
  initialLr: number
}

/**
 * Decisions in a caller's hands. What is left out stays with the options. Each function must depend on its arguments alone:
 * a run that is resumed asks it again. `epochs` are all finished epochs, the newest last.
 */
export interface Policies {
  /** Learning rate of a step, in place of schedule.kind. */
  learningRate?: (position: SchedulePosition) => number
  /** Decides about checkpoint_best and patience, in place of bestModel.metric. Larger is better; NaN is no value. */
  bestMetric?: (epochs: readonly EpochCurve[]) => number
  /** Why training should end after the newest epoch; null goes on. Asked before patience; earlyStopping.onPlateau holds. */
  stopEarly?: (epochs: readonly EpochCurve[]) => string | null
}

export type PolicyName = keyof Policies
const policyNames: readonly string[] = ['learningRate', 'bestMetric', 'stopEarly'] satisfies PolicyName[]

/**
 * The names of the policies that are a caller's own, for run.json.
 * @throws VoxgradError ERR_CONFIG for a name that is none, or a policy that is no function
 */
export function ownPolicies(policies: Policies): PolicyName[] {
  const own = Object.entries(policies).filter(([, policy]) => policy !== undefined)
  for (const [name, policy] of own) {
    if (policyNames.includes(name) && typeof policy === 'function') continue
    const expected = policyNames.includes(name) ? 'a function' : `one of ${policyNames.join(', ')}`
    throw new VoxgradError('ERR_CONFIG', { where: `policies.${name}`, required: expected, found: typeof policy })
  }
  return own.map(([name]) => name as PolicyName)
}

/**
 * What a caller's function says.
 * @param isRight whether it is an answer that can be worked with
 * @throws VoxgradError ERR_CONFIG if it is not, or the function throws
 */
export function ask<Answer>(
  name: PolicyName,
  question: () => Answer,
  expected: string,
  isRight: (answer: Answer) => boolean,
): Answer {
  let answer: Answer
  try {
    answer = question()
  } catch (error) {
    throw new VoxgradError('ERR_CONFIG', `policies.${name} failed: ${error instanceof Error ? error.message : error}`, {
      cause: error,
    })
  }
  if (isRight(answer)) return answer
  throw new VoxgradError('ERR_CONFIG', { where: `policies.${name}`, required: expected, found: String(answer) })
}
