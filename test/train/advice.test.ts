// Advice on longer training: synthetic curves with known truth, rates of false alarm, and curves of real runs.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parseOptions, trainOptionsSchema } from '../../src/config/schema.js'
import { type Advice, advise, type CurvePoint, type Training, trainingOf } from '../../src/train/advice.js'
import { seededNoise, seededUniform } from './curves/noise.js'

// nnU-Net's formula by itself, so that what the code makes of it is compared with something else.
const rateOf = (totalSteps: number, step: number) => 0.01 * (1 - step / totalSteps) ** 0.9
const plainTraining = (epochs: number, stepsPerEpoch = 250, isEnded = true): Training => ({
  totalSteps: epochs * stepsPerEpoch,
  stepsPerEpoch,
  initialLr: 0.01,
  isEnded,
  rate: (step) => rateOf(epochs * stepsPerEpoch, step),
  stretchedRate: rateOf,
})

function curveOf(dice: (number | null)[], training = plainTraining(dice.length)): CurvePoint[] {
  return dice.map((value, epoch) => ({
    epoch,
    step: (epoch + 1) * training.stepsPerEpoch,
    lr: training.rate(epoch * training.stepsPerEpoch),
    mean_fg_dice: value,
    ema_fg_dice: value,
    val_loss: value === null ? null : -value,
  }))
}

const judge = (dice: (number | null)[]) => advise(curveOf(dice), plainTraining(dice.length))
/** A curve over the number of epochs trained. */
const drawn = (count: number, curve: (epochs: number) => number, noise: number[] = []) =>
  Array.from({ length: count }, (_, i) => curve(i + 1) + (noise[i] ?? 0))
/** Share of verdicts among noisy versions of a curve. */
function share(
  verdict: Advice['verdict'],
  count: number,
  correlation: number,
  curves: number,
  curve = (_: number) => 0.85,
) {
  const noise = seededNoise(17)
  const verdicts = Array.from(
    { length: curves },
    () => judge(drawn(count, curve, noise(count, correlation, 0.01))).verdict,
  )
  return verdicts.filter((found) => found === verdict).length / curves
}

describe('false alarms on 1,000 flat curves stay within 7 %', () => {
  const settings = [20, 40, 100].flatMap((epochs) => [0, 0.3, 0.6].map((correlation) => [epochs, correlation] as const))
  test.each([...settings, [100, 0.8] as const])('%i epochs, correlation %f', (epochs, correlation) => {
    expect(share('rising', epochs, correlation, 1000)).toBeLessThanOrEqual(0.07)
  })
})

test('a fall is as rarely seen in flat curves', () => {
  expect(share('falling', 20, 0.3, 1000)).toBeLessThanOrEqual(0.07)
  expect(share('falling', 100, 0.3, 1000)).toBeLessThanOrEqual(0.07)
})

describe('a rise is seen where it exceeds the scatter of 0.01', () => {
  // Dice gained over the later half of the run, and the least share of curves in which it must be seen.
  test.each([
    [20, 0.1, 0.9],
    [50, 0.06, 0.9],
    [200, 0.02, 0.95],
    [1000, 0.01, 0.95],
  ])('%i epochs, %f', (epochs, rise, least) => {
    expect(share('rising', epochs, 0.3, 100, (t) => 0.8 + rise * Math.log2(t / epochs))).toBeGreaterThanOrEqual(least)
  })
})

describe('the 90 % interval covers what curves of the family really gain', () => {
  const exponents = [0, 0.5, 1, 2]
  const settings = [
    [30, 0.3],
    [100, 0.3],
    [200, 0.6],
  ] as const
  test.each(settings.flatMap((setting) => exponents.map((alpha) => [...setting, alpha] as const)))(
    '%i epochs, correlation %f, exponent %f',
    (epochs, correlation, alpha) => {
      const curves = 300
      const noise = seededNoise(23)
      const uniform = seededUniform(29)
      const shape = (t: number) => (alpha === 0 ? Math.log(t) : -(t ** -alpha))
      let covered = 0
      for (let i = 0; i < curves; i++) {
        const scale = (0.03 * uniform()) / (shape(epochs) - shape(epochs / 2))
        const curve = (t: number) => 0.7 + scale * (shape(t) - shape(epochs))
        const { forecasts } = judge(drawn(epochs, curve, noise(epochs, correlation, 0.01)))
        const { lower, upper } = forecasts[1] as Advice['forecasts'][0]
        const gain = curve(epochs + 500) - curve(epochs)
        if (lower <= gain && gain <= upper) covered++
      }
      // Three standard errors of a share of 0.9.
      expect(covered / curves).toBeGreaterThan(0.9 - 3 * Math.sqrt((0.9 * 0.1) / curves))
    },
  )
})

describe('curves without noise', () => {
  test('equal gains for every doubling are extrapolated as such', () => {
    const { verdict, dice, forecasts } = judge(drawn(500, (t) => 0.5 + 0.02 * Math.log2(t)))
    expect(verdict).toBe('rising')
    expect(dice?.perDoubling).toBeCloseTo(0.02, 10)
    expect(dice?.level).toBeCloseTo(0.5 + 0.02 * Math.log2(500), 10)
    expect(forecasts.map(({ furtherEpochs }) => furtherEpochs)).toEqual([250, 500, 1000])
    expect(forecasts[1]?.high).toBeCloseTo(0.02, 10)
    expect(forecasts[1]?.upper).toBeCloseTo(0.02, 6)
  })

  test('the lower estimate is exact for a curve that saturates so', () => {
    const curve = (t: number) => 0.8 - 200 / t ** 2
    const { verdict, forecasts } = judge(drawn(100, curve))
    expect(verdict).toBe('rising')
    for (const { furtherEpochs, low, high } of forecasts) {
      expect(high).toBeGreaterThan(low)
      expect(low / (curve(100 + furtherEpochs) - curve(100))).toBeCloseTo(1, 1)
    }
  })

  test('no forecast leaves the range of a Dice', () => {
    const { dice, forecasts } = judge(drawn(30, (t) => t / 31))
    for (const { upper } of forecasts) expect((dice?.level ?? 0) + upper).toBeLessThanOrEqual(1 + 1e-12)
    const falling = judge(drawn(30, (t) => 1 - t / 31))
    for (const { lower } of falling.forecasts) {
      expect((falling.dice?.level ?? 0) + lower).toBeGreaterThanOrEqual(-1e-12)
    }
  })

  test('a constant curve is level, and nothing is expected of it', () => {
    const { verdict, forecasts } = judge(drawn(40, () => 0.3))
    expect(verdict).toBe('level')
    for (const { lower, upper } of forecasts) expect(Math.max(-lower, upper)).toBeLessThan(1e-9)
  })
})

test('a curve that has leveled off within the later half is judged by what came then', () => {
  const noise = seededNoise(31)
  const curve = (t: number) => 0.85 * (1 - Math.exp(-Math.max(0, t) / 60))
  const { verdict, dice } = judge(drawn(1000, curve, noise(1000, 0.3, 0.005)))
  expect(verdict).toBe('level')
  expect(dice?.level).toBeCloseTo(0.85, 2)
  const bent = judge(drawn(400, (t) => (t < 250 ? 0.5 + t / 1000 : 0.75), noise(400, 0.3, 0.005)))
  expect(bent.dice?.firstEpoch).toBeGreaterThan(200)
})

test('a falling curve is not to be trained longer, and the best epoch is named', () => {
  const noise = seededNoise(37)
  const { verdict, best, lines, validationLoss } = judge(
    drawn(200, (t) => 0.8 - ((t - 60) / 500) ** 2, noise(200, 0.3, 0.003)),
  )
  expect(verdict).toBe('falling')
  expect(validationLoss?.direction).toBe('rising')
  expect(Math.abs((best?.epoch ?? 0) - 60)).toBeLessThan(40)
  const text = lines.join('\n')
  expect(text).toContain('the network overfits')
  expect(text).toContain(`in epoch ${(best?.epoch ?? 0) + 1}; checkpoint_best`)
  expect(text).toContain('not advised')
  expect(text).not.toContain('recommended')
})

test('a rising loss beside a Dice that holds is told apart from overfitting', () => {
  const noise = seededNoise(42)
  const curve = curveOf(drawn(100, () => 0.8, noise(100, 0, 0.005))).map((line) => ({
    ...line,
    val_loss: line.epoch / 100,
  }))
  const { verdict, lines } = advise(curve, plainTraining(100))
  expect(verdict).toBe('level')
  expect(lines.join('\n')).toContain('surer of its errors')
})

describe('epochs without a Dice', () => {
  const noise = seededNoise(43)(60, 0.3, 0.005)
  const full = drawn(60, (t) => 0.7 + 0.05 * Math.log2(t / 60), noise)

  test.each([null, Number.NaN])('%s in the curve are left out, and the others keep their time', (missing) => {
    const gappy = full.map((value, epoch) => (epoch % 7 === 3 || epoch === 59 ? missing : value))
    const advice = judge(gappy)
    expect(advice).toMatchObject({ verdict: 'rising', epochs: 60, judged: gappy.filter((value) => value).length })
    expect(advice.dice?.perDoubling).toBeCloseTo(0.05, 1)
    expect(JSON.stringify(advice)).not.toContain('NaN')
  })

  test('too few are not judged', () => {
    const tooFew = full.map((value, epoch) => (epoch < 41 ? null : value))
    const advice = judge(tooFew)
    expect(advice).toMatchObject({ verdict: 'too_few', judged: 19, dice: null, validationLoss: null, forecasts: [] })
    expect(advice.lines[0]).toBe('Too few epochs to judge: 19 with a Dice, 20 are needed.')
    expect(judge(full.map((value, epoch) => (epoch < 40 ? null : value))).verdict).not.toBe('too_few')
  })

  test('none at all', () => {
    const advice = advise([], plainTraining(1000, 250, false))
    expect(advice).toMatchObject({
      verdict: 'too_few',
      epochs: 0,
      judged: 0,
      best: null,
      epochsLeft: 1000,
      rateNow: 0.01,
    })
  })
})

describe('learning rates of longer runs', () => {
  const rising = drawn(1000, (t) => 0.8 + 0.02 * Math.log2(t / 1000))

  test("after 1000 epochs of 250 steps they are those of nnU-Net's formula", () => {
    const { rateNow, lastRate, restartRate, longer, epochsLeft } = judge(rising)
    expect(epochsLeft).toBe(0)
    expect(rateNow).toBe(lastRate)
    expect(lastRate / 1.3867e-7).toBeCloseTo(1, 3)
    const [, , double] = longer
    expect(double).toMatchObject({ furtherEpochs: 1000, epochs: 2000, steps: 500_000 })
    expect(restartRate).toBe(0.01)
    // 0.01 * (1 / 2) ^ 0.9
    expect(double?.stretchRate).toBeCloseTo(0.0053588673, 9)
  })

  test('before the end of the schedule the jump is smaller, and letting it end comes first', () => {
    const training = plainTraining(1000, 250, false)
    const advice = advise(curveOf(rising, training).slice(0, 600), training)
    expect(advice).toMatchObject({ epochs: 600, epochsLeft: 400 })
    expect(advice.rateNow).toBeCloseTo(0.01 * 0.4 ** 0.9, 6)
    expect(advice.longer[2]?.stretchRate).toBeCloseTo(0.01 * 0.7 ** 0.9, 12)
    expect(advice.lastRate).toBeLessThan(2e-7)
    const text = advice.lines.join('\n')
    expect(text).toContain('The run has 400 epochs left: let it end first')
    expect(text).toContain('restart: goes from 1.4e-7 to 0.01 after its end')
  })

  test('a run that was stopped early for good is made longer from there', () => {
    const training = plainTraining(1000)
    const advice = advise(curveOf(rising, training).slice(0, 600), training)
    expect(advice).toMatchObject({ epochsLeft: 0, longer: [{ epochs: 850 }, { epochs: 1100 }, { epochs: 1600 }] })
    expect(advice.lastRate).toBe(advice.rateNow)
    expect(advice.longer[2]?.stretchRate).toBeCloseTo(0.01 * (1000 / 1600) ** 0.9, 12)
  })

  test('epochs before keep the size that they had', () => {
    const training = { ...plainTraining(1000, 250, false), stepsPerEpoch: 500 }
    const advice = advise(curveOf(rising, plainTraining(1000)).slice(0, 600), training)
    expect(advice).toMatchObject({ epochs: 600, epochsLeft: 200, longer: [{ epochs: 1050, steps: 375_000 }, {}, {}] })
  })

  test('from the options of a run they are the same, and an extension counts until the run is stretched', () => {
    const parse = (extensions: { kind: 'continue' | 'restart'; from: number }[], epochs: number) => {
      const input = { dataset: '4', configuration: '2d', fold: 0, budget: { epochs }, schedule: { extensions } }
      return parseOptions(trainOptionsSchema, input, 'options of train')
    }
    const rates = ({ rateNow, lastRate, restartRate, longer }: Advice) => ({ rateNow, lastRate, restartRate, longer })
    const curve = curveOf(rising)
    expect(rates(advise(curve, trainingOf(parse([], 1000), true)))).toEqual(rates(judge(rising)))
    const held = advise(curve.slice(0, 900), trainingOf(parse([{ kind: 'continue', from: 125_000 }], 1000), false))
    expect(held.rateNow).toBe(rateOf(125_000, 124_999))
    expect(held.lastRate).toBe(held.rateNow)
    expect(held.longer[0]?.stretchRate).toBe(rateOf(312_500, 225_000))
  })

  test('the text gives both ends of each jump', () => {
    const text = judge(rising).lines.join('\n')
    expect(text).toContain('N = 1250, 1500, 2000 epochs')
    expect(text).toContain('stretch; the rate goes from 1.4e-7 to 0.00235, 0.00372, 0.00536')
    expect(text).toContain('--schedule restart: goes from 1.4e-7 to 0.01')
    expect(text).toContain('--schedule continue: holds 1.4e-7; little is learned')
  })

  test('the table of docs/longer-training.md follows the same formula', () => {
    const page = readFileSync(new URL('../../docs/longer-training.md', import.meta.url), 'utf8')
    const rows = [...page.matchAll(/^\| (\d+) \|(.*)\|$/gm)]
    expect(rows.length).toBeGreaterThan(5)
    for (const [, epoch, cells] of rows) {
      const step = (Number(epoch) - 1) * 250
      const further = step - 250_000
      const old = further < 0 ? rateOf(250_000, step) : null
      const expected = [
        rateOf(500_000, step),
        old ?? rateOf(250_000, 249_999),
        old ?? rateOf(500_000, step),
        old ?? rateOf(250_000, further),
      ]
      const found = (cells as string).split('|').map(Number)
      // Three digits are shown, or two.
      for (const [i, value] of expected.entries()) {
        expect(Math.abs((found[i] as number) / value - 1), `epoch ${epoch}, column ${i}`).toBeLessThan(0.04)
      }
    }
  })
})

describe('curves of real runs: 20 epochs of 100 steps, 3d_fullres, tiny preset', () => {
  const training = plainTraining(20, 100)
  const read = (name: string) =>
    readFileSync(new URL(`./curves/${name}.jsonl`, import.meta.url), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as CurvePoint)

  test.each(['hippocampus_tiny_seed_1', 'hippocampus_tiny_seed_2'])('%s still rises', (name) => {
    const advice = advise(read(name), training)
    expect(advice).toMatchObject({
      verdict: 'rising',
      epochs: 20,
      epochsLeft: 0,
      dice: { firstEpoch: 10, lastEpoch: 19 },
    })
    expect(advice.validationLoss?.direction).toBe('falling')
    expect(advice.dice?.lower).toBeGreaterThan(0.01)
    expect(advice.lines.join('\n')).toContain('far beyond the run')
  })

  test('cut to 14 epochs there are too few', () => {
    expect(advise(read('hippocampus_tiny_seed_1').slice(0, 14), training).verdict).toBe('too_few')
  })
})

test('lines are ASCII and have at most 100 characters', () => {
  const noise = seededNoise(47)
  const uniform = seededUniform(53)
  for (let i = 0; i < 200; i++) {
    const epochs = Math.ceil(2000 * uniform() ** 3)
    const total = Math.ceil(epochs * (1 + 20 * uniform()))
    const training = plainTraining(total, 1 + Math.floor(1000 * uniform()), i % 3 === 0)
    const slope = 0.4 * (uniform() - 0.5)
    const dice = drawn(epochs, (t) => 0.5 + slope * Math.log2(t / epochs), noise(epochs, 0.3, 0.1 * uniform()))
    for (const line of advise(curveOf(dice, training), training).lines) {
      expect(line.length, line).toBeLessThanOrEqual(100)
      expect(line).toMatch(/^[ -~]+$/)
    }
  }
})
