// What a sweep shows: the panel and the tables fit their width, nothing is colored against NO_COLOR, and the numbers are right.
import { expect, test } from 'vitest'
import { conclusion, panelOf, SweepReport, tableOf } from '../../src/cli/sweep-report.js'
import { VoxgradError } from '../../src/errors.js'
import { TerminalView } from '../../src/report/terminal.js'
import { stylesOf, wantsColor } from '../../src/report/view.js'
import type { SweepEvent, SweepRun } from '../../src/sweep/events.js'
import { type DatasetSummary, type Spread, spreadOf } from '../../src/sweep/summary.js'

const runOf = (configuration: string, fold: number, changes: Partial<SweepRun> = {}): SweepRun => ({
  name: `Dataset004_Hippocampus/${configuration}/fold_${fold}`,
  dataset: 'Dataset004_Hippocampus',
  configuration,
  fold,
  folder: `/results/Dataset004_Hippocampus/voxgrad__nnUNetPlans__${configuration}/fold_${fold}`,
  state: 'running',
  needs: [],
  device: 'cuda:12',
  epoch: 411,
  epochs: 1000,
  step: 102_750,
  totalSteps: 250_000,
  ema_fg_dice: 0.8841,
  validationDice: null,
  seconds: 9000,
  secondsPerStep: 0.1,
  secondsLeft: 10_920,
  validation: null,
  error: null,
  ...changes,
})
const plain = stylesOf(false)

test('the panel has a line a run and one for the queue, within its width', () => {
  const runs = [
    runOf('3d_fullres', 0),
    runOf('3d_cascade_fullres', 4, { validation: { done: 3, total: 52 }, secondsLeft: 61 }),
    runOf('2d', 1, { state: 'waiting', device: null }),
    runOf('2d', 0, { state: 'finished', device: null }),
  ]
  const event = { type: 'progress', done: 1, total: 4, secondsLeft: 62_460, runs } as const
  expect(panelOf(event, 79, plain)).toEqual([
    '4/3d_fullres/0          cuda:12  epoch 412/1000  Dice 0.884  3h02m left',
    '4/3d_cascade_fullres/4  cuda:12  case 3/52       Dice 0.884  1m01s left',
    '1/4 done, 2 running, 1 waiting, queue 17h21m left',
  ])
  for (const line of panelOf(event, 30, plain)) expect(line.length).toBeLessThanOrEqual(30)
  const many = { ...event, runs: Array.from({ length: 32 }, (_, index) => runOf('2d', index)) }
  expect(panelOf(many, 79, plain)).toHaveLength(20)
  expect(panelOf(many, 79, plain).at(-2)).toBe('and 14 more')
})

const spread = (mean: number, crossValidation: number | null = mean): Spread => ({
  mean,
  standardDeviation: 0.0121,
  crossValidation,
})
const summaryOf = (configurations: string[], labels: string[]): DatasetSummary => ({
  format: 1,
  dataset: 'Dataset004_Hippocampus',
  plans: 'nnUNetResEncUNetLPlans',
  updatedAt: '',
  configurations: configurations.map((configuration, index) => ({
    configuration,
    labels: labels.map((name) => ({ name, dice: spread(0.8 + index / 100) })),
    meanForeground: spread(0.9, index === 0 ? 0.9012 : null),
    folds: [
      {
        fold: 0,
        folder: '',
        status: 'finished',
        error: null,
        validated: true,
        epochs: 1,
        seconds: 9,
        dice: 1,
        labels: [],
      },
    ],
    seconds: 3600,
  })),
})

test('configurations stand beside each other as far as 80 columns go, and below where they end', () => {
  const configurations = ['2d', '3d_fullres', '3d_lowres', '3d_cascade_fullres']
  const runs = configurations.map((configuration) => runOf(configuration, 0))
  const lines = tableOf(summaryOf(configurations, ['Anterior', 'Posterior']), runs, 80)
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80)
  expect(lines.slice(4, 10)).toEqual([
    'Dice              2d                3d_fullres        3d_lowres',
    'Anterior          0.8000 +- 0.0121  0.8100 +- 0.0121  0.8200 +- 0.0121',
    'Posterior         0.8000 +- 0.0121  0.8100 +- 0.0121  0.8200 +- 0.0121',
    'mean              0.9000 +- 0.0121  0.9000 +- 0.0121  0.9000 +- 0.0121',
    'cross-validation  0.9012            -                 -',
    'folds             1/5               1/5               1/5',
  ])
  expect(lines.filter((line) => line.startsWith('Anterior'))).toHaveLength(2)
  const other = tableOf(summaryOf(configurations, ['Anterior']), [runOf('2d', 0)], 80)
  expect(other.join('\n')).not.toContain('3d_fullres')
})

test('causes are in the table of runs, wrapped', () => {
  const error = new VoxgradError('ERR_HOST_MEMORY', `${'many words '.repeat(20)}end`).toJSON()
  const runs = [runOf('2d', 0, { state: 'failed', error }), runOf('2d', 1, { state: 'finished', validationDice: 0.91 })]
  const lines = conclusion({ runs, summaries: [], stopped: false }, 80)
  expect(lines.slice(1, 4)).toEqual([
    'run     state     epoch     Dice    time',
    '4/2d/0  failed    411/1000  -       2h30m',
    '4/2d/1  finished  411/1000  0.9100  2h30m',
  ])
  expect(lines.slice(4).join(' ')).toMatch(/^ 4\/2d\/0: many words .* end \(ERR_HOST_MEMORY\)$/)
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80)
})

test.each([
  [{ NO_COLOR: '1' }, false],
  [{}, true],
])('on a terminal with %j, colored: %s', (environment, isColored) => {
  let text = ''
  const output = {
    isTTY: true,
    columns: 80,
    write: (written: string) => {
      text += written
    },
  }
  let now = 0
  const view = new TerminalView(output, wantsColor(output, environment), () => (now += 1))
  const report = new SweepReport({ view, json: undefined })
  const runs = [runOf('3d_fullres', 0)]
  const events: SweepEvent[] = [
    { type: 'sweep_started', devices: ['cpu', 'cpu'], threads: 1, runs },
    { type: 'progress', done: 0, total: 1, secondsLeft: 99, runs },
    { type: 'warning', text: 'something' },
  ]
  for (const event of events) report.show(event)
  view.close()
  expect(text).toContain('On 2 x cpu, 1 thread a run\n')
  expect(text).toContain('4/3d_fullres/0  cuda:12  epoch 412/1000')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is what is looked for
  expect(/\u001b\[\d+m/.test(text)).toBe(isColored)
})

test('mean and sample deviation leave out what is not known', () => {
  expect(spreadOf([0.8, null, 0.9, 1])).toEqual({ mean: 0.9, standardDeviation: expect.closeTo(0.1, 12) })
  expect(spreadOf([0.8])).toEqual({ mean: 0.8, standardDeviation: null })
  expect(spreadOf([null])).toEqual({ mean: null, standardDeviation: null })
})
