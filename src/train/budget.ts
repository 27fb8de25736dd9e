// How long a run is: epochs, steps, and where in them a step lies.
import type { TrainOptions } from '../config/schema.js'
import { formatDuration } from '../report/format.js'
import { firstStepAtMost, learningRate, type Schedule } from './schedule.js'

export interface Budget {
  stepsPerEpoch: number
  valSteps: number
  totalSteps: number
  /** Longest training time of one call; null without a limit. */
  seconds: number | null
}

/** nnU-Net's (nnUNetTrainer.num_epochs, num_iterations_per_epoch). */
const defaultEpochs = 1000
const nnunetStepsPerEpoch = 250

/** A rate at which next to nothing is learned any more: 1/1000 of nnU-Net's initial one. */
const lowRate = 1e-5

export function resolveBudget(options: TrainOptions['budget']): Budget {
  const { stepsPerEpoch, valSteps, steps, time } = options
  const totalSteps = steps ?? (options.epochs ?? defaultEpochs) * stepsPerEpoch
  return { stepsPerEpoch, valSteps, totalSteps, seconds: time ?? null }
}

/** Where in its epochs a run is. */
export interface EpochPosition {
  /** Finished epochs, optimizer steps done, and those of them in the epoch under way. */
  epoch: number
  step: number
  partial: { steps: number }
}

/** Optimizer steps that the epoch under way still has; the last epoch of a run may be short. */
export function remainingSteps({ step, partial }: EpochPosition, { stepsPerEpoch, totalSteps }: Budget): number {
  return Math.max(0, Math.min(stepsPerEpoch - partial.steps, totalSteps - step))
}

/** Number of epochs of the whole run, seen from a point in it (the size of an epoch may have changed on the way). */
export function totalEpochs({ epoch, step, partial }: EpochPosition, { stepsPerEpoch, totalSteps }: Budget): number {
  return epoch + Math.ceil((totalSteps - (step - partial.steps)) / stepsPerEpoch)
}

export function isComplete({ step, partial }: EpochPosition, { totalSteps }: Budget): boolean {
  return step >= totalSteps && partial.steps === 0
}

/** The budget in words, shown at the start of a run. */
export function budgetSentence(budget: Budget, schedule: Schedule): string {
  const { stepsPerEpoch, valSteps, totalSteps, seconds } = budget
  const epochs = Math.ceil(totalSteps / stepsPerEpoch)
  const last = totalSteps - (epochs - 1) * stepsPerEpoch
  const cut =
    last === stepsPerEpoch
      ? `${counted(epochs, 'epoch')} x ${counted(stepsPerEpoch, 'step')} = ${counted(totalSteps, 'step')}`
      : `${counted(totalSteps, 'step')} in ${counted(epochs, 'epoch')} of ${number(stepsPerEpoch)}, the last one of ${number(last)}`
  const ofNnunet = totalSteps / nnunetStepsPerEpoch
  const likeNnunet =
    stepsPerEpoch === nnunetStepsPerEpoch || !Number.isInteger(ofNnunet)
      ? ''
      : ` (as many as ${counted(ofNnunet, 'epoch')} of nnU-Net's ${nnunetStepsPerEpoch})`
  const limit = seconds === null ? '' : `, at most ${formatDuration(seconds)} of training in this call`
  return `${cut}${likeNnunet}, ${counted(valSteps, 'validation batch', 'es')} an epoch${limit}; ${rateSentence(schedule, totalSteps)}`
}

function rateSentence(schedule: Schedule, totalSteps: number): string {
  const rate = (step: number) => Number(learningRate(schedule, step).toPrecision(3))
  const low = firstStepAtMost(schedule, lowRate)
  const reaches = low === null || low === totalSteps - 1 ? '' : `reaches 1e-5 at step ${number(low)}, `
  return `learning rate ${rate(0)} at the first step, ${reaches}${rate(totalSteps - 1)} at the last`
}

const number = (value: number) => value.toLocaleString('en-US')
const counted = (value: number, noun: string, plural = 's') => `${number(value)} ${noun}${value === 1 ? '' : plural}`
