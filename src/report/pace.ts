// How fast a piece of work goes, from its counts over time.

/** Estimates units a second over about the last 20 seconds of one piece of work. */
export class Pace {
  #title = ''
  #marks: { seconds: number; done: number }[] = []

  /** Takes a count in. A new title, or a count that falls, starts over. Returns units a second; 0 while unknown. */
  update(title: string, done: number, seconds: number): number {
    if (title !== this.#title || done < (this.#marks.at(-1)?.done ?? 0)) this.#marks = []
    this.#title = title
    this.#marks.push({ seconds, done })
    while (this.#marks.length > 2 && seconds - (this.#marks[1]?.seconds ?? 0) > 20) this.#marks.shift()
    const first = this.#marks[0]
    if (!first || seconds <= first.seconds) return 0
    return (done - first.done) / (seconds - first.seconds)
  }
}
