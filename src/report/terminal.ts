// The live view of a terminal: a block on the last lines, finished epochs and messages as lines that scroll up above it.
import { formatDuration, formatPace } from './format.js'
import { Pace } from './pace.js'
import { EpochTable, wrap } from './table.js'
import {
  type EpochRow,
  type Output,
  type Panel,
  type Progress,
  type Styles,
  stylesOf,
  type TableShape,
  type View,
} from './view.js'

const control = '\u001b['
const eraseBelow = `${control}J`
const hideCursor = `${control}?25l`
const showCursor = `${control}?25h`
// biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is what is looked for
const styling = /\u001b\[\d+m/g

/** The header comes again after so many rows. */
const rowsPerHeader = 30
/** At most ten frames a second. */
const frameSeconds = 0.1

export class TerminalView implements View {
  readonly #output: Output
  readonly #styles: Styles
  readonly #now: () => number
  readonly #pace = new Pace()
  #shape: TableShape = { epochs: 0, labels: [] }
  #rows = 0
  /** The block as it stands on the screen; empty while nothing is under way. */
  #block: string[] = []
  #shown: Panel | undefined
  #title: string | undefined
  #drawnAt = Number.NEGATIVE_INFINITY

  /** @param now seconds of any steady clock */
  constructor(output: Output, isColored = true, now: () => number = () => performance.now() / 1000) {
    this.#output = output
    this.#styles = stylesOf(isColored)
    this.#now = now
    output.on?.('resize', () => this.#redraw())
  }

  message(text: string): void {
    this.#above(this.#fit(text))
  }

  warning(text: string): void {
    this.#above(this.#styles.yellow(this.#fit(`warning: ${text}`)))
  }

  table(shape: TableShape): void {
    this.#shape = shape
    this.#rows = 0
  }

  epoch(row: EpochRow): void {
    const { bold, dim, green } = this.#styles
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
    const isSame = this.#shown !== undefined && progress.title === this.#title
    if (isSame && now - this.#drawnAt < frameSeconds && !isLast) return
    this.#title = progress.title
    this.#show((width, styles) => drawBlock(progress, pace, width, styles))
  }

  panel(draw: Panel): void {
    if (this.#now() - this.#drawnAt >= frameSeconds) this.#show(draw)
  }

  /** A panel says it. */
  logged(): void {}

  close(): void {
    if (this.#block.length > 0) this.#output.write(this.#erasure() + showCursor)
    this.#block = []
    this.#shown = undefined
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

  #show(draw: Panel): void {
    this.#shown = draw
    this.#drawnAt = this.#now()
    this.#redraw()
  }

  #redraw(): void {
    if (!this.#shown) return
    const erasure = this.#block.length === 0 ? hideCursor : this.#erasure()
    this.#block = this.#shown(this.#columns() - 1, this.#styles)
    this.#output.write(erasure + this.#drawing())
  }

  /** To where the block starts. A window that has become narrower has broken its lines. */
  #erasure(): string {
    const columns = this.#columns()
    const above = this.#block.slice(0, -1).map((line) => line.replace(styling, '').length)
    const rows = above.reduce((sum, length) => sum + Math.max(1, Math.ceil(length / columns)), 0)
    return `\r${rows > 0 ? `${control}${rows}A` : ''}${eraseBelow}`
  }

  /** The cursor waits at the start of the last line: a key that the terminal echoes there (^C) cannot break the line. */
  #drawing(): string {
    return `${this.#block.join('\n')}\r`
  }

  #above(text: string): void {
    this.#output.write(this.#block.length === 0 ? `${text}\n` : `${this.#erasure()}${text}\n${this.#drawing()}`)
  }
}

/** The bar, and below it what else there is to say; no line is longer than `width`. */
export function drawBlock(progress: Progress, pace: number, width: number, styles: Styles): string[] {
  const { detail, facts = [], totalSecondsLeft, budgetSecondsLeft } = progress
  const said = [
    ...(detail === undefined ? [] : [detail]),
    ...facts,
    ...(totalSecondsLeft === undefined ? [] : [`run ${formatDuration(totalSecondsLeft)} left`]),
    ...(typeof budgetSecondsLeft === 'number' ? [`budget ${formatDuration(budgetSecondsLeft)} left`] : []),
  ]
  const lines = [drawBar(progress, pace, width, styles)]
  let line = ''
  for (const fact of said) {
    if (line !== '' && line.length + gap.length + fact.length > width) {
      lines.push(line)
      line = ''
    }
    line = (line === '' ? fact : line + gap + fact).slice(0, width)
  }
  return line === '' ? lines : [...lines, line]
}

const gap = '   '

/** One line of at most `width` characters; details give way where it is too narrow. */
export function drawBar(progress: Progress, pace: number, width: number, { cyan, dim }: Styles): string {
  const { title, done, total, unit, secondsLeft } = progress
  const details = [`${done}/${total}`, formatPace(pace, unit), `${formatDuration(secondsLeft)} left`].filter(
    (part) => part !== '',
  )
  const smallestBar = 8
  while (details.length > 1 && title.length + 2 + smallestBar + details.join('  ').length + 2 > width) {
    details.splice(Math.max(1, details.length - 2), 1)
  }
  const text = details.join('  ')
  const length = Math.min(40, width - title.length - text.length - 3)
  if (length < 3) return `${title} ${text}`.slice(0, width)
  const filled = total > 0 ? Math.floor((Math.min(done, total) / total) * length) : 0
  // A thinner line for the rest, so that the bar can be read without colors too.
  const bar = cyan('\u2501'.repeat(filled)) + dim('\u2500'.repeat(length - filled))
  return `${title} ${bar}  ${text}`
}
