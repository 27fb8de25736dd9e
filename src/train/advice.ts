// Whether a run's Dice still rises, what further epochs would bring, and what each way of training longer means.
import type { TrainOptions } from '../config/schema.js'
import { formatFixed, formatRate } from '../report/format.js'
import { resolveBudget } from './budget.js'
import type { EpochCurve } from './events.js'
import { learningRate, resolveSchedule } from './schedule.js'
import { direction, fitLine, flattens, type Series, slopeMargin } from './trend.js'

/** What is needed of an epoch. */
export type CurvePoint = Pick<EpochCurve, 'epoch' | 'step' | 'lr' | 'mean_fg_dice' | 'ema_fg_dice' | 'val_loss'>

/** The schedule of a run as it is, and as `stretch` would make it. */
export interface Training {
  totalSteps: number
  stepsPerEpoch: number
  initialLr: number
  /** All steps are done, or it was stopped early for good. */
  isEnded: boolean
  /** Learning rate of a step, counted from 0. */
  rate(step: number): number
  /** The same under one decay over another number of steps. */
  stretchedRate(totalSteps: number, step: number): number
}

/** The schedule that a run's options give. */
export function trainingOf(
  options: Pick<TrainOptions, 'budget' | 'optimizer' | 'schedule'>,
  isEnded: boolean,
): Training {
  const budget = resolveBudget(options.budget)
  const { initialLr } = options.optimizer
  const schedule = resolveSchedule(options, budget)
  const single = { ...options, schedule: { ...options.schedule, extensions: [] } }
  return {
    ...budget,
    initialLr,
    isEnded,
    rate: (step) => learningRate(schedule, step),
    stretchedRate: (totalSteps, step) => learningRate(resolveSchedule(single, { ...budget, totalSteps }), step),
  }
}

/** Change over the last part of a run, for a doubling of the number of epochs. */
export interface Trend {
  /** First and last epoch of that part (from 0), and how many of its epochs have a value. */
  firstEpoch: number
  lastEpoch: number
  values: number
  perDoubling: number
  /** 90 % interval of perDoubling. */
  lower: number
  upper: number
  /** Where the trend lies at the last epoch. */
  level: number
  /** Standard deviation of a single epoch around the trend. */
  scatter: number
  /** Between neighboring epochs, as assumed for the interval. */
  autocorrelation: number
  direction: 'rising' | 'level' | 'falling'
}

/** Dice that further epochs would add to the trend's level if the trend went on. */
export interface Forecast {
  furtherEpochs: number
  /** By the two curves, the one that saturates and the one that does not; low <= high. */
  low: number
  high: number
  /** Both curves with the 90 % interval of their slope. */
  lower: number
  upper: number
}

/** A run that is made longer by `furtherEpochs` beyond its end. */
export interface LongerRun {
  furtherEpochs: number
  /** In all. */
  epochs: number
  steps: number
  /** Learning rate of the next step if the run goes on as it is now with `stretch`. */
  stretchRate: number
}

export interface Advice {
  verdict: 'too_few' | Trend['direction']
  /** Epochs done, and those of them that have a Dice. */
  epochs: number
  judged: number
  /** Epochs that the run has left; 0 after its end. */
  epochsLeft: number
  /** Of mean Dice and of the validation loss; null where there are too few epochs to judge. */
  dice: Trend | null
  validationLoss: Trend | null
  /** Where the moving average of the Dice was highest. */
  best: { epoch: number; emaDice: number } | null
  forecasts: Forecast[]
  /** Learning rates: of the last step done; of the run's last step, which `continue` holds; after it with `restart`. */
  rateNow: number
  lastRate: number
  restartRate: number
  longer: LongerRun[]
  /** All of it for people: lines of at most 100 characters. */
  lines: string[]
}

/** Fewer epochs with a Dice are not judged. */
export const fewestEpochs = 20

const horizons = [250, 500, 1000]
/** A part of the run is not shortened any more below this number of values. */
const shortestPart = 10

/**
 * Two curves of the family level - a * epochs ^ -alpha, common for learning curves (pow3 of Domhan et al. 2015). With
 * alpha -> 0 every doubling adds the same: the upper estimate. With alpha = 2 a doubling adds a quarter of the one before:
 * the lower one, steeper than usual, because the falling learning rate makes the late part of a run look better.
 */
const logarithmic = Math.log2
const saturating = (epochs: number) => -1 / epochs ** 2

/**
 * Judges a run by its curve.
 *
 * The trend is a straight line through mean Dice over log2(epoch), fitted to the later half of the epochs; where these
 * flatten, to the later two thirds of them, and so on down to ten. "rising" means that the slope is above 0 at the 5 %
 * level with autocorrelated noise allowed for (trend.ts). The forecast extrapolates that line as the upper estimate, and
 * level - a / epoch^2, fitted to the same epochs, as the lower one. docs/longer-training.md says how far that holds.
 *
 * @param curve epoch lines in order; those without a Dice are left out
 */
export function advise(curve: readonly CurvePoint[], training: Training): Advice {
  const dice = seriesOf(curve, 'mean_fg_dice')
  const judged = dice.values.length
  const part = judged < fewestEpochs ? null : latePart(dice)
  const trend = part && trendOf(part)
  const last = curve.at(-1)
  const epochs = last === undefined ? 0 : last.epoch + 1
  const step = last?.step ?? 0
  const lastStep = training.isEnded ? step : training.totalSteps
  const epochsFrom = (steps: number) => Math.max(0, Math.ceil((steps - step) / training.stepsPerEpoch))
  const advice = {
    verdict: trend?.direction ?? 'too_few',
    epochs,
    judged,
    epochsLeft: epochsFrom(lastStep),
    dice: trend,
    validationLoss: part && lossTrend(curve, part),
    best: bestOf(curve),
    forecasts: part && trend ? horizons.map((further) => forecast(part, trend.level, further)) : [],
    rateNow: training.rate(Math.max(0, step - 1)),
    lastRate: training.rate(Math.max(0, lastStep - 1)),
    restartRate: training.initialLr,
    longer: horizons.map((furtherEpochs) => {
      const steps = lastStep + furtherEpochs * training.stepsPerEpoch
      return {
        furtherEpochs,
        epochs: epochs + epochsFrom(steps),
        steps,
        stretchRate: training.stretchedRate(steps, step),
      }
    }),
  } satisfies Omit<Advice, 'lines'>
  return { ...advice, lines: describe(advice, rateAtStart(curve, trend)) }
}

/** Finite values of a column; the time is the number of epochs trained. */
function seriesOf(curve: readonly CurvePoint[], column: 'mean_fg_dice' | 'val_loss'): Series {
  const known = curve.filter((line) => line[column] !== null && Number.isFinite(line[column]))
  return { times: known.map((line) => line.epoch + 1), values: known.map((line) => line[column] as number) }
}

function latePart(dice: Series): Series {
  let part = tail(dice, Math.ceil(dice.values.length / 2))
  for (;;) {
    const shorter = Math.ceil((part.values.length * 2) / 3)
    if (shorter < shortestPart || !flattens(part, logarithmic)) return part
    part = tail(part, shorter)
  }
}

function tail({ times, values }: Series, count: number): Series {
  return { times: times.slice(-count), values: values.slice(-count) }
}

function trendOf(part: Series): Trend {
  const line = fitLine(part, logarithmic)
  const margin = slopeMargin(line)
  return {
    firstEpoch: (part.times[0] as number) - 1,
    lastEpoch: (part.times.at(-1) as number) - 1,
    values: part.values.length,
    perDoubling: line.slope,
    lower: line.slope - margin,
    upper: line.slope + margin,
    level: line.level,
    scatter: line.scatter,
    autocorrelation: line.autocorrelation,
    direction: (['falling', 'level', 'rising'] as const)[direction(line) + 1] as Trend['direction'],
  }
}

/** Over the same epochs as the Dice. */
function lossTrend(curve: readonly CurvePoint[], part: Series): Trend | null {
  const loss = seriesOf(
    curve.filter((line) => line.epoch + 1 >= (part.times[0] as number)),
    'val_loss',
  )
  return loss.values.length < fewestEpochs / 2 ? null : trendOf(loss)
}

function forecast(part: Series, level: number, furtherEpochs: number): Forecast {
  const now = part.times.at(-1) as number
  const gains = [saturating, logarithmic].map((regressor) => {
    const line = fitLine(part, regressor)
    const change = regressor(now + furtherEpochs) - regressor(now)
    const bounded = (slope: number) => Math.min(Math.max(slope * change, -level), 1 - level)
    const margin = slopeMargin(line)
    return { likely: bounded(line.slope), lower: bounded(line.slope - margin), upper: bounded(line.slope + margin) }
  })
  return {
    furtherEpochs,
    low: Math.min(...gains.map((gain) => gain.likely)),
    high: Math.max(...gains.map((gain) => gain.likely)),
    lower: Math.min(...gains.map((gain) => gain.lower)),
    upper: Math.max(...gains.map((gain) => gain.upper)),
  }
}

function bestOf(curve: readonly CurvePoint[]): Advice['best'] {
  let best: Advice['best'] = null
  for (const { epoch, ema_fg_dice: emaDice } of curve) {
    if (emaDice !== null && Number.isFinite(emaDice) && emaDice > (best?.emaDice ?? -1)) best = { epoch, emaDice }
  }
  return best
}

function rateAtStart(curve: readonly CurvePoint[], trend: Trend | null): number | null {
  return curve.find((line) => line.epoch === trend?.firstEpoch)?.lr ?? null
}

type Findings = Omit<Advice, 'lines'>

function describe(advice: Findings, firstRate: number | null): string[] {
  return [...describeTrend(advice), ...describeForecast(advice, firstRate), ...describeWays(advice)]
}

const verdicts = {
  rising: 'The Dice still rises.',
  level: 'No rise can be told from the noise.',
  falling: 'The Dice falls.',
}

function describeTrend({ dice, judged, validationLoss, best }: Findings): string[] {
  if (!dice) return [`Too few epochs to judge: ${judged} with a Dice, ${fewestEpochs} are needed.`]
  const ending = `It ends at ${formatFixed(dice.level, 4)}; single epochs scatter by ${formatFixed(dice.scatter, 4)}.`
  const lines = [
    `${verdicts[dice.direction]} ${ending}`,
    `Epochs ${dice.firstEpoch + 1} to ${dice.lastEpoch + 1}: ${change('mean Dice', dice)}`,
  ]
  if (validationLoss) lines.push(change('Validation loss', validationLoss))
  if (validationLoss?.direction === 'rising') {
    lines.push(
      dice.direction === 'falling'
        ? 'Both get worse: the network overfits.'
        : 'A rising loss beside a Dice that holds: the network grows surer of its errors.',
    )
  }
  if (dice.direction === 'falling' && best) {
    const average = `${formatFixed(best.emaDice, 4)} in epoch ${best.epoch + 1}`
    lines.push(`The best moving average was ${average}; checkpoint_best is likely the better model.`)
  }
  return lines
}

function change(what: string, trend: Trend): string {
  const verb = { rising: 'rises', level: 'holds', falling: 'falls' }[trend.direction]
  return `${what} ${verb}: ${signed(trend.perDoubling)} per doubling (90 % interval ${range(trend)}).`
}

function describeForecast({ dice, epochs, epochsLeft, forecasts, rateNow }: Findings, firstRate: number | null) {
  if (!dice) return []
  const lines = ['If that went on, further epochs would add (by a curve that saturates and one that does not):']
  for (const forecast of forecasts) {
    const { furtherEpochs, low, high } = forecast
    const far = furtherEpochs > epochs ? '; far beyond the run' : ''
    const likely = `${`+${furtherEpochs}`.padStart(7)}: ${signed(low)} to ${signed(high)}`
    lines.push(`${likely}  (90 % interval ${range(forecast)}${far})`)
  }
  if (dice.direction === 'level') {
    const { furtherEpochs, upper } = forecasts.at(-1) as Forecast
    lines.push(`More than ${signed(upper)} by ${furtherEpochs} further epochs is unlikely.`)
  }
  if (dice.direction === 'rising' && firstRate !== null && firstRate > rateNow) {
    lines.push(
      `There the learning rate fell from ${formatRate(firstRate)} to ${formatRate(rateNow)}, which lifts the Dice by itself.`,
      'One run cannot tell how much; a longer run has that lift too, only later, so it may gain less.',
    )
  }
  if (epochsLeft > 0) {
    const left = `${epochsLeft} epoch${epochsLeft === 1 ? '' : 's'}`
    lines.push(`The run has ${left} left: let it end first; the falling rate usually lifts the Dice.`)
  }
  return lines
}

function describeWays({ verdict, epochsLeft, rateNow, lastRate, restartRate, longer }: Findings): string[] {
  if (verdict === 'falling') return ['Training longer is not advised.']
  const listed = (values: (number | string)[]) => values.join(', ')
  const after = epochsLeft > 0 ? ' after its end' : ''
  const stretched = listed(longer.map((way) => formatRate(way.stretchRate)))
  return [
    `Ways to train longer, to N = ${listed(longer.map((way) => way.epochs))} epochs in all:`,
    '  train --epochs N: recommended; from scratch, so that the rate decays over the whole run.',
    `  resume --epochs N: stretch; the rate goes from ${formatRate(rateNow)} to ${stretched}.`,
    `  resume --epochs N --schedule restart: goes from ${formatRate(lastRate)} to ${formatRate(restartRate)}${after}.`,
    `  resume --epochs N --schedule continue: holds ${formatRate(lastRate)}${after}; little is learned.`,
    'The larger the jump of the rate, the more the Dice falls at first, and the later it comes back.',
  ]
}

const range = ({ lower, upper }: { lower: number; upper: number }) => `${signed(lower)} to ${signed(upper)}`

/** With sign, except where all shown digits are 0. */
function signed(value: number): string {
  const text = formatFixed(Math.abs(value), 4)
  if (Number(text) === 0) return text
  return value > 0 ? `+${text}` : `-${text}`
}
