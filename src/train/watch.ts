// Looks after a trainer while a job runs: passes on a wish to stop, and reports how far the job is.
import type { NativeTrainer, Snapshot } from '../native/binding.js'
import type { JobContext } from './job.js'

const everyMs = 100

/**
 * Runs one native job. While it runs, the wish to stop is passed on (again and again, since a job that has not begun yet
 * forgets it), `onSnapshot` gets the counters, and each of their changes counts as a sign of life.
 * @param stopAfterMs ends the job by itself after that time
 * @param caseId what the job is about, to be named if it hangs
 */
export async function watch<Result>(
  trainer: NativeTrainer,
  { stopping, alive }: Pick<JobContext, 'stopping' | 'alive'>,
  job: () => Promise<Result>,
  options: { onSnapshot?: (snapshot: Snapshot) => void; stopAfterMs?: number; caseId?: string } = {},
): Promise<Result> {
  const begin = performance.now()
  let seen = ''
  const look = () => {
    const isOver = performance.now() - begin >= (options.stopAfterMs ?? Number.POSITIVE_INFINITY)
    if (stopping.aborted || isOver) trainer.stop()
    const snapshot = trainer.snapshot()
    const place = `${snapshot.job} ${snapshot.done}`
    // A rank that waits for others lives; whom it waits for shows by its own silence.
    if (place !== seen || snapshot.waitsForRanks) alive(snapshot.job, options.caseId)
    seen = place
    options.onSnapshot?.(snapshot)
  }
  const stopNow = () => trainer.stop()
  stopping.addEventListener('abort', stopNow)
  const timer = setInterval(look, everyMs)
  try {
    return await job()
  } finally {
    clearInterval(timer)
    stopping.removeEventListener('abort', stopNow)
  }
}
