// Ctrl-C, SIGTERM, SIGUSR1 (Slurm), SIGHUP and closed pipes: the first one ends work in good order, the second Ctrl-C at once.
import type { View } from '../report/view.js'

/** The same signal twice within this time counts once: terminals and schedulers often send both to a group. */
const sameSignalMs = 1000

const signals = ['SIGINT', 'SIGTERM', 'SIGUSR1', 'SIGHUP', 'SIGPIPE'] as const

let held: NodeJS.Signals | undefined
const hold = (signal: NodeJS.Signals) => {
  held ??= signal
}

/** Remembers a signal until stopOnSignals is called, which then acts on it. */
export function holdSignals(): void {
  for (const signal of signals) process.on(signal, hold)
}

/** Work was ended by a signal before it was complete. */
export class Interrupted extends Error {
  constructor() {
    super('Stopped before the end; what was there before is unchanged.')
  }
}

/**
 * Calls `stop` at the first signal; at the second one that counts, the process exits with 130.
 * @param deed what the first signal brings about, for the message
 * @returns a function that takes the listeners away
 */
export function stopOnSignals(stop: () => void, view: View, deed: string): () => void {
  let last: { signal: string; at: number } | undefined
  const listener = (signal: NodeJS.Signals) => {
    const at = performance.now()
    const repeated = last?.signal === signal && at - last.at < sameSignalMs
    const isFirst = last === undefined
    if (repeated) return
    last = { signal, at }
    if (isFirst) {
      if (signal !== 'SIGPIPE') {
        view.warning(`${nameOf(signal)}: ${deed}. Ctrl-C again ends at once.`)
      }
      stop()
    } else if (signal === 'SIGINT') {
      view.close()
      process.exit(130)
    }
  }
  for (const signal of signals) {
    process.on(signal, listener)
    process.off(signal, hold)
  }
  if (held) listener(held)
  held = undefined
  return () => {
    for (const signal of signals) process.off(signal, listener)
  }
}

const nameOf = (signal: string): string => (signal === 'SIGINT' ? 'Ctrl-C' : signal)

/** A signal for work that can be aborted; its reason is an Interrupted. `deed`: see stopOnSignals. */
export function abortOnSignals(view: View, deed = 'ending after the cases in work'): AbortSignal {
  const controller = new AbortController()
  const abort = () => controller.abort(new Interrupted())
  stopOnSignals(abort, view, deed)
  return controller.signal
}
