// The lines of one run's metrics.jsonl as rows and notes, with what the list of runs needs of them.
import { formatDuration } from '../report/format.js'
import type { MetricsLine } from '../train/run-folder.js'
import type { Lines, Note, Row } from './messages.js'

/** So many digits are more than a chart shows, and half of what a number takes in JSON. */
const digits = 7

const number = (value: unknown): number | null =>
  typeof value === 'number' && Number.isFinite(value) ? Number(value.toPrecision(digits)) : null
const text = (value: unknown): string => (typeof value === 'string' ? value : '')

/** Epochs that the pace is taken from. */
const recentEpochs = 6

export class RunLines {
  readonly rows: Row[] = []
  readonly notes: Note[] = []
  /** As overviewOf wants them: the last epochs and the last new_best. */
  #recent: MetricsLine[] = []
  #best: MetricsLine | undefined
  /** Where the rows and notes of each sequence number begin. */
  #parts: { sequence: number; rows: number; notes: number }[] = []

  /** Takes lines in; after a cut or replaced file they are all there are. */
  take(lines: readonly string[], isAnew: boolean, sequence: number): void {
    if (isAnew) {
      this.rows.length = 0
      this.notes.length = 0
      this.#recent = []
      this.#best = undefined
      this.#parts = []
    }
    this.#parts.push({ sequence, rows: this.rows.length, notes: this.notes.length })
    for (const line of lines) {
      try {
        const value: unknown = JSON.parse(line)
        if (typeof value === 'object' && value !== null) this.#takeLine(value as MetricsLine)
      } catch {
        // Cut short by a crash or a full disk.
      }
    }
  }

  get sequence(): number {
    return this.#parts.at(-1)?.sequence ?? 0
  }

  get overviewLines(): MetricsLine[] {
    return this.#best ? [this.#best, ...this.#recent] : this.#recent
  }

  /** What came after a sequence number, all of it for -1; null if nothing did. */
  since(run: string, sequence: number): Lines | null {
    const part = this.#parts.find((one) => one.sequence > sequence)
    if (!part) return null
    return {
      run,
      sequence: this.sequence,
      rowsFrom: part.rows,
      rows: this.rows.slice(part.rows),
      notesFrom: part.notes,
      notes: this.notes.slice(part.notes),
    }
  }

  /** How far the run is: where warnings and advice, which have no place of their own, belong. */
  #place(): Pick<Note, 'epoch' | 'step'> {
    const [epoch, step] = this.rows.at(-1) ?? []
    return { epoch: typeof epoch === 'number' ? epoch + 1 : null, step: step ?? null }
  }

  /** An epoch that was trained again takes the place of the earlier one and what followed it. */
  #dropFrom(epoch: number): void {
    while ((this.rows.at(-1)?.[0] ?? -1) >= epoch) this.rows.pop()
    const part = this.#parts.at(-1)
    if (part) part.rows = Math.min(part.rows, this.rows.length)
  }

  #takeLine(line: MetricsLine): void {
    if (line.type === 'epoch') {
      if (typeof line.epoch !== 'number' || typeof line.step !== 'number') return
      this.#dropFrom(line.epoch)
      this.rows.push(rowOf(line))
      this.#recent.push(line)
      if (this.#recent.length > recentEpochs) this.#recent.shift()
      return
    }
    const note = noteOf(line)
    if (note) this.notes.push(note.step === null ? { ...note, ...this.#place() } : note)
    if (line.type === 'new_best') this.#best = line
  }
}

function rowOf(line: Extract<MetricsLine, { type: 'epoch' }>): Row {
  const more = 'step_ms' in line ? line : undefined
  const dice = Array.isArray(line.dice_per_class) ? line.dice_per_class : []
  return [
    line.epoch,
    line.step,
    line.seconds,
    line.lr,
    line.train_loss,
    line.val_loss,
    line.mean_fg_dice,
    line.ema_fg_dice,
    more?.step_ms?.p50,
    more?.step_ms?.p95,
    more?.data_ms?.p50,
    more?.data_ms?.p95,
    more?.skipped_steps,
    more?.memory?.resident_bytes,
    more?.memory?.device_bytes,
    ...dice,
  ].map(number)
}

function noteOf(line: Exclude<MetricsLine, { type: 'epoch' }>): Note | null {
  const place = {
    kind: line.type,
    epoch: 'epoch' in line ? number(line.epoch) : null,
    step: 'step' in line ? number(line.step) : null,
    value: null,
  }
  switch (line.type) {
    case 'checkpoint': {
      const file = text(line.file).split('/').at(-1)
      const times = `training stood still for ${formatMs(line.stall_ms)}, written in ${formatMs(line.write_ms)}`
      return { ...place, text: `${file}: ${times}` }
    }
    case 'new_best':
      return { ...place, value: number(line.value), text: text(line.metric) }
    case 'resume':
    case 'warning':
    case 'annealing':
    case 'advice':
    case 'stop':
      return { ...place, text: text(line.text) }
    default:
      return null
  }
}

const formatMs = (ms: unknown): string => {
  const value = number(ms)
  if (value === null) return '-'
  return value < 10_000 ? `${Math.round(value)} ms` : formatDuration(value / 1000)
}
