// The learning rate: nnU-Net's decay by step and by epoch, and the three ways of making a run longer.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { type TrainInput, trainOptionsSchema } from '../../src/config/schema.js'
import { resolveBudget } from '../../src/train/budget.js'
import { extend } from '../../src/train/extend.js'
import { firstStepAtMost, learningRate, learningRates, resolveSchedule } from '../../src/train/schedule.js'

const goldens = JSON.parse(readFileSync(new URL('../goldens/training_rules.json', import.meta.url), 'utf8')) as {
  rates: Record<'poly' | 'cosine' | 'warmup', number[]>
}
const optionsOf = (input: Partial<TrainInput>) =>
  trainOptionsSchema.parse({ dataset: 1, configuration: '3d_fullres', fold: 0, ...input })
type Options = ReturnType<typeof optionsOf>
const scheduleOf = (options: Options) => resolveSchedule(options, resolveBudget(options.budget))
const poly = (step: number, total: number) => 0.01 * (1 - step / total) ** 0.9

describe('learning rate', () => {
  test.each([
    ['poly', {}],
    ['cosine', { kind: 'cosine' }],
    ['warmup', { warmupSteps: 5 * 250 }],
  ] as const)("by epoch, %s is nnU-Net's", (name, schedule) => {
    const found = scheduleOf(optionsOf({ budget: { epochs: 20 }, schedule: { ...schedule, granularity: 'epoch' } }))
    goldens.rates[name].forEach((rate, epoch) => {
      // One part in 10^15: powers and cosines may differ in the last bit between mathematical libraries.
      expect(Math.abs(learningRate(found, epoch * 250) / rate - 1)).toBeLessThan(1e-15)
      expect(learningRate(found, epoch * 250 + 249)).toBe(learningRate(found, epoch * 250))
    })
  })

  test.each([
    ['poly', [0.002, 0.004, 0.006, 0.008, 0.01, 0.01, 0.01 * 0.8 ** 0.9, 0.01 * 0.6 ** 0.9]],
    ['cosine', [0.002, 0.004, 0.006, 0.008, 0.01, 0.01, 0.005 * (1 + Math.cos(Math.PI / 5))]],
    ['constant', [0.002, 0.004, 0.006, 0.008, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01]],
  ] as const)('by step, %s follows a warm-up', (kind, expected) => {
    const schedule = scheduleOf(optionsOf({ budget: { steps: 10 }, schedule: { kind, warmupSteps: 5 } }))
    expect(schedule.parts.map(({ kind }) => kind)).toEqual(['warmup', kind])
    expected.forEach((rate, step) => {
      expect(learningRate(schedule, step)).toBeCloseTo(rate, 15)
    })
  })

  test('a warm-up without a step behind it is refused', () => {
    const options = optionsOf({ budget: { steps: 10 }, schedule: { warmupSteps: 10 } })
    expect(() => scheduleOf(options)).toThrow(
      /^schedule.warmupSteps: expected less than the 10 steps of the run, found 10$/,
    )
  })

  test('by step it does not depend on the epoch size', () => {
    const rates = (stepsPerEpoch: number) =>
      learningRates(scheduleOf(optionsOf({ budget: { steps: 1000, stepsPerEpoch } })), 0, 1000)
    expect(rates(250)).toEqual(rates(50))
    expect(rates(50)[500]).toBeCloseTo(poly(500, 1000), 15)
  })

  test('the first step at or below a bound', () => {
    const schedule = scheduleOf(optionsOf({ budget: { steps: 50_000 } }))
    const step = firstStepAtMost(schedule, 1e-5) as number
    expect(learningRate(schedule, step)).toBeLessThanOrEqual(1e-5)
    expect(learningRate(schedule, step - 1)).toBeGreaterThan(1e-5)
    expect(firstStepAtMost(scheduleOf(optionsOf({ budget: { steps: 10 } })), 1e-5)).toBeNull()
    expect(firstStepAtMost(schedule, 1)).toBe(0)
  })
})

describe('a longer run', () => {
  const started = optionsOf({ budget: { epochs: 10, stepsPerEpoch: 10 } })
  const finished = { epoch: 10, step: 100, partial: { steps: 0 } }
  const running = { epoch: 4, step: 43, partial: { steps: 3 } }
  const extended = (
    position: typeof finished,
    changes: Parameters<typeof extend>[3],
    isEnded = position.step === 100,
  ) => extend(started, position, isEnded, changes)

  test.each([
    ['stretch', (step: number) => poly(step, 200)],
    ['continue', (step: number) => poly(Math.min(step, 99), 100)],
    ['restart', (step: number) => (step < 100 ? poly(step, 100) : poly(step - 100, 100))],
  ] as const)('by %s', (kind, expected) => {
    for (const position of [finished, running]) {
      const { options, isLonger } = extended(position, { budget: { epochs: 20 }, schedule: kind })
      expect(isLonger).toBe(true)
      expect(options.budget).toMatchObject({ epochs: 20, stepsPerEpoch: 10 })
      for (const step of [0, 43, 99, 100, 150, 199]) {
        expect(learningRate(scheduleOf(options), step)).toBeCloseTo(expected(step), 15)
      }
    }
  })

  test('stretches without being told how', () => {
    expect(extended(finished, { budget: { steps: 150 } }).options.schedule.extensions).toEqual([])
  })

  test('keeps its kind, and warms up once', () => {
    const options = optionsOf({
      budget: { epochs: 10, stepsPerEpoch: 10 },
      schedule: { kind: 'cosine', warmupSteps: 20 },
    })
    const cosine = (done: number, length: number) => 0.005 * (1 + Math.cos((Math.PI * done) / length))
    const rate = (schedule: 'stretch' | 'restart', step: number) =>
      learningRate(scheduleOf(extend(options, finished, true, { budget: { epochs: 20 }, schedule }).options), step)
    expect(rate('stretch', 10)).toBeCloseTo(0.0055, 15)
    expect(rate('stretch', 110)).toBeCloseTo(cosine(90, 180), 15)
    expect(rate('restart', 60)).toBeCloseTo(cosine(40, 80), 15)
    expect(rate('restart', 100)).toBe(0.01)
    expect(rate('restart', 150)).toBeCloseTo(cosine(50, 100), 15)
  })

  test('twice: each way where it was taken', () => {
    const once = extended(finished, { budget: { epochs: 20 }, schedule: 'restart' }).options
    const at = { epoch: 20, step: 200, partial: { steps: 0 } }
    const twice = extend(once, at, true, { budget: { epochs: 30 }, schedule: 'continue' }).options
    const schedule = scheduleOf(twice)
    expect(learningRate(schedule, 150)).toBeCloseTo(poly(50, 100), 15)
    expect(learningRate(schedule, 299)).toBeCloseTo(poly(99, 100), 15)
    // One decay over everything again.
    const stretched = extend(twice, at, true, { budget: { epochs: 40 }, schedule: 'stretch' }).options
    expect(learningRate(scheduleOf(stretched), 150)).toBeCloseTo(poly(150, 400), 15)
  })

  test('after early stopping goes on from there', () => {
    const stopped = { epoch: 6, step: 60, partial: { steps: 0 } }
    const { options, isLonger } = extend(started, stopped, true, { budget: { epochs: 16 }, schedule: 'restart' })
    expect(isLonger).toBe(true)
    expect(learningRate(scheduleOf(options), 59)).toBeCloseTo(poly(59, 60), 15)
    expect(learningRate(scheduleOf(options), 60)).toBe(0.01)
    expect(learningRate(scheduleOf(options), 110)).toBeCloseTo(poly(50, 100), 15)
  })

  test('with epochs of another size counts those before as they were', () => {
    const { options } = extended(running, { budget: { epochs: 8, stepsPerEpoch: 20 } })
    // 4 epochs of 10, then 4 of 20.
    expect(resolveBudget(options.budget)).toMatchObject({ totalSteps: 120, stepsPerEpoch: 20 })
    const recut = extended(running, { budget: { stepsPerEpoch: 20 } })
    expect(resolveBudget(recut.options.budget)).toMatchObject({ totalSteps: 100, stepsPerEpoch: 20 })
    expect(recut.isLonger).toBe(false)
  })

  test('may become shorter, but not shorter than what is done', () => {
    expect(resolveBudget(extended(running, { budget: { epochs: 5 } }).options.budget).totalSteps).toBe(50)
    for (const [position, epochs] of [
      [running, 4],
      [finished, 10],
      [finished, 3],
    ] as const) {
      expect(() => extended(position, { budget: { epochs } })).toThrow(/expected a total of more than the/)
    }
  })

  test('needs a length for its schedule', () => {
    expect(() => extended(finished, { budget: {}, schedule: 'restart' })).toThrow(/Give --epochs or --steps/)
  })

  test('without a new length is the run as it was', () => {
    const { options, isLonger } = extended(finished, { budget: {}, schedule: undefined })
    expect(options).toEqual(started)
    expect(isLonger).toBe(false)
  })
})
