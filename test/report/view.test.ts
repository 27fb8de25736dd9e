// The table of epochs, the live view and plain lines, on a clock and an output of the test's own.
import { expect, test } from 'vitest'
import { LinesView } from '../../src/report/lines.js'
import { EpochTable } from '../../src/report/table.js'
import { drawBlock, TerminalView } from '../../src/report/terminal.js'
import { type EpochRow, type Progress, stylesOf, wantsColor, wantsLiveView } from '../../src/report/view.js'

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
  facts: ['last train -0.381, val -0.402', 'GPU 7.4 GiB, host 3.1 GiB'],
  totalSecondsLeft: 8040,
  budgetSecondsLeft: 3600,
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

test.each([20, 40, 60, 80, 120, 200])('a window of %s columns shows a table and a block that fit', (width) => {
  const lines = drawBlock(progress, 3.1, width - 1, stylesOf(true)).map(withoutEscapes)
  for (const line of lines) expect(line.length).toBeLessThan(width)
  const text = lines.join('   ')
  expect(text).toContain('epoch 12/1000')
  const facts = ['62/250', 'loss -0.412', 'run 2h14m left', 'budget 1h00m left']
  for (const fact of facts) expect(text.includes(fact) || width < 40).toBe(true)
  if (width < 40) return
  for (const labels of [['Anterior', 'Posterior'], Array.from({ length: 9 }, (_, index) => `organ ${index}`)]) {
    const table = new EpochTable({ epochs: 1000, labels }, width)
    const rows = [...table.header(), ...table.row({ ...row, dicePerLabel: labels.map(() => 0.5) })]
    for (const line of rows) expect(line.length).toBeLessThanOrEqual(width)
    expect(rows.join(' ')).toMatch(/12\/1000 +-0\.8123.* 0\.8512\*/)
  }
})

/**
 * What a terminal shows after some output: carriage return, cursor up, erase below; lines are broken at its width, and
 * broken anew when that changes, with the cursor kept at its place in the line.
 */
class Screen {
  columns = 100
  isTTY = true
  #resized = () => {}
  /** Logical lines; the cursor is in the last one. */
  #lines = ['']
  #hidden = false

  on(_event: 'resize', listener: () => void): void {
    this.#resized = listener
  }

  resize(columns: number): void {
    this.columns = columns
    this.#resized()
  }

  write(text: string): void {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is what is looked for
    for (const [part] of text.matchAll(/\u001b\[[?\d]*[A-Za-z]|[\r\n]|[^\u001b\r\n]+/g)) {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: as above
      const up = /^\u001b\[(\d+)A$/.exec(part)
      if (part === '\n') this.#lines.push('')
      else if (up) this.#moveUp(Number(up[1]))
      else if (part === '\u001b[J') this.#lines[this.#lines.length - 1] = ''
      else if (part === '\u001b[?25l') this.#hidden = true
      else if (part === '\u001b[?25h') this.#hidden = false
      else if (part !== '\r' && !part.startsWith('\u001b')) this.#lines[this.#lines.length - 1] += part
    }
  }

  /** From the start of a line to that of another one above it; to anywhere else is an error of who wrote. */
  #moveUp(rows: number): void {
    const rowsOf = (line: string) => Math.max(1, Math.ceil(line.length / this.columns))
    let left = rows
    while (left > 0) {
      this.#lines.pop()
      left -= rowsOf(this.#lines.at(-1) as string)
    }
    expect(left).toBe(0)
  }

  get text(): string {
    return this.#lines.join('\n')
  }

  get isCursorShown(): boolean {
    return !this.#hidden
  }
}

test('the live view redraws its block in place through messages, rows and changes of the width', () => {
  const screen = new Screen()
  let seconds = 0
  const view = new TerminalView(screen, true, () => seconds)
  view.table({ epochs: 20, labels: ['Anterior', 'Posterior'] })
  view.progress(progress)
  seconds = 0.05
  view.progress({ ...progress, done: 63 })
  expect(screen.text).not.toContain('63/250')
  for (const columns of [100, 80, 40, 23, 40, 100, 60]) {
    screen.resize(columns)
    seconds += 1
    view.progress({ ...progress, done: 64 + seconds })
    view.message(`at ${columns}`)
  }
  view.epoch(row)
  expect(screen.isCursorShown).toBe(false)
  // One block, below everything else.
  expect(screen.text.match(/epoch 12\/1000/g)).toHaveLength(1)
  expect(screen.text).toMatch(
    /^at 100\nat 80\nat 40\nat 23\nat 40\nat 100\nat 60\nLosses[\s\S]*0\.8512\*[\s\S]*epoch 12\/1000/,
  )
  view.close()
  expect(screen.text).not.toContain('epoch 12/1000')
  expect(screen.text.endsWith('\n')).toBe(true)
  expect(screen.isCursorShown).toBe(true)
})

test('plain lines: one an epoch, and one in thirty seconds of silence', () => {
  const output = new FakeOutput()
  let seconds = 0
  const view = new LinesView(output, false, () => seconds)
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

test('the live view is for terminals, color for who wants it', () => {
  const terminal = new FakeOutput()
  const pipe = { write: () => {}, isTTY: false }
  expect(wantsLiveView(terminal, {})).toBe(true)
  expect(wantsLiveView(terminal, { NO_COLOR: '1' })).toBe(true)
  expect(wantsLiveView(terminal, { TERM: 'dumb' })).toBe(false)
  expect(wantsLiveView(pipe, { FORCE_COLOR: '1' })).toBe(false)
  const wishes = [{}, { NO_COLOR: '1' }, { NO_COLOR: '' }, { FORCE_COLOR: '1' }, { FORCE_COLOR: '0' }, { TERM: 'dumb' }]
  expect(wishes.map((wish) => wantsColor(terminal, wish))).toEqual([true, false, true, true, false, false])
  expect(wishes.map((wish) => wantsColor(pipe, wish))).toEqual([false, false, false, true, false, false])
  expect(wantsColor(terminal, { NO_COLOR: '1', FORCE_COLOR: '1' })).toBe(false)
  const plain = new FakeOutput()
  const view = new TerminalView(plain, false)
  view.table({ epochs: 20, labels: ['Anterior', 'Posterior'] })
  view.progress(progress)
  view.epoch(row)
  view.warning('careful')
  view.close()
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is what is looked for
  expect(plain.text).not.toMatch(/\u001b\[\d+m/)
  // 62 of 250 steps are a quarter of the bar.
  expect(plain.text).toMatch(/ \u2501{9}\u2500{31} /)
})
