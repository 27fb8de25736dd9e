// Works on the cases of a dataset, several at once within the machine's free memory, with progress and all faults at once.
import { availableParallelism, freemem } from 'node:os'
import { commonCode, isDataFault, VoxgradError } from './errors.js'

/** How many cases of a dataset are done. */
export interface CaseProgress {
  done: number
  total: number
  /** Estimated from the cases done so far. */
  secondsLeft: number
  /** The case that was finished last. */
  caseId: string
}

/** How work on many cases goes on, and how it is followed. */
export interface CasePoolOptions {
  /** Cases at once; by default one a processor, at most the threads of libuv's pool. */
  jobs?: number | undefined
  signal?: AbortSignal | undefined
  /** Called after each case. */
  onProgress?: ((progress: CaseProgress) => void) | undefined
}

/** The share of the free memory that cases in flight may take together. */
const memoryShare = 0.5

/**
 * Runs `work` for every item and returns the results in the order of the items. One case is always in flight, further
 * ones as long as `jobs` and half of the free memory allow.
 * @param bytesOf peak memory that a case takes, estimated
 * @throws VoxgradError naming every faulty case, after all have been tried, with the code that they share or ERR_DATASET; any other failure ends the work at
 * once and is thrown as it is; the signal's reason after an abort. No work is in flight any more when it throws.
 */
export async function forEachCase<Item extends { caseId: string }, Result>(
  items: Item[],
  work: (item: Item) => Promise<Result>,
  bytesOf: (item: Item) => number,
  options: CasePoolOptions,
): Promise<Result[]> {
  const { signal, onProgress } = options
  const jobs = options.jobs ?? defaultJobs()
  const budget = memoryShare * freeMemory()
  const results: Result[] = []
  const faults: { caseId: string; error: VoxgradError }[] = []
  const inFlight = new Set<Promise<void>>()
  const started = performance.now()
  let stopped: { reason: unknown } | undefined
  let bytesInFlight = 0
  let done = 0

  const runOne = async (item: Item, index: number, bytes: number) => {
    try {
      results[index] = await work(item)
    } catch (error) {
      if (!isDataFault(error)) stopped ??= { reason: error }
      else faults.push({ caseId: item.caseId, error })
    } finally {
      bytesInFlight -= bytes
    }
    done += 1
    const secondsEach = (performance.now() - started) / 1000 / done
    if (stopped === undefined) {
      onProgress?.({ done, total: items.length, secondsLeft: secondsEach * (items.length - done), caseId: item.caseId })
    }
  }

  for (const [index, item] of items.entries()) {
    const bytes = bytesOf(item)
    while (inFlight.size >= jobs || (inFlight.size > 0 && bytesInFlight + bytes > budget)) await Promise.race(inFlight)
    if (signal?.aborted) stopped ??= { reason: signal.reason }
    if (stopped !== undefined) break
    bytesInFlight += bytes
    const running = runOne(item, index, bytes).finally(() => inFlight.delete(running))
    inFlight.add(running)
  }
  await Promise.all(inFlight)
  if (stopped !== undefined) throw stopped.reason
  signal?.throwIfAborted()
  if (faults.length > 0) {
    const list = faults.map(({ caseId, error }) => `  - ${caseId}: ${error.message}`).sort()
    throw new VoxgradError(commonCode(faults.map(({ error }) => error)), {
      found: `${faults.length} of ${items.length} cases are faulty:\n${list.join('\n')}`,
      remedy: 'Correct or remove them.',
    })
  }
  return results
}

function defaultJobs(): number {
  return Math.min(availableParallelism(), Number(process.env.UV_THREADPOOL_SIZE ?? 4))
}

/** What the process may still take: the system's or the container's limit, whichever is smaller. */
export function freeMemory(): number {
  return process.availableMemory?.() ?? freemem()
}
