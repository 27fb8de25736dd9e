// How a run's options change when it goes on with another budget: its length, its epochs, its learning rate.
import type { ResumeOptions, TrainOptions } from '../config/schema.js'
import { VoxgradError } from '../errors.js'
import { type EpochPosition, resolveBudget } from './budget.js'

export interface Extended {
  options: TrainOptions
  /** Whether the run got more steps, so that what had ended it no longer holds. */
  isLonger: boolean
}

/**
 * The options that a run goes on with.
 * @param options as the run has them
 * @param position of the checkpoint that it goes on from
 * @param isEnded whether its training has ended there (all steps done, or stopped early)
 * @throws VoxgradError ERR_CONFIG where the new length is already reached, or --schedule has nothing to apply to
 */
export function extend(
  options: TrainOptions,
  position: EpochPosition,
  isEnded: boolean,
  { budget: changes, schedule: kind }: Pick<ResumeOptions, 'budget' | 'schedule'>,
): Extended {
  const before = resolveBudget(options.budget)
  const stepsPerEpoch = changes.stepsPerEpoch ?? before.stepsPerEpoch
  const common = {
    stepsPerEpoch,
    valSteps: changes.valSteps ?? before.valSteps,
    ...((changes.time ?? options.budget.time) === undefined ? {} : { time: changes.time ?? options.budget.time }),
  }
  const totalSteps = newTotal(before.totalSteps, stepsPerEpoch, position, changes)
  const isGiven = changes.epochs !== undefined || changes.steps !== undefined
  const isLonger = isGiven && totalSteps > position.step && (isEnded || totalSteps > before.totalSteps)
  if (isGiven && totalSteps <= position.step) {
    throw new VoxgradError('ERR_CONFIG', {
      required: `a total of more than the ${position.step} steps that the run has done in ${position.epoch} epochs`,
      found: `${totalSteps} steps`,
      remedy: 'Give a larger number by --epochs or --steps.',
    })
  }
  if (kind !== undefined && totalSteps === before.totalSteps) {
    throw new VoxgradError('ERR_CONFIG', {
      where: `--schedule ${kind}`,
      required: `a new length of more than ${before.totalSteps} steps`,
      found: 'none',
      remedy: 'Give --epochs or --steps.',
    })
  }
  const budget =
    totalSteps % stepsPerEpoch === 0
      ? { ...common, epochs: totalSteps / stepsPerEpoch }
      : { ...common, steps: totalSteps }
  const from = isEnded ? Math.min(position.step, before.totalSteps) : before.totalSteps
  const extensions =
    totalSteps === before.totalSteps
      ? options.schedule.extensions
      : kind === 'continue' || kind === 'restart'
        ? [...options.schedule.extensions, { kind, from }]
        : []
  return { options: { ...options, budget, schedule: { ...options.schedule, extensions } }, isLonger }
}

function newTotal(
  before: number,
  stepsPerEpoch: number,
  { epoch, step, partial }: EpochPosition,
  { epochs, steps }: ResumeOptions['budget'],
): number {
  if (steps !== undefined) return steps
  if (epochs === undefined) return before
  // The epochs before keep the size that they had.
  return step - partial.steps + (epochs - epoch) * stepsPerEpoch
}
