// Work on many cases, several at once, with progress and the time left.
import { availableParallelism } from 'node:os'

export interface Progress {
  /** Cases done. */
  done: number
  total: number
  /** Missing until the first case is done. */
  secondsLeft?: number
  /** The case that was just done. */
  caseId?: string
}

export type OnProgress = (progress: Progress) => void

/** How many cases are worked on at once where nothing is said: one a core, at most 8. */
export function defaultJobs(): number {
  return Math.min(availableParallelism(), 8)
}

/**
 * Calls `work` for every item, at most `jobs` at a time, and reports each finished one.
 * @returns the results in the order of the items
 * @throws what `work` throws; what has been started is awaited first, nothing further is started
 */
export async function workThrough<Item extends { caseId: string }, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
  { jobs = defaultJobs(), onProgress }: { jobs?: number | undefined; onProgress?: OnProgress | undefined } = {},
): Promise<Result[]> {
  const started = performance.now()
  const results: Result[] = []
  const total = items.length
  let failed = false
  let next = 0
  let done = 0
  onProgress?.({ done, total })
  const worker = async () => {
    while (next < total && !failed) {
      const index = next++
      const item = items[index] as Item
      try {
        results[index] = await work(item)
      } catch (error) {
        failed = true
        throw error
      }
      done++
      const secondsLeft = ((performance.now() - started) / 1000 / done) * (total - done)
      onProgress?.({ done, total, secondsLeft, caseId: item.caseId })
    }
  }
  const workers = await Promise.allSettled(Array.from({ length: Math.max(1, Math.min(jobs, total)) }, worker))
  const rejected = workers.find((outcome) => outcome.status === 'rejected')
  if (rejected !== undefined) throw rejected.reason
  return results
}
