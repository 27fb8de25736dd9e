// Runs one of this folder's programs in a process of its own, and waits for what it says.
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { type ErrorCode, type ErrorFacts, isDiskFault } from '../errors.js'

/** How a program ended: nothing where all went well. */
export interface Outcome {
  failure?: { message: string; disk?: { code: ErrorCode; facts: ErrorFacts } }
}

const longestMs = 60_000

/**
 * Never rejects: whatever happens to the process is a failure in its outcome.
 * @param name of a file beside this one, without its ending
 * @param limits signal: ends the process
 */
export function runApart(
  name: string,
  args: readonly string[],
  { timeoutMs = longestMs, signal }: { timeoutMs?: number; signal?: AbortSignal } = {},
): Promise<Outcome> {
  // Named from the root, so that src/ as it is run by the tests finds the compiled program too.
  const program = fileURLToPath(new URL(`../../dist/report/${name}.js`, import.meta.url))
  return new Promise((resolve) => {
    const fail = (message: string) => resolve({ failure: { message } })
    if (signal?.aborted) return fail('it was stopped')
    // In a group of its own, a terminal's Ctrl-C does not reach it: the last chart of a run that is stopped must be drawn.
    const apart = { detached: true, timeout: timeoutMs, execArgv: [], ...(signal && { signal }) }
    const child = fork(program, args, { ...apart, stdio: ['ignore', 'ignore', 'ignore', 'ipc'] })
    child.once('message', (outcome: Outcome) => resolve(outcome))
    child.once('error', ({ message }) => fail(message))
    child.once('exit', (code, end) => fail(`its process ended with ${end ?? `code ${code}`}`))
  })
}

/** The other side: does the work of such a program, says how it went, and ends. */
export async function answerApart(work: () => Promise<void>): Promise<void> {
  process.on('disconnect', () => process.exit())
  const outcome = await work().then(
    (): Outcome => ({}),
    (error: Error): Outcome => {
      const { message } = error
      return { failure: isDiskFault(error) ? { message, disk: { code: error.code, facts: error.facts } } : { message } }
    },
  )
  process.send?.(outcome, () => process.exit())
}
