// Machine-readable output: one JSON object a line.
import type { Output } from './view.js'

/** Writes objects as lines; progress is thinned to one line a second and piece of work. */
export class JsonLines {
  readonly #output: Output
  readonly #now: () => number
  #progressAt = Number.NEGATIVE_INFINITY

  /** @param now seconds of any steady clock */
  constructor(output: Output, now: () => number = () => performance.now() / 1000) {
    this.#output = output
    this.#now = now
  }

  /** Numbers that are not finite become null, as JSON knows none. */
  write(object: object): void {
    this.#output.write(`${JSON.stringify(object)}\n`)
  }

  /** As write, but dropped within a second of the last one, unless the work is complete. */
  writeProgress<Progress extends { done: number; total: number }>(object: Progress): void {
    if (object.done < object.total && this.#now() - this.#progressAt < 1) return
    this.#progressAt = this.#now()
    this.write(object)
  }
}
