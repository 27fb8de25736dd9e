// A job under way: turns a function that emits events into a Run (events to iterate, a promise, a way to stop).
import type { Leader } from '../ranks/leader.js'
import type { Run, RunEvent } from './events.js'
import type { Section } from './watchdog.js'

/** What a supervisor knows when it starts a run again. */
export interface Restart {
  /** Goes into the run's record. */
  because: string
  /** Since the call began; its time budget covers them. */
  secondsUsed: number
}

export interface JobContext<Event = RunEvent> {
  emit(event: Event): void
  /** Aborted by stop() and by the caller's signal: the job ends at its next safe point. */
  stopping: AbortSignal
  /** The wish to stop, from within. */
  stop(): void
  /** A sign of life: something moved, in a case where one is meant. */
  alive(section: Section, caseId?: string): void
  /** Where several ranks train: what tells the others. */
  leader: Leader | undefined
}

/**
 * Starts a job. Events wait until they are read; of progress that nobody has read yet only the newest is kept.
 * A failure rejects `finished` and ends the iteration with the same error.
 */
export function startJob<Result, Event extends { type: string } = RunEvent>(
  body: (context: JobContext<Event>) => Promise<Result>,
  {
    signal,
    onAlive: alive = () => {},
    leader,
  }: {
    signal?: AbortSignal | undefined
    onAlive?: JobContext['alive'] | undefined
    leader?: Leader | undefined
  } = {},
): Run<Result, Event> {
  const stopping = new AbortController()
  const stop = () => stopping.abort()
  if (signal?.aborted) stop()
  signal?.addEventListener('abort', stop, { once: true })

  const waiting: Event[] = []
  let ended = false
  let wake = () => {}
  const emit = (event: Event) => {
    if (event.type === 'progress' && waiting.at(-1)?.type === 'progress') waiting.pop()
    waiting.push(event)
    wake()
  }
  const finished = Promise.resolve()
    .then(() => body({ emit, stopping: stopping.signal, stop, alive, leader }))
    .finally(() => {
      ended = true
      signal?.removeEventListener('abort', stop)
      wake()
    })
  // Who only iterates sees the error there; it must not count as unhandled.
  finished.catch(() => {})
  // Whether the caller has taken the outcome, an error included, by one of its two ways.
  let isTaken = false

  return {
    get finished() {
      isTaken = true
      return finished
    },
    stop,
    async *[Symbol.asyncIterator]() {
      while (true) {
        const event = waiting.shift()
        if (event) yield event
        else if (ended) break
        else await new Promise<void>((resolve) => (wake = resolve))
      }
      isTaken = true
      await finished
    },
    async [Symbol.asyncDispose]() {
      stop()
      await finished.catch((error: unknown) => {
        if (!isTaken) throw error
      })
    },
  }
}
