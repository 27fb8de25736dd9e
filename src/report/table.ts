// The table of epochs as text: fits 80 columns, the Dice of each label beside the losses or on a line below.
import { formatDuration, formatFixed, formatRate } from './format.js'
import type { EpochRow, TableShape } from './view.js'

/** Lays out rows of epochs for a given width. Pure: text in, text out. */
export class EpochTable {
  readonly #shape: TableShape
  readonly #epochWidth: number
  readonly #width: number
  /** Whether each label has a column of its own. */
  readonly #wide: boolean

  constructor(shape: TableShape, width: number) {
    this.#shape = shape
    this.#width = Math.max(80, width)
    this.#epochWidth = Math.max(5, 2 * String(shape.epochs).length + 1)
    this.#wide = this.#line('', '', '', this.#labelNames(), '', '', '', '').length <= this.#width
  }

  /** Title line; above it the names of labels whose columns are numbered. */
  header(): string[] {
    const columns = this.#wide ? this.#labelNames() : ['Dice']
    const title = this.#line('epoch', 'train', 'val', columns, 'EMA', 'rate', 'time', 'left')
    const names = this.#shape.labels.map((name, index) => `Dice ${index + 1} ${name}`).join(', ')
    return [...wrap(`Losses and pseudo-Dice: ${names}; EMA: moving average, * best so far`, this.#width), title]
  }

  row(row: EpochRow): string[] {
    const dice = row.dicePerLabel.map((value) => formatFixed(value, 3))
    const known = row.dicePerLabel.filter((value) => value !== null)
    const mean = known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length
    const line = this.#line(
      `${row.epoch + 1}/${this.#shape.epochs}`,
      formatFixed(row.trainLoss, 4),
      formatFixed(row.valLoss, 4),
      this.#wide ? dice : [formatFixed(mean, 3)],
      `${formatFixed(row.ema, 4)}${row.isBest ? '*' : ' '}`,
      formatRate(row.learningRate),
      formatDuration(row.seconds),
      formatDuration(row.secondsLeft),
    )
    if (this.#wide) return [line]
    const indent = ' '.repeat(this.#epochWidth + 2)
    return [line, ...wrap(`Dice ${dice.join(' ')}`, this.#width - indent.length).map((text) => indent + text)]
  }

  #labelNames(): string[] {
    return this.#shape.labels.map((_, index) => `Dice ${index + 1}`)
  }

  #line(
    epoch: string,
    train: string,
    val: string,
    dice: string[],
    ema: string,
    rate: string,
    time: string,
    left: string,
  ): string {
    const cells: [string, number][] = [
      [epoch, this.#epochWidth],
      [train, 7],
      [val, 7],
      ...dice.map((text): [string, number] => [text, 6]),
      [ema.endsWith('*') || ema.endsWith(' ') ? ema : `${ema} `, 8],
      [rate, 7],
      [time, 6],
      [left, 6],
    ]
    return cells.map(([text, width]) => text.padStart(width)).join('  ')
  }
}

/** Breaks text at blanks into lines of at most `width` characters. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return line === '' ? lines : [...lines, line]
}
