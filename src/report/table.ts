// The table of epochs as text: fits 80 columns, the Dice of each label beside the losses or on a line below; a narrower window
// shows fewer columns.
import { formatDuration, formatFixed, formatRate } from './format.js'
import type { EpochRow, TableShape } from './view.js'

type Column = 'epoch' | 'train' | 'val' | 'Dice' | 'EMA' | 'rate' | 'time' | 'left'

/** What a narrow table does without, the first first. */
const dispensable: readonly Column[] = ['rate', 'time', 'Dice', 'left', 'val']

/** Lays out rows of epochs for a given width. Pure: text in, text out. */
export class EpochTable {
  readonly #shape: TableShape
  readonly #epochWidth: number
  readonly #width: number
  /** Whether each label has a column of its own. */
  readonly #wide: boolean
  readonly #dropped = new Set<Column>()

  constructor(shape: TableShape, width: number) {
    this.#shape = shape
    this.#width = width
    this.#epochWidth = Math.max(5, 2 * String(shape.epochs).length + 1)
    this.#wide = this.#title(this.#labelNames()).length <= width
    if (this.#wide) return
    for (const column of dispensable) {
      if (this.#title(['Dice']).length <= width) break
      this.#dropped.add(column)
    }
  }

  /** Title line; above it the names of labels whose columns are numbered. */
  header(): string[] {
    const names = this.#shape.labels.map((name, index) => `Dice ${index + 1} ${name}`).join(', ')
    const note = `Losses and pseudo-Dice: ${names}; EMA: moving average, * best so far`
    return [...wrap(note, this.#width), this.#title(this.#wide ? this.#labelNames() : ['Dice'])]
  }

  row(row: EpochRow): string[] {
    const dice = row.dicePerLabel.map((value) => formatFixed(value, 3))
    const known = row.dicePerLabel.filter((value) => value !== null)
    const mean = known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length
    const line = this.#line({
      epoch: `${row.epoch + 1}/${this.#shape.epochs}`,
      train: formatFixed(row.trainLoss, 4),
      val: formatFixed(row.valLoss, 4),
      Dice: this.#wide ? dice : [formatFixed(mean, 3)],
      EMA: `${formatFixed(row.ema, 4)}${row.isBest ? '*' : ' '}`,
      rate: formatRate(row.learningRate),
      time: formatDuration(row.seconds),
      left: formatDuration(row.secondsLeft),
    })
    if (this.#wide) return [line]
    const indent = ' '.repeat(this.#epochWidth + 2)
    return [line, ...wrap(`Dice ${dice.join(' ')}`, this.#width - indent.length).map((text) => indent + text)]
  }

  #labelNames(): string[] {
    return this.#shape.labels.map((_, index) => `Dice ${index + 1}`)
  }

  #title(dice: string[]): string {
    const names = { epoch: 'epoch', train: 'train', val: 'val', EMA: 'EMA ', rate: 'rate', time: 'time', left: 'left' }
    return this.#line({ ...names, Dice: dice })
  }

  #line(cells: Record<Exclude<Column, 'Dice'>, string> & { Dice: string[] }): string {
    const columns: [Column, string, number][] = [
      ['epoch', cells.epoch, this.#epochWidth],
      ['train', cells.train, 7],
      ['val', cells.val, 7],
      ...cells.Dice.map((text): [Column, string, number] => ['Dice', text, 6]),
      ['EMA', cells.EMA, 8],
      ['rate', cells.rate, 7],
      ['time', cells.time, 6],
      ['left', cells.left, 6],
    ]
    const shown = columns.filter(([column]) => !this.#dropped.has(column))
    return shown.map(([, text, width]) => text.padStart(width)).join('  ')
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
