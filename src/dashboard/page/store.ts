// What the page knows of the runs: their states, and the lines of those that are shown, as columns.
import { type Column, columns, type Lines, type Note, type RunState } from '../messages.js'

/** Colors for so many runs at once; see --line-N in style.css. */
export const mostSelected = 8

/** Columns of numbers by name, one entry an epoch. */
export class RunData {
  readonly #columns = columns.map((): (number | null)[] => [])
  /** Pseudo-Dice of each class. */
  readonly dice: (number | null)[][] = []
  readonly notes: Note[] = []
  /** Hours of training and validation until the end of each epoch. */
  readonly hours: number[] = []
  sequence = -1

  column(name: Column): (number | null)[] {
    return this.#columns[columns.indexOf(name)] as (number | null)[]
  }

  get length(): number {
    return this.hours.length
  }

  /** @returns false if lines before these are missing */
  take(lines: Lines): boolean {
    if (lines.sequence <= this.sequence) return true
    if (lines.rowsFrom > this.length || lines.notesFrom > this.notes.length) return false
    this.sequence = lines.sequence
    this.notes.length = lines.notesFrom
    for (const note of lines.notes) this.notes.push(note)
    for (const column of [...this.#columns, ...this.dice, this.hours]) column.length = lines.rowsFrom
    for (const row of lines.rows) {
      const index = this.length
      for (let column = 0; column < columns.length; column++) this.#columns[column]?.push(row[column] ?? null)
      for (let one = columns.length; one < row.length; one++) {
        const known = this.dice[one - columns.length] ?? new Array(index).fill(null)
        known[index] = row[one] ?? null
        this.dice[one - columns.length] = known
      }
      this.hours.push((this.hours[index - 1] ?? 0) + (row[columns.indexOf('seconds')] ?? 0) / 3600)
    }
    return true
  }

  /** The best value so far after each epoch, as the notes tell it, where its metric is a loss, or else a Dice. */
  best(isLoss: boolean): (number | null)[] {
    const found = this.notes.filter(
      ({ kind, epoch, text }) => kind === 'new_best' && epoch !== null && (text === 'val_loss') === isLoss,
    )
    let next = 0
    let value: number | null = null
    return this.column('epoch').map((epoch) => {
      while (next < found.length && (found[next]?.epoch ?? 0) <= (epoch ?? 0)) value = found[next++]?.value ?? null
      return value
    })
  }
}

export interface Shown {
  state: RunState
  data: RunData
  /** Index of its color. */
  color: number
}

export class Store {
  readonly states = new Map<string, RunState>()
  readonly #data = new Map<string, RunData>()
  /** Selected runs in the order of selection, with their colors. */
  readonly #colors = new Map<string, number>()
  readonly #fetching = new Set<string>()
  readonly #changed: () => void

  constructor(changed: () => void) {
    this.#changed = changed
  }

  setState(state: RunState): void {
    this.states.set(state.id, state)
    this.#changed()
  }

  remove(id: string): void {
    this.states.delete(id)
    this.#data.delete(id)
    this.#colors.delete(id)
    this.#changed()
  }

  takeLines(lines: Lines): void {
    const data = this.#data.get(lines.run)
    if (!data) return
    if (data.take(lines)) this.#changed()
    else void this.#fetch(lines.run)
  }

  /** Another server than before: its numbers begin anew. */
  reset(ids: readonly string[], isContinued: boolean): void {
    for (const id of [...this.states.keys()]) if (!ids.includes(id)) this.remove(id)
    if (isContinued) return
    this.#data.clear()
    for (const id of this.#colors.keys()) void this.#fetch(id)
  }

  colorOf(id: string): number | undefined {
    return this.#colors.get(id)
  }

  get selected(): string[] {
    return [...this.#colors.keys()]
  }

  select(id: string): void {
    if (this.#colors.has(id) || this.#colors.size >= mostSelected) return
    const used = new Set(this.#colors.values())
    this.#colors.set(
      id,
      Array.from({ length: mostSelected }, (_, index) => index).find((index) => !used.has(index)) ?? 0,
    )
    if (!this.#data.has(id)) void this.#fetch(id)
    this.#changed()
  }

  deselect(id: string): void {
    this.#colors.delete(id)
    this.#changed()
  }

  /** Selected runs that exist, with what is loaded of them. */
  shown(): Shown[] {
    return [...this.#colors].flatMap(([id, color]) => {
      const state = this.states.get(id)
      return state ? [{ state, data: this.#data.get(id) ?? new RunData(), color }] : []
    })
  }

  async #fetch(id: string): Promise<void> {
    if (this.#fetching.has(id)) return
    this.#fetching.add(id)
    try {
      const response = await fetch(`/api/runs/${id}/lines`)
      if (!response.ok) return
      const data = new RunData()
      data.take((await response.json()) as Lines)
      this.#data.set(id, data)
      this.#changed()
    } catch {
      // The server is gone; the stream of events begins anew when it is back.
    } finally {
      this.#fetching.delete(id)
    }
  }
}
