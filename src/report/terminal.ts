// The live view of a terminal: a bar on the last line, finished epochs and messages as lines that scroll up above it.
import { formatDuration, formatPace } from './format.js'
import { Pace } from './pace.js'
import { EpochTable, wrap } from './table.js'
import type { EpochRow, Output, Progress, TableShape, View } from './view.js'

const eraseLine = '\r\u001b[2K'
const hideCursor = '\u001b[?25l'
const showCursor = '\u001b[?25h'
const paint = (code: number) => (text: string) => `\u001b[${code}m${text}\u001b[0m`
const bold = paint(1)
const dim = paint(2)
const green = paint(32)
const yellow = paint(33)
const cyan = paint(36)

/** The header comes again after so many rows. */
const rowsPerHeader = 30
/** At most ten frames a second. */
const frameSeconds = 0.1

export class TerminalView implements View {
  readonly #output: Output
  readonly #now: () => number
  readonly #pace = new Pace()
  #shape: TableShape = { epochs: 0, labels: [] }
  #rows = 0
  #bar = ''
  #title = ''
  #drawnAt = Number.NEGATIVE_INFINITY

  /** @param now seconds of any steady clock */
  constructor(output: Output, now: () => number = () => performance.now() / 1000) {
    this.#output = output
    this.#now = now
  }

  message(text: string): void {
    this.#above(this.#fit(text))
  }

  warning(text: string): void {
    this.#above(yellow(this.#fit(`warning: ${text}`)))
  }

  table(shape: TableShape): void {
    this.#shape = shape
    this.#rows = 0
  }

  epoch(row: EpochRow): void {
    // The width is read anew for each row: the window may have changed.
    const table = new EpochTable(this.#shape, this.#columns())
    const header = this.#rows % rowsPerHeader === 0 ? table.header() : []
    this.#rows++
    const lines = [...header.map((text, index) => (index === header.length - 1 ? bold(text) : dim(text)))]
    for (const text of table.row(row)) lines.push(row.isBest ? text.replace(/(\S+)\*/, (found) => green(found)) : text)
    this.#above(lines.join('\n'))
  }

  progress(progress: Progress): void {
    const now = this.#now()
    const pace = this.#pace.update(progress.title, progress.done, now)
    const isLast = progress.done >= progress.total
    if (progress.title === this.#title && now - this.#drawnAt < frameSeconds && !isLast) return
    this.#title = progress.title
    this.#drawnAt = now
    const opening = this.#bar === '' ? hideCursor : ''
    this.#bar = drawBar(progress, pace, this.#columns() - 1)
    this.#output.write(opening + eraseLine + this.#bar)
  }

  close(): void {
    if (this.#bar !== '') this.#output.write(eraseLine + showCursor)
    this.#bar = ''
    this.#title = ''
  }

  /** Lines that are too long are broken at blanks, so that paths stay whole. */
  #fit(text: string): string {
    const columns = this.#columns()
    return text
      .split('\n')
      .flatMap((line) => (line.length > columns ? wrap(line, columns) : [line]))
      .join('\n')
  }

  #columns(): number {
    return this.#output.columns || 80
  }

  #above(text: string): void {
    this.#output.write(this.#bar === '' ? `${text}\n` : `${eraseLine}${text}\n${this.#bar}`)
  }
}

/** One line of at most `width` characters; details give way where it is too narrow. */
export function drawBar(progress: Progress, pace: number, width: number): string {
  const { title, done, total, unit, detail, secondsLeft, totalSecondsLeft } = progress
  const left =
    totalSecondsLeft === undefined
      ? `${formatDuration(secondsLeft)} left`
      : `${formatDuration(secondsLeft)}, run ${formatDuration(totalSecondsLeft)} left`
  const details = [`${done}/${total}`, formatPace(pace, unit), detail ?? '', left].filter((part) => part !== '')
  const smallestBar = 8
  while (details.length > 1 && title.length + 2 + smallestBar + details.join('  ').length + 2 > width) {
    details.splice(Math.max(1, details.length - 2), 1)
  }
  const text = details.join('  ')
  const length = Math.min(40, width - title.length - text.length - 3)
  if (length < 3) return `${title} ${text}`.slice(0, width)
  const filled = total > 0 ? Math.floor((Math.min(done, total) / total) * length) : 0
  const bar = cyan('\u2501'.repeat(filled)) + dim('\u2501'.repeat(length - filled))
  return `${title} ${bar}  ${text}`
}
