// The table of epochs, the live view and plain lines, on a clock and an output of the test's own.
import { expect, test } from 'vitest'
import { LinesView } from '../../src/report/lines.js'
import { EpochTable } from '../../src/report/table.js'
import { drawBar, TerminalView } from '../../src/report/terminal.js'
import { type EpochRow, type Progress, wantsLiveView } from '../../src/report/view.js'

const row: EpochRow = {
  epoch: 11,
  trainLoss: -0.81234,
  valLoss: -0.7,
  dicePerLabel: [0.91234, null],
  ema: 0.8512,
  isBest: true,
  learningRate: 0.00953,
  seconds: 199,
  secondsLeft: 8040,
}
const progress: Progress = {
  title: 'epoch 12/1000',
  done: 62,
  total: 250,
  unit: 'step',
  detail: 'loss -0.412',
  secondsLeft: 60,
  totalSecondsLeft: 8040,
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is what is looked for
const withoutEscapes = (text: string) => text.replace(/\r|\u001b\[[?\d]*[A-Za-z]/g, '')

class FakeOutput {
  text = ''
  isTTY = true
  columns = 80
  write(text: string): void {
    this.text += text
  }
}

test('two labels have columns of their own within 80 characters', () => {
  const table = new EpochTable({ epochs: 1000, labels: ['Anterior', 'Posterior'] }, 80)
  const title = table.header().at(-1) ?? ''
  const [line = '', ...rest] = table.row(row)
  expect(rest).toEqual([])
  expect(line.length).toBe(title.length)
  expect(Math.max(...table.header().map((text) => text.length), line.length)).toBeLessThanOrEqual(80)
  expect(line.split(/\s+/)).toEqual(
    ['', '12/1000', '-0.8123', '-0.7000', '0.912', '-', '0.8512*', '0.00953', '3m19s', '2h14m'].slice(
      line[0] === ' ' ? 0 : 1,
    ),
  )
})

test('many labels go onto lines of their own, none wider than the terminal', () => {
  const labels = Array.from({ length: 24 }, (_, index) => `organ ${index}`)
  const table = new EpochTable({ epochs: 1000, labels }, 80)
  const lines = table.row({ ...row, dicePerLabel: labels.map((_, index) => index / 24) })
  expect(lines.length).toBeGreaterThan(1)
  expect(
    lines
      .slice(1)
      .join(' ')
      .match(/0\.\d{3}/g),
  ).toHaveLength(24)
  for (const line of [...table.header(), ...lines]) expect(line.length).toBeLessThanOrEqual(80)
})

test.each([40, 60, 80, 120, 200])('the bar fits %s columns', (width) => {
  const text = withoutEscapes(drawBar(progress, 3.1, width - 1))
  expect(text.length).toBeLessThan(width)
  expect(text).toContain('epoch 12/1000')
  expect(text).toContain('62/250')
})

test('the live view redraws one line, and prints rows and messages above it', () => {
  const output = new FakeOutput()
  let seconds = 0
  const view = new TerminalView(output, () => seconds)
  view.table({ epochs: 20, labels: ['Anterior', 'Posterior'] })
  view.progress(progress)
  seconds = 0.05
  view.progress({ ...progress, done: 63 })
  expect(output.text).not.toContain('63/250')
  seconds = 1
  view.progress({ ...progress, done: 64 })
  expect(withoutEscapes(output.text)).toContain('64/250')
  expect(output.text).not.toContain('\n')
  view.epoch(row)
  expect(withoutEscapes(output.text)).toMatch(/0\.8512\*.*\n.*64\/250/)
  view.close()
  expect(output.text.endsWith('\u001b[?25h')).toBe(true)
})

test('plain lines: one an epoch, and one in thirty seconds of silence', () => {
  const output = new FakeOutput()
  let seconds = 0
  const view = new LinesView(output, () => seconds)
  view.table({ epochs: 20, labels: ['Anterior', 'Posterior'] })
  for (seconds = 0; seconds < 100; seconds++) view.progress({ ...progress, done: seconds })
  expect(output.text.trimEnd().split('\n')).toHaveLength(3)
  expect(output.text).toContain('step 30/250, loss -0.412, 1.0 steps/s, 1m00s left, 2h14m until the end')
  output.text = ''
  view.epoch(row)
  expect(output.text).toBe(
    'epoch 12/20: train loss -0.8123, val loss -0.7000, pseudo-Dice Anterior 0.9123, Posterior -, EMA 0.8512, ' +
      'lr 0.00953, 199.0 s, 2h14m left, new best\n',
  )
  expect(output.text).not.toContain('\u001b')
})

test('the live view is for terminals without a wish for plain text', () => {
  const terminal = new FakeOutput()
  expect(wantsLiveView(terminal, {})).toBe(true)
  expect(wantsLiveView(terminal, { NO_COLOR: '1' })).toBe(false)
  expect(wantsLiveView(terminal, { TERM: 'dumb' })).toBe(false)
  expect(wantsLiveView({ write: () => {}, isTTY: false }, {})).toBe(false)
})
