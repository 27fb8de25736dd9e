// The policies of a run as table tests: rates, epochs, moving average, best model, when to save.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { nanMean, pseudoDice, updateBest } from '../../src/train/best.js'
import { budgetSentence, resolveBudget, stepsInEpoch } from '../../src/train/budget.js'
import { afterChunk, afterEpoch, initialState, type PolicyRules, remainingSteps } from '../../src/train/policy.js'
import { learningRate, learningRates } from '../../src/train/schedule.js'

const goldens = JSON.parse(readFileSync(new URL('../goldens/training_rules.json', import.meta.url), 'utf8')) as {
  rates: number[]
  pseudo_dice: { tp: number[]; fp: number[]; fn: number[]; dice: (number | null)[]; mean: number }
}
const scheduleOf = (totalSteps: number, stepsPerEpoch: number, granularity: 'step' | 'epoch' = 'step') => ({
  initialLr: 0.01,
  exponent: 0.9,
  granularity,
  totalSteps,
  stepsPerEpoch,
})

describe('learning rate', () => {
  test("by epoch it is nnU-Net's", () => {
    const schedule = scheduleOf(20 * 250, 250, 'epoch')
    goldens.rates.forEach((rate, epoch) => {
      expect(learningRate(schedule, epoch * 250)).toBeCloseTo(rate, 15)
      expect(learningRate(schedule, epoch * 250 + 249)).toBe(learningRate(schedule, epoch * 250))
    })
  })

  test('by step it does not depend on the epoch size', () => {
    const rates = (stepsPerEpoch: number) => learningRates(scheduleOf(1000, stepsPerEpoch), 0, 1000)
    expect(rates(250)).toEqual(rates(50))
    expect(rates(50)[0]).toBe(0.01)
    expect(rates(50)[500]).toBeCloseTo(0.01 * 0.5 ** 0.9, 15)
  })
})

describe('budget', () => {
  test("is nnU-Net's without options", () => {
    expect(resolveBudget({ stepsPerEpoch: 250, valSteps: 50 })).toMatchObject({ epochs: 1000, totalSteps: 250_000 })
  })

  test('in steps has a short last epoch', () => {
    const budget = resolveBudget({ steps: 25, stepsPerEpoch: 10, valSteps: 2 })
    expect(budget.epochs).toBe(3)
    expect([0, 1, 2].map((epoch) => stepsInEpoch(budget, epoch))).toEqual([10, 10, 5])
    expect(budgetSentence(budget, scheduleOf(25, 10))).toMatch(/^25 steps in 3 epochs of 10, the last one of 5, /)
  })

  test('reads as a sentence', () => {
    const budget = resolveBudget({ epochs: 50, stepsPerEpoch: 1000, valSteps: 50 })
    expect(budgetSentence(budget, scheduleOf(50_000, 1000))).toBe(
      '50 epochs x 1,000 steps = 50,000 steps, 50 validation batches an epoch; learning rate 0.01 at the first step, 5.9e-7 at the last',
    )
  })
})

describe('best model', () => {
  test("pseudo-Dice is nnU-Net's, NaN where there is nothing", () => {
    const { tp, fp, fn, dice, mean } = goldens.pseudo_dice
    const found = pseudoDice({ truePositives: tp, falsePositives: fp, falseNegatives: fn })
    for (const [i, value] of dice.entries()) {
      if (value === null) expect(found[i]).toBeNaN()
      else expect(found[i]).toBeCloseTo(value, 12)
    }
    expect(nanMean(found)).toBeCloseTo(mean, 12)
  })

  test('rises strictly', () => {
    let state = { ema: null as number | null, best: null as number | null }
    const outcome = [0.5, 0.5, 0.6, 0.1].map((dice) => {
      const next = updateBest(state, dice, 0.9)
      state = next.state
      return next.isNewBest
    })
    expect(outcome).toEqual([true, false, true, false])
    expect(state.best).toBeCloseTo(0.51, 12)
    expect(state.ema).toBeCloseTo(0.469, 12)
  })

  test("an epoch without any value leaves the average as it was, where nnU-Net's is lost for ever", () => {
    const before = { ema: 0.5, best: 0.5 }
    const { state, isNewBest } = updateBest(before, Number.NaN, 0.9)
    expect(state).toEqual(before)
    expect(isNewBest).toBe(false)
    expect(updateBest(state, 0.7, 0.9).isNewBest).toBe(true)
    const ofNnunet = [Number.NaN, 0.7].reduce((ema, dice) => 0.9 * ema + 0.1 * dice, 0.5)
    expect(ofNnunet).toBeNaN()
  })

  test('a first epoch without any value is no best', () => {
    const { state } = updateBest({ ema: null, best: null }, Number.NaN, 0.9)
    expect(updateBest(state, 0, 0.9)).toEqual({ state: { ema: 0, best: 0 }, isNewBest: true })
  })
})

describe('epoch', () => {
  const budget = resolveBudget({ epochs: 3, stepsPerEpoch: 4, valSteps: 2 })
  const rules: PolicyRules = {
    budget,
    schedule: scheduleOf(12, 4),
    emaDecay: 0.9,
    checkpoint: { everyEpochs: 2, everyMinutes: 10 },
  }
  const clock = { seconds: 1, startedAt: 100 }
  const chunk = (losses: number[]) => ({
    steps: losses.length,
    loss: Float32Array.from(losses),
    stepMs: Float32Array.from(losses, () => 250),
  })
  const measures = (truePositives: number, minutesSinceSave = 0) => ({
    validation: {
      loss: Float32Array.of(0.5, 0.25),
      truePositives: Float64Array.of(truePositives),
      falsePositives: Float64Array.of(2),
      falseNegatives: Float64Array.of(0),
    },
    validationSeconds: 0.5,
    memory: { resident_bytes: 1, peak_resident_bytes: 2 },
    minutesSinceSave,
  })

  test('sums do not depend on how the steps were cut', () => {
    const losses = [0.1, 0.2, 0.3, 0.7]
    const whole = afterChunk(initialState, chunk(losses), clock)
    const cut = [losses.slice(0, 1), losses.slice(1, 3), losses.slice(3)].reduce(
      (state, part) => afterChunk(state, chunk(part), clock),
      initialState,
    )
    expect(cut.partial.lossSum).toBe(whole.partial.lossSum)
    expect(cut.step).toBe(4)
    expect(remainingSteps(cut, budget)).toBe(0)
    expect(cut.partial.startedAt).toBe(100)
  })

  test('its line, then the next epoch from nothing', () => {
    const trained = afterChunk(initialState, chunk([1, 2, 3, 4]), clock)
    const { state, line, actions } = afterEpoch(trained, rules, measures(1))
    expect(line).toEqual({
      type: 'epoch',
      epoch: 0,
      step: 4,
      lr: 0.01,
      train_loss: 2.5,
      val_loss: 0.375,
      dice_per_class: [0.5],
      mean_fg_dice: 0.5,
      ema_fg_dice: 0.5,
      seconds: 1.5,
      step_ms: { p50: 250, p95: 250 },
      memory: { resident_bytes: 1, peak_resident_bytes: 2 },
    })
    expect(actions).toEqual([{ type: 'save', checkpoint: 'best' }])
    expect(state).toMatchObject({ epoch: 1, step: 4, partial: { steps: 0, startedAt: null } })
  })

  test.each([
    { epoch: 0, minutes: 0, saved: ['best'] },
    { epoch: 1, minutes: 0, saved: ['best', 'latest'] },
    { epoch: 0, minutes: 11, saved: ['best', 'latest'] },
    { epoch: 2, minutes: 11, saved: ['best'] },
  ])('after epoch $epoch and $minutes minutes, $saved is saved', ({ epoch, minutes, saved }) => {
    const { actions } = afterEpoch({ ...initialState, epoch }, rules, measures(1, minutes))
    expect(actions.map((action) => action.checkpoint)).toEqual(saved)
  })

  test('what is not finite becomes null in the line', () => {
    const trained = afterChunk(initialState, chunk([1, Number.NaN, 1, 1]), clock)
    const nothing = { ...measures(0).validation, falsePositives: Float64Array.of(0) }
    const { line, actions } = afterEpoch(trained, rules, { ...measures(0), validation: nothing })
    expect(line).toMatchObject({ train_loss: null, dice_per_class: [null], mean_fg_dice: null, ema_fg_dice: null })
    expect(actions).toEqual([])
  })
})
