// How long a run is: epochs, steps, and where in them a step lies.
import type { TrainOptions } from '../config/schema.js'
import { learningRate, type Schedule } from './schedule.js'

export interface Budget {
  epochs: number
  stepsPerEpoch: number
  valSteps: number
  totalSteps: number
}

/** nnU-Net's number of epochs. */
const defaultEpochs = 1000

export function resolveBudget(options: TrainOptions['budget']): Budget {
  const { stepsPerEpoch, valSteps, steps } = options
  if (steps !== undefined) {
    return { epochs: Math.ceil(steps / stepsPerEpoch), stepsPerEpoch, valSteps, totalSteps: steps }
  }
  const epochs = options.epochs ?? defaultEpochs
  return { epochs, stepsPerEpoch, valSteps, totalSteps: epochs * stepsPerEpoch }
}

/** Number of optimizer steps in an epoch; the last one may be short. */
export function stepsInEpoch(budget: Budget, epoch: number): number {
  return Math.min(budget.stepsPerEpoch, budget.totalSteps - epoch * budget.stepsPerEpoch)
}

/** The budget in words, shown at the start of a run. */
export function budgetSentence(budget: Budget, schedule: Schedule): string {
  const number = (value: number) => value.toLocaleString('en-US')
  const counted = (value: number, noun: string) => `${number(value)} ${noun}${value === 1 ? '' : 's'}`
  const { epochs, stepsPerEpoch, valSteps, totalSteps } = budget
  const last = stepsInEpoch(budget, epochs - 1)
  const cut =
    last === stepsPerEpoch
      ? `${counted(epochs, 'epoch')} x ${counted(stepsPerEpoch, 'step')} = ${counted(totalSteps, 'step')}`
      : `${counted(totalSteps, 'step')} in ${counted(epochs, 'epoch')} of ${number(stepsPerEpoch)}, the last one of ${number(last)}`
  const rate = (step: number) => Number(learningRate(schedule, step).toPrecision(3))
  return `${cut}, ${number(valSteps)} validation batches an epoch; learning rate ${rate(0)} at the first step, ${rate(totalSteps - 1)} at the last`
}
