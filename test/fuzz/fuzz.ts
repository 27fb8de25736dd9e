// Reads damaged files by the hundred thousand: a reader may refuse one with a clear VoxgradError and nothing else, within a
// second and little memory.
import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import { VoxgradError } from '../../src/errors.js'
import { damaged } from './mutations.js'

export interface Format {
  name: string
  /** Small files, most of them valid. */
  seeds: Uint8Array[]
  /** Words of the format. */
  words: string[]
  read(bytes: Buffer): unknown
}

export interface Outcome {
  runs: number
  /** Of these, files that were read to the end. */
  read: number
  seconds: number
  slowestMilliseconds: number
  /** Most memory of the process since the valid files were read, in MB. */
  megabytes: number
}

export const longestMilliseconds = 1000
export const mostMegabytes = 256
const checkEvery = 256

const peakMegabytes = () => process.resourceUsage().maxRSS / 1024

/**
 * Reads `runs` damaged files.
 * @param progress is told now and then how many were read
 * @throws an Error with the smallest file found that is not read as it should be
 */
export async function fuzz(
  { seeds, words, read }: Format,
  options: { runs: number; seed: number; progress?: (runs: number) => void },
): Promise<Outcome> {
  const outcome: Outcome = { runs: 0, read: 0, seconds: 0, slowestMilliseconds: 0, megabytes: 0 }
  for (const seed of seeds) await attempt(read, Buffer.from(seed))
  const watch = new Watch()
  const atStart = peakMegabytes()
  const begin = performance.now()
  await fc.assert(
    fc.asyncProperty(damaged(seeds, words), async (bytes) => {
      outcome.runs += 1
      watch.begin(bytes)
      const [isRead, first] = await attempt(read, bytes)
      let took = first
      // A busy machine makes any file slow, but not three times.
      for (let more = 2; more > 0 && took > longestMilliseconds; more -= 1) {
        took = Math.min(took, (await attempt(read, bytes))[1])
      }
      if (isRead) outcome.read += 1
      if (took > outcome.slowestMilliseconds) outcome.slowestMilliseconds = took
      if (took > longestMilliseconds) throw new Error(`reading took ${Math.round(took)} ms`)
      if (outcome.runs % checkEvery === 0) {
        outcome.megabytes = peakMegabytes() - atStart
        if (outcome.megabytes > mostMegabytes) throw new Error(`reading took ${outcome.megabytes} MB`)
        options.progress?.(outcome.runs)
      }
    }),
    { numRuns: options.runs, seed: options.seed },
  )
  watch.end()
  outcome.seconds = (performance.now() - begin) / 1000
  return outcome
}

/** Whether the file was read to the end, and how many milliseconds that took. */
async function attempt(read: Format['read'], bytes: Buffer): Promise<[isRead: boolean, took: number]> {
  const begin = performance.now()
  let isRead = true
  try {
    await read(bytes)
  } catch (error) {
    requireClear(error)
    isRead = false
  }
  return [isRead, performance.now() - begin]
}

/** A file takes this long at the most; of one that never ends, the watch prints the bytes and ends the process. */
const hangMilliseconds = 10_000
const largestWatched = 16_384

/** Looks from another thread whether reading goes on. */
class Watch {
  readonly #shared = new SharedArrayBuffer(8 + largestWatched)
  readonly #counts = new Int32Array(this.#shared, 0, 2)
  readonly #bytes = new Uint8Array(this.#shared, 8)
  readonly #worker = new Worker(
    `const { workerData: shared } = require('node:worker_threads')
     const [counts, bytes] = [new Int32Array(shared, 0, 2), new Uint8Array(shared, 8)]
     let before = 0
     setInterval(() => {
       if (counts[0] === before && before !== 0) {
         const file = Buffer.from(bytes.subarray(0, counts[1])).toString('base64')
         require('node:fs').writeSync(2, 'reading this file (base64) does not end: ' + file + '\\n')
         process.kill(process.pid, 'SIGKILL')
       }
       before = counts[0]
     }, ${hangMilliseconds})`,
    { eval: true, workerData: this.#shared },
  )

  begin(bytes: Uint8Array): void {
    this.#counts[0] = ((this.#counts[0] as number) + 1) | 0
    this.#counts[1] = Math.min(bytes.length, largestWatched)
    this.#bytes.set(bytes.subarray(0, largestWatched))
  }

  end(): void {
    void this.#worker.terminate()
  }
}

/** Words of a fault inside of a program, which say nothing to a user. */
const internal =
  /found undefined|\(undefined\)|is not a function|Cannot read|Invalid array length|Maximum call stack|out of range|object Object/

function requireClear(error: unknown): void {
  if (!(error instanceof VoxgradError)) throw error
  if (error.code === 'ERR_INTERNAL' || error.message.length < 20 || internal.test(error.message)) {
    throw new Error(`an unclear refusal: ${error.code} ${error.message}`)
  }
}
