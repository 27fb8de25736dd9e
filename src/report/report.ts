// Writes a run's report in a process of its own, since whole images pass through its memory; it never fails a run.
import { runApart } from './apart.js'

/** Pictures of many large cases take a while. */
const longestMs = 10 * 60_000

/**
 * Writes report.html into a run folder.
 * @param alive called every second meanwhile, for a supervisor
 * @returns why it could not be written; null where it is there, and where the wish to stop came first
 */
export async function writeReportApart(
  runFolder: string,
  { stopping, alive }: { stopping: AbortSignal; alive: () => void },
): Promise<string | null> {
  const timer = setInterval(alive, 1000)
  try {
    const { failure } = await runApart('report-child', [runFolder], { timeoutMs: longestMs, signal: stopping })
    return failure && !stopping.aborted ? failure.message : null
  } finally {
    clearInterval(timer)
  }
}
