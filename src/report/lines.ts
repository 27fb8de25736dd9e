// Plain lines for pipes and log files: one an epoch, and one in half a minute of long work.
import { formatDuration, formatFixed, formatPace, formatRate } from './format.js'
import { Pace } from './pace.js'
import { type EpochRow, type Output, type Progress, type Styles, stylesOf, type TableShape, type View } from './view.js'

const quietSeconds = 30

export class LinesView implements View {
  readonly #output: Output
  readonly #styles: Styles
  readonly #now: () => number
  readonly #pace = new Pace()
  #shape: TableShape = { epochs: 0, labels: [] }
  #title = ''
  #spokeAt: number

  /** @param now seconds of any steady clock */
  constructor(output: Output, isColored = false, now: () => number = () => performance.now() / 1000) {
    this.#output = output
    this.#styles = stylesOf(isColored)
    this.#now = now
    this.#spokeAt = now()
  }

  message(text: string): void {
    this.#write(text)
  }

  warning(text: string): void {
    this.#write(this.#styles.yellow(`warning: ${text}`))
  }

  table(shape: TableShape): void {
    this.#shape = shape
  }

  epoch(row: EpochRow): void {
    const dice = row.dicePerLabel.map(
      (value, index) => `${this.#shape.labels[index] ?? index + 1} ${formatFixed(value, 4)}`,
    )
    this.#write(
      `epoch ${row.epoch + 1}/${this.#shape.epochs}: train loss ${formatFixed(row.trainLoss, 4)}, ` +
        `val loss ${formatFixed(row.valLoss, 4)}, pseudo-Dice ${dice.join(', ')}, ` +
        `EMA ${formatFixed(row.ema, 4)}, lr ${formatRate(row.learningRate)}, ` +
        `${formatFixed(row.seconds, 1)} s, ${formatDuration(row.secondsLeft)} left${row.isBest ? `, ${this.#styles.green('new best')}` : ''}`,
    )
  }

  progress(progress: Progress): void {
    const { title, done, total, unit, detail, secondsLeft, totalSecondsLeft } = progress
    const pace = this.#pace.update(title, done, this.#now())
    // A new piece of work counts its silence anew.
    if (title !== this.#title) this.#spokeAt = Math.max(this.#spokeAt, this.#now() - quietSeconds / 2)
    this.#title = title
    if (this.#now() - this.#spokeAt < quietSeconds) return
    const parts = [`${title}: ${unit} ${done}/${total}`, detail ?? '', formatPace(pace, unit)]
    if (secondsLeft !== null) parts.push(`${formatDuration(secondsLeft)} left`)
    if (totalSecondsLeft) parts.push(`${formatDuration(totalSecondsLeft)} until the end`)
    this.#write(parts.filter((part) => part !== '').join(', '))
  }

  panel(): void {}

  logged(text: string): void {
    this.#write(text)
  }

  close(): void {}

  #write(text: string): void {
    this.#spokeAt = this.#now()
    this.#output.write(`${text}\n`)
  }
}
