// Shows a run's events as they come, lets signals stop it, and turns its end into an exit code.
import type { Run, RunEvent, RunResult } from '../train/events.js'
import { type Context, exitResumable } from './context.js'
import { RunReport } from './run-report.js'
import { Interrupted, stopOnSignals } from './signals.js'

/**
 * Follows a run until everything is written. The first Ctrl-C, SIGTERM or closed pipe stops it with a checkpoint; the
 * second Ctrl-C ends the process at once with 130.
 * @param watch hears of every event too
 * @throws VoxgradError as run.finished rejects
 */
export function follow<Result>(run: Run<Result>, context: Context, watch?: (event: RunEvent) => void): Promise<Result> {
  return showUntilEnd(run, context, () => run.stop(), 'ending after the current step, with a checkpoint', watch)
}

/**
 * The same for planning and preprocessing, which leave nothing behind when they are stopped.
 * @throws Interrupted after a signal, VoxgradError as run.finished rejects
 */
export async function followPreparation<Result>(run: Run<Result>, context: Context): Promise<Result> {
  let isStopped = false
  const stop = () => {
    isStopped = true
    run.stop()
  }
  try {
    return await showUntilEnd(run, context, stop, 'ending after the cases in work')
  } catch (error) {
    throw isStopped ? new Interrupted() : error
  }
}

async function showUntilEnd<Result>(
  run: Run<Result>,
  context: Context,
  stop: () => void,
  deed: string,
  watch?: (event: RunEvent) => void,
): Promise<Result> {
  const report = new RunReport(context)
  const release = stopOnSignals(stop, context.view, deed)
  try {
    for await (const event of run) {
      report.show(event)
      watch?.(event)
    }
    return await run.finished
  } finally {
    report.close()
    release()
  }
}

/** 0 for a finished run (early stopping included), 75 for one that can be resumed. */
export function exitCodeOf(result: RunResult): number {
  return result.status === 'finished' ? 0 : exitResumable
}
