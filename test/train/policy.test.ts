// The policies of a run as table tests: budget, epochs, best model, early stopping, steps that are not finite, when to save.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { type TrainInput, trainOptionsSchema } from '../../src/config/schema.js'
import {
  type BestState,
  type EpochScores,
  initialBest,
  type Metric,
  metricValue,
  moveAverages,
  nanMean,
  parseMetric,
  pseudoDice,
  updateBest,
} from '../../src/train/best.js'
import { budgetSentence, isComplete, remainingSteps, resolveBudget, totalEpochs } from '../../src/train/budget.js'
import { countPatience, initialPatience, reasonToStop } from '../../src/train/early-stopping.js'
import {
  afterFiniteEpoch,
  afterReload,
  countSkipped,
  initialNonFinite,
  nonFiniteDecision,
} from '../../src/train/non-finite.js'
import {
  afterChunk,
  afterEpoch,
  initialState,
  isTrained,
  type PolicyRules,
  type PolicyState,
  planAhead,
  reopened,
} from '../../src/train/policy.js'
import { learningRate, resolveSchedule } from '../../src/train/schedule.js'
import { policyRules } from '../../src/train/setup.js'

const goldens = JSON.parse(readFileSync(new URL('../goldens/training_rules.json', import.meta.url), 'utf8')) as {
  pseudo_dice: { tp: number[]; fp: number[]; fn: number[]; dice: (number | null)[]; mean: number }
}
const labels = [{ name: 'front' }, { name: 'back' }]
const optionsOf = (input: Partial<TrainInput>) =>
  trainOptionsSchema.parse({ dataset: 1, configuration: '3d_fullres', fold: 0, ...input })
const rulesOf = (input: Partial<TrainInput>): PolicyRules => policyRules(optionsOf(input), labels)
const budgetOf = (budget: TrainInput['budget']) => resolveBudget(optionsOf({ budget }).budget)

describe('budget', () => {
  test("is nnU-Net's without options", () => {
    expect(budgetOf({})).toEqual({ stepsPerEpoch: 250, valSteps: 50, totalSteps: 250_000, seconds: null })
  })

  test('in steps has a short last epoch', () => {
    const budget = budgetOf({ steps: 25, stepsPerEpoch: 10, valSteps: 2 })
    const at = (epoch: number, step: number) => ({ epoch, step, partial: { steps: step - 10 * epoch } })
    expect(totalEpochs(at(0, 0), budget)).toBe(3)
    expect([at(0, 0), at(0, 7), at(1, 10), at(2, 20)].map((position) => remainingSteps(position, budget))).toEqual([
      10, 3, 10, 5,
    ])
    expect(isComplete({ epoch: 3, step: 25, partial: { steps: 0 } }, budget)).toBe(true)
    expect(isComplete({ epoch: 2, step: 25, partial: { steps: 5 } }, budget)).toBe(false)
  })

  test('counts epochs on from where their size changed', () => {
    // 3 epochs of 10 are done; the rest of 100 steps is cut into epochs of 20.
    const budget = budgetOf({ steps: 100, stepsPerEpoch: 20 })
    expect(totalEpochs({ epoch: 3, step: 30, partial: { steps: 0 } }, budget)).toBe(3 + 4)
    expect(remainingSteps({ epoch: 3, step: 38, partial: { steps: 8 } }, budget)).toBe(12)
    expect(remainingSteps({ epoch: 3, step: 38, partial: { steps: 25 } }, budget)).toBe(0)
  })

  test.each([
    [
      { epochs: 50, stepsPerEpoch: 1000 },
      "50 epochs x 1,000 steps = 50,000 steps (as many as 200 epochs of nnU-Net's 250), 50 validation batches an epoch; learning rate 0.01 at the first step, reaches 1e-5 at step 49,977, 5.9e-7 at the last",
    ],
    [
      { steps: 25, stepsPerEpoch: 10, valSteps: 1 },
      '25 steps in 3 epochs of 10, the last one of 5, 1 validation batch an epoch; learning rate 0.01 at the first step, 0.000552 at the last',
    ],
    [
      { epochs: 2, valSteps: 50, time: '1h30m' },
      '2 epochs x 250 steps = 500 steps, 50 validation batches an epoch, at most 1h30m of training in this call; learning rate 0.01 at the first step, 0.0000372 at the last',
    ],
  ])('%o reads as a sentence', (input, sentence) => {
    const options = optionsOf({ budget: input })
    const budget = resolveBudget(options.budget)
    expect(budgetSentence(budget, resolveSchedule(options, budget))).toBe(sentence)
  })

  test.each([
    ['12h', 43_200],
    ['90m', 5400],
    ['1d12h', 129_600],
    ['1.5h', 5400],
    [45, 45],
  ])('a time of %s is %d seconds', (time, seconds) => expect(budgetOf({ time })?.seconds).toBe(seconds))

  test.each(['12', '', 'h', '12x', '1h 30m', 0, -1])('a time of %j is refused', (time) => {
    expect(trainOptionsSchema.shape.budget.safeParse({ time }).success).toBe(false)
  })
})

describe('best model', () => {
  const rules = { metric: { kind: 'ema_fg_dice' } as Metric, emaDecay: 0.9 }
  const scores = (meanDice: number, valLoss = 0) => ({ dicePerLabel: [meanDice, meanDice], meanDice, valLoss })
  const oneEpoch = (state: BestState, epoch: number, scores: EpochScores, metric: Metric) => {
    const averaged = moveAverages(state, scores, { ...rules, metric })
    return updateBest(averaged, epoch, metricValue(metric, averaged, scores, []), metric)
  }
  const run = (values: number[], metric: Metric = rules.metric) => {
    let state: BestState = initialBest
    const rises = values.map((value, epoch) => {
      const next = oneEpoch(state, epoch, scores(value, value), metric)
      state = next.state
      return next.isNewBest
    })
    return { state, rises }
  }

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
    const { state, rises } = run([0.5, 0.5, 0.6, 0.1])
    expect(rises).toEqual([true, false, true, false])
    expect(state).toMatchObject({ best: expect.closeTo(0.51, 12) as number, bestEpoch: 2 })
    expect(state.ema).toBeCloseTo(0.469, 12)
  })

  test("an epoch without any value leaves the average as it was, where nnU-Net's is lost for ever", () => {
    const values = [0.5, Number.NaN, 0.7]
    const { state, rises } = run(values)
    expect(rises).toEqual([true, false, true])
    expect(state.ema).toBeCloseTo(0.9 * 0.5 + 0.1 * 0.7, 12)
    // nnUNetTrainer: ema = 0.9 * ema + 0.1 * dice, and nothing is ever larger than NaN.
    const ofNnunet = values.reduce((ema, dice) => 0.9 * ema + 0.1 * dice)
    expect(ofNnunet).toBeNaN()
    expect(0.99 > ofNnunet).toBe(false)
  })

  test('a label that is absent from all batches does not count, and a whole epoch of them is no best', () => {
    const absent = { dicePerLabel: [0.4, Number.NaN], meanDice: nanMean([0.4, Number.NaN]), valLoss: 1 }
    const { state, isNewBest } = oneEpoch(initialBest, 0, absent, rules.metric)
    expect(state).toMatchObject({ ema: 0.4, best: 0.4 })
    expect(isNewBest).toBe(true)
    expect(run([Number.NaN]).state).toEqual(initialBest)
  })

  test.each<[Metric, boolean[], number]>([
    [{ kind: 'mean_fg_dice' }, [true, true, false], 0.9],
    [{ kind: 'val_loss' }, [true, false, true], 0.1],
    [{ kind: 'label', label: 1 }, [true, true, false], 0.9 * 0.5 + 0.1 * 0.9],
  ])('follows %o', (metric, expected, best) => {
    const { state, rises } = run([0.5, 0.9, 0.1], metric)
    expect(rises).toEqual(expected)
    expect(state.best).toBeCloseTo(best, 12)
  })

  test('an infinite loss is no value', () => {
    expect(run([Number.POSITIVE_INFINITY, -1, Number.NEGATIVE_INFINITY], { kind: 'val_loss' }).state.best).toBe(-1)
  })

  test('metrics are named by option', () => {
    expect(parseMetric('label:back', labels)).toEqual({ kind: 'label', label: 1 })
    expect(parseMetric('val_loss', labels)).toEqual({ kind: 'val_loss' })
    expect(parseMetric('label:side', labels)).toBeUndefined()
    expect(() => rulesOf({ bestModel: { metric: 'label:side' } })).toThrow(/one of front, back, found label:side/)
  })
})

describe('patience', () => {
  const dice: Metric = { kind: 'ema_fg_dice' }
  const count = (values: number[], rules = { minDelta: 0, warmupEpochs: 0 }, metric = dice) => {
    let state = initialPatience
    return values.map((value, epoch) => {
      state = countPatience(state, epoch, value, metric, rules)
      return state.epochs
    })
  }

  test.each([
    ['rising', [0.1, 0.2, 0.3], undefined, [0, 0, 0]],
    ['flat', [0.1, 0.1, 0.1], undefined, [0, 1, 2]],
    ['a late rise', [0.3, 0.2, 0.4, 0.4], undefined, [0, 1, 0, 1]],
    ['rises below minDelta add up', [0.3, 0.305, 0.309, 0.311], { minDelta: 0.01, warmupEpochs: 0 }, [0, 1, 2, 0]],
    ['no value', [0.3, Number.NaN, Number.NaN], undefined, [0, 1, 2]],
    ['the warm-up', [0.3, 0.1, 0.1, 0.1, 0.1], { minDelta: 0, warmupEpochs: 3 }, [0, 0, 0, 1, 2]],
  ])('%s', (_, values, rules, expected) => expect(count(values, rules)).toEqual(expected))

  test('of a loss counts falls', () => {
    expect(count([3, 2, 2.5, 1], { minDelta: 0, warmupEpochs: 0 }, { kind: 'val_loss' })).toEqual([0, 0, 1, 0])
  })

  test.each([
    [{ patience: null, divergenceLoss: null }, 1000, 5, null],
    [{ patience: 10, divergenceLoss: null }, 9, 5, null],
    [{ patience: 10, divergenceLoss: null }, 10, 5, 'plateau'],
    [{ patience: 10, divergenceLoss: 4 }, 10, 5, 'divergence'],
    [{ patience: null, divergenceLoss: 4 }, 0, 4, null],
    [{ patience: null, divergenceLoss: 4 }, 0, Number.NaN, null],
  ])('%o after %d epochs with a loss of %d: %s', (rules, epochs, loss, kind) => {
    expect(reasonToStop({ reference: 0.5, epochs }, loss, rules)?.kind ?? null).toBe(kind)
  })

  test.each([
    ['off', null],
    ['short', 10],
    ['medium', 30],
    ['long', 50],
    [7, 7],
    [null, null],
  ] as const)('the option %s is %s', (patience, expected) => {
    expect(optionsOf({ earlyStopping: { patience } }).earlyStopping.patience).toBe(expected)
  })
})

describe('steps that are not finite', () => {
  const rules = { mostInARow: 3, mostReloads: 2 }

  test('count in a row, across calls', () => {
    const first = countSkipped(initialNonFinite, [0, 1, 1])
    expect(nonFiniteDecision(first, rules)).toBe('go_on')
    expect(nonFiniteDecision(countSkipped(first, [1, 0]), rules)).toBe('go_on')
    expect(nonFiniteDecision(countSkipped(first, [1]), rules)).toBe('reload')
  })

  test('end the run after its reloads, counted where it fails again at the same place', () => {
    let state = initialNonFinite
    const decisions = [30, 31, 30].map((step) => {
      state = countSkipped(state, [1, 1, 1])
      const decision = nonFiniteDecision(state, rules)
      state = afterReload(state, step)
      // It finishes an epoch before the place where it fails.
      state = afterFiniteEpoch(state, 20)
      return decision
    })
    expect(decisions).toEqual(['reload', 'reload', 'end'])
    expect(state.redraws).toBe(3)
  })

  test('may happen anew further on', () => {
    const state = afterFiniteEpoch(afterReload(countSkipped(initialNonFinite, [1, 1, 1]), 30), 40)
    expect(state).toEqual({ inARow: 0, redraws: 1, reloads: 0, failedAt: 30 })
  })
})

describe('epoch', () => {
  const budget = { epochs: 3, stepsPerEpoch: 4, valSteps: 2 }
  const rules = rulesOf({ budget, checkpoint: { everyEpochs: 2, everyMinutes: 10 } })
  const clock = { seconds: 1, startedAt: 100 }
  const chunk = (losses: number[], skipped = losses.map(() => 0)) => ({
    steps: losses.length,
    loss: Float32Array.from(losses),
    skipped: Uint8Array.from(skipped),
    stepMs: Float32Array.from(losses, () => 250),
    dataMs: Float32Array.from(losses, () => 50),
  })
  const resources = {
    memory: { resident_bytes: 1, peak_resident_bytes: 2, device_bytes: null, peak_device_bytes: null },
    file_descriptors: 20,
    threads: 12,
  }
  const measures = (truePositives: number, minutesSinceSave = 0) => ({
    validation: {
      loss: Float32Array.of(0.5, 0.25),
      truePositives: Float64Array.of(truePositives),
      falsePositives: Float64Array.of(2),
      falseNegatives: Float64Array.of(0),
    },
    validationSeconds: 0.5,
    resources,
    minutesSinceSave,
  })
  /** Epochs of four steps with these true positives, until training ends. */
  const trainEpochs = (with_: PolicyRules, truePositives: number[]) => {
    let state: PolicyState = initialState
    const actions: string[][] = []
    for (const value of truePositives) {
      if (isTrained(state, with_)) break
      const steps = remainingSteps(state, planAhead(state, with_).budget)
      const next = afterEpoch(afterChunk(state, chunk(new Array(steps).fill(1)), clock), with_, measures(value))
      state = next.state
      actions.push(next.actions.map((action) => (action.type === 'save' ? action.checkpoint : action.type)))
    }
    return { state, actions }
  }

  test('sums do not depend on how the steps were cut', () => {
    const losses = [0.1, 0.2, 0.3, 0.7]
    const whole = afterChunk(initialState, chunk(losses), clock)
    const cut = [losses.slice(0, 1), losses.slice(1, 3), losses.slice(3)].reduce(
      (state, part) => afterChunk(state, chunk(part), clock),
      initialState,
    )
    expect(cut.partial.lossSum).toBe(whole.partial.lossSum)
    expect(cut.step).toBe(4)
    expect(remainingSteps(cut, rules.budget)).toBe(0)
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
      data_ms: { p50: 50, p95: 50 },
      skipped_steps: 0,
      ...resources,
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
    const state = { ...initialState, epoch, step: 4 * epoch }
    const { actions } = afterEpoch(afterChunk(state, chunk([1, 1, 1, 1]), clock), rules, measures(1, minutes))
    expect(actions.map((action) => action.type === 'save' && action.checkpoint)).toEqual(saved)
  })

  test('skipped steps are counted and left out of the mean loss', () => {
    const trained = afterChunk(initialState, chunk([1, Number.NaN, 2, 3], [0, 1, 0, 0]), clock)
    const { line } = afterEpoch(trained, rules, measures(1))
    expect(line).toMatchObject({ train_loss: 2, skipped_steps: 1 })
  })

  test('what is not finite becomes null in the line', () => {
    const trained = afterChunk(initialState, chunk([Number.NaN, Number.NaN], [1, 1]), clock)
    const nothing = { ...measures(0).validation, falsePositives: Float64Array.of(0) }
    const { line, actions } = afterEpoch(trained, rules, { ...measures(0), validation: nothing })
    expect(line).toMatchObject({ train_loss: null, dice_per_class: [null], mean_fg_dice: null, ema_fg_dice: null })
    expect(actions).toEqual([])
  })

  test('all are trained, and then no more', () => {
    const { state, actions } = trainEpochs(rules, [1, 2, 3, 4, 5])
    expect(actions).toEqual([['best'], ['best', 'latest'], ['best']])
    expect(state).toMatchObject({ epoch: 3, step: 12, stoppedEarly: false })
  })

  describe('of a run that no longer improves', () => {
    const input = { budget: { ...budget, epochs: 20 }, checkpoint: { everyEpochs: 2 } }

    test('ends it after its patience', () => {
      const { state, actions } = trainEpochs(
        rulesOf({ ...input, earlyStopping: { patience: 3 } }),
        new Array(20).fill(1),
      )
      expect(actions).toEqual([['best'], ['latest'], [], ['stop_early']])
      expect(state).toMatchObject({ epoch: 4, step: 16, stoppedEarly: true })
      expect(isTrained(reopened(state), rulesOf(input))).toBe(false)
      expect(reopened(state).patience).toEqual(initialPatience)
    })

    test('anneals first: the rate goes straight down to 0, and the run ends there', () => {
      const annealing = rulesOf({ ...input, earlyStopping: { patience: 2, onPlateau: 'anneal', annealSteps: 6 } })
      const { state, actions } = trainEpochs(annealing, new Array(20).fill(1))
      expect(actions).toEqual([['best'], ['latest'], ['anneal'], ['latest'], ['stop_early']])
      expect(state).toMatchObject({ epoch: 5, step: 12 + 6, stoppedEarly: true, annealing: { from: 12, steps: 6 } })
      const { schedule } = planAhead(state, annealing)
      const before = learningRate(annealing.schedule, 11)
      const rates = [12, 13, 14, 15, 16, 17].map((step) => learningRate(schedule, step))
      for (const [i, rate] of rates.entries()) expect(rate).toBeCloseTo(before * (1 - (i + 1) / 6), 15)
      expect(learningRate(schedule, 11)).toBe(before)
    })

    test('or diverges, ends it at once', () => {
      const diverging = rulesOf({ ...input, earlyStopping: { divergenceLoss: 0.9, onPlateau: 'anneal' } })
      expect(trainEpochs(diverging, [1, 1, 1]).actions).toEqual([['best', 'stop_early']])
    })
  })
})
