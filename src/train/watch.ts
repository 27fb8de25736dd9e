// Looks after a trainer while a job runs: passes on a wish to stop, and reports how far the job is.
import type { NativeTrainer, Snapshot } from '../native/binding.js'

const everyMs = 100

/**
 * Runs one native job. While it runs, `stopping` is passed on (again and again, since a job that has not begun yet forgets
 * it), and `onSnapshot` gets the counters.
 * @param stopAfterMs ends the job by itself after that time
 */
export async function watch<Result>(
  trainer: NativeTrainer,
  stopping: AbortSignal,
  job: () => Promise<Result>,
  options: { onSnapshot?: (snapshot: Snapshot) => void; stopAfterMs?: number } = {},
): Promise<Result> {
  const begin = performance.now()
  const look = () => {
    const isOver = performance.now() - begin >= (options.stopAfterMs ?? Number.POSITIVE_INFINITY)
    if (stopping.aborted || isOver) trainer.stop()
    options.onSnapshot?.(trainer.snapshot())
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
