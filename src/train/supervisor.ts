// Runs a job in a child process (worker.ts): a crash of the engine then ends the child with a clear error, not the caller.
import { fork } from 'node:child_process'
import { constants, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { VoxgradError } from '../errors.js'
import type { Run } from './events.js'
import { type JobContext, startJob } from './job.js'
import type { FromChild, Job, ToChild } from './protocol.js'

/**
 * Starts a job in a child process. The run behaves as one in this process would; result and events are those of the
 * package's function of the same name.
 * Errors are those of the job, and ERR_OUT_OF_MEMORY or ERR_INTERNAL where the child was killed or crashed.
 */
export function runInChild<Result>(job: Job, { signal }: { signal?: AbortSignal } = {}): Run<Result> {
  return startJob((context) => superviseChild<Result>(job, context), signal)
}

function superviseChild<Result>(job: Job, context: JobContext): Promise<Result> {
  // The child's output goes to stderr: stdout is for machine-readable output alone.
  const child = fork(fileURLToPath(new URL('./worker.js', import.meta.url)), [], {
    execArgv: [],
    serialization: 'advanced',
    stdio: ['ignore', 2, 2, 'ipc'],
  })
  const send = (message: ToChild) => child.connected && child.send(message)
  const stop = () => send({ type: 'stop' })
  send({ type: 'job', job })
  if (context.stopping.aborted) stop()
  context.stopping.addEventListener('abort', stop)

  return new Promise<Result>((resolve, reject) => {
    child.on('message', (message: FromChild) => {
      if (message.type === 'event') context.emit(message.event)
      else if (message.type === 'done') resolve(message.result as Result)
      else reject(new VoxgradError(message.code, message.message, nativeBacktraceOf(message)))
    })
    child.on('error', (error) =>
      reject(new VoxgradError('ERR_INTERNAL', `the engine's process did not start: ${error.message}`)),
    )
    // After an ordinary end the promise is settled already, and rejecting changes nothing.
    child.on('exit', (code, killedBy) => {
      const report = () => reject(suddenEnd(code, killedBy))
      // Its last messages may still be on their way.
      if (child.connected) child.once('disconnect', report)
      else report()
    })
  }).finally(() => context.stopping.removeEventListener('abort', stop))
}

const nativeBacktraceOf = ({ nativeBacktrace }: { nativeBacktrace?: string }) =>
  nativeBacktrace === undefined ? {} : { nativeBacktrace }

/** What it means that the child ended without a word. */
export function suddenEnd(code: number | null, killedBy: NodeJS.Signals | null): VoxgradError {
  const resumable = 'What was saved is whole: `voxgrad resume RUN` goes on from the newest checkpoint.'
  if (killedBy === 'SIGKILL' || code === 128 + constants.signals.SIGKILL) {
    const gigabytes = (totalmem() / 2 ** 30).toFixed(1)
    return new VoxgradError(
      'ERR_OUT_OF_MEMORY',
      `The engine's process was killed (SIGKILL), most likely because memory ran out (this machine has ${gigabytes} GB). Use a smaller batch or patch, or end other programs. ${resumable}`,
    )
  }
  if (killedBy !== null) {
    return new VoxgradError('ERR_INTERNAL', `The engine's process crashed (${killedBy}). ${resumable}`)
  }
  return new VoxgradError('ERR_INTERNAL', `The engine's process ended unexpectedly with code ${code}. ${resumable}`)
}
