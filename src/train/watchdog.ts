// Tells a hang from slow work: each part of a run has its own longest time without a sign of life.
import type { Snapshot } from '../native/binding.js'

/**
 * What the engine's process is doing; `starting` until its first sign of life, `following` while it waits for other
 * ranks, and says once a second that it still does.
 */
export type Section = Snapshot['job'] | 'starting' | 'saving' | 'following'

/** What may take longer than a step, by this factor: preprocessing a case, loading one, saving, predicting a tile. */
const slowSections: Partial<Record<Section, number>> = {
  starting: 60,
  other: 10,
  saving: 10,
  prediction: 10,
  idle: 10,
  following: 1,
}
const medianFactor = 20

export class Watchdog {
  #section: Section = 'starting'
  #caseId: string | undefined
  #idleSeconds = 0
  /** Seconds between signs of life in training, of which the median is the pace of steps. */
  #gaps: number[] = []

  /** A step may always take this long, and 20 times the median step. */
  #hangSeconds = 60

  /** The run's own limit in place of the default. */
  allow(hangSeconds: number): void {
    this.#hangSeconds = hangSeconds
  }

  /** Takes in a sign of life. */
  alive(section: Section = this.#section, caseId?: string): void {
    if (section === 'training' && this.#section === 'training')
      this.#gaps = [...this.#gaps, this.#idleSeconds].slice(-50)
    this.#section = section
    this.#caseId = caseId
    this.#idleSeconds = 0
  }

  /**
   * Time passes. Called often; a long gap between two calls means that this process stood still as well (a laptop's lid, a
   * stopped process group), and counts for little.
   * @returns what hangs and for how long, once it is too long; else null
   */
  tick(seconds: number): { place: string; seconds: number } | null {
    this.#idleSeconds += Math.min(seconds, 2)
    if (this.#idleSeconds <= this.#limit()) return null
    const place = this.#caseId === undefined ? this.#section : `${this.#section} of ${this.#caseId}`
    return { place, seconds: Math.round(this.#idleSeconds) }
  }

  #limit(): number {
    const factor = slowSections[this.#section]
    if (factor !== undefined) return this.#hangSeconds * factor
    const sorted = [...this.#gaps].sort((a, b) => a - b)
    return Math.max(this.#hangSeconds, medianFactor * (sorted[Math.floor(sorted.length / 2)] ?? 0))
  }
}
