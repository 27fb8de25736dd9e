// Writes a run's curves in a process of its own: what drawing leaves in memory would make a run of thousands of epochs grow,
// and a fault of the drawing library must not end training.
import { fork } from 'node:child_process'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { VoxgradError } from '../errors.js'

export interface CurvesOutcome {
  failure?: { message: string; isDiskFault: boolean }
}

// Named from the root, so that src/ as it is run by the tests finds the compiled program too.
const program = fileURLToPath(new URL('../../dist/report/curves-child.js', import.meta.url))

const longestMs = 60_000

/**
 * Writes what follows from a run's metrics.jsonl into its folder: progress.svg and progress.png, metrics.csv, and scalars for
 * TensorBoard.
 * @throws VoxgradError ERR_DISK if they cannot be written, ERR_INTERNAL if drawing fails
 */
export async function writeCurves(runFolder: string): Promise<void> {
  const { failure } = await new Promise<CurvesOutcome>((resolve) => {
    const fail = (message: string) => resolve({ failure: { message, isDiskFault: false } })
    // In a group of its own, a terminal's Ctrl-C does not reach it: the last chart of a run that is stopped must be drawn.
    const apart = { detached: true, timeout: longestMs, execArgv: [] }
    const child = fork(program, [runFolder], { ...apart, stdio: ['ignore', 'ignore', 'ignore', 'ipc'] })
    child.once('message', (outcome: CurvesOutcome) => resolve(outcome))
    child.once('error', ({ message }) => fail(message))
    child.once('exit', (code, signal) => fail(`the drawing process ended with ${signal ?? `code ${code}`}`))
  })
  if (!failure) return
  if (failure.isDiskFault) throw new VoxgradError('ERR_DISK', failure.message)
  throw new VoxgradError(
    'ERR_INTERNAL',
    `${path.join(runFolder, 'progress.png')}: cannot be drawn, because ${failure.message}`,
  )
}
