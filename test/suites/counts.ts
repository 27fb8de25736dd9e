// What the fault suites share: how often each fault is tried, random numbers that can be repeated, and the line of counts.
import { appendFileSync } from 'node:fs'
import { afterAll } from 'vitest'

/** 1 is the full count (`npm run verify:full`); `npm test` only sees that a suite works. */
const share = Number(process.env.VOXGRAD_VERIFY_SHARE ?? 0.02)
/** Another one tries other moments and other damage; a failure is repeated with the one that was printed. */
const seed = Number(process.env.VOXGRAD_VERIFY_SEED ?? 20261122)

/** The share of a full count that is asked for; at least `least`. */
export function count(full: number, least = 1): number {
  return Math.max(least, Math.round(full * share))
}

/** `most` numbers at the most out of 1 to `last`, evenly spread, with the first and the last among them. */
export function spread(last: number, most: number): number[] {
  if (most >= last) return Array.from({ length: last }, (_, i) => i + 1)
  const chosen = Array.from({ length: most }, (_, i) => 1 + Math.round((i * (last - 1)) / Math.max(1, most - 1)))
  return [...new Set(chosen)]
}

/** Time limit of a test of a suite: a hang has to end it, slowness not. */
export const suiteTimeout = 6 * 3_600_000

/** Uniform random numbers (mulberry32) from the seed and a name. */
export class Random {
  #state: number

  constructor(name: string) {
    this.#state = [...name].reduce((hash, letter) => Math.imul(hash ^ letter.charCodeAt(0), 0x01000193), seed | 0)
  }

  /** In [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let value = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61)
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32
  }

  between(low: number, high: number): number {
    return low + (high - low) * this.next()
  }

  /** A whole number below `limit`. */
  below(limit: number): number {
    return Math.floor(limit * this.next())
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)] as Item
  }
}

/**
 * The counts of a suite, to be raised while it runs and printed at its end: "writer-kills: 1000 kills, 0 damaged files".
 * With VOXGRAD_VERIFY_RESULTS they are also appended to that file as a line of JSON.
 */
export function figuresOf<Name extends string>(
  suite: string,
  names: Record<Name, number>,
  usedSeed = seed,
): Record<Name, number> {
  const figures = { ...names }
  afterAll(() => {
    const rounded = Object.entries<number>(figures).map(
      ([name, value]) => [name, Number(value.toPrecision(4))] as const,
    )
    const texts = rounded.map(([name, value]) => `${value} ${name}`)
    console.log(`${suite}: ${texts.join(', ')} (seed ${usedSeed})`)
    const file = process.env.VOXGRAD_VERIFY_RESULTS
    if (file)
      appendFileSync(
        file,
        `${JSON.stringify({ suite, share, seed: usedSeed, figures: Object.fromEntries(rounded) })}\n`,
      )
  })
  return figures
}

/** Says why a suite cannot run here; it then counts neither as passed nor as failed. */
export function skipSuite(suite: string, reason: string): void {
  console.log(`${suite}: skipped, because ${reason}`)
  const file = process.env.VOXGRAD_VERIFY_RESULTS
  if (file) appendFileSync(file, `${JSON.stringify({ suite, skipped: reason })}\n`)
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
