// Runs a job in a child process (worker.ts) and looks after it: a crash, a kill or a hang of the engine is reported with its
// cause, and a training goes on from its newest whole checkpoint in a new child.
import { type ChildProcess, fork } from 'node:child_process'
import { constants, totalmem } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { VoxgradError } from '../errors.js'
import { failureOfRank } from '../ranks/commands.js'
import type { LocalRanks } from '../ranks/devices.js'
import { type Place, rankTimeoutSeconds } from '../ranks/environment.js'
import { freePort } from '../ranks/free-port.js'
import type { Run, RunEvent } from './events.js'
import { type JobContext, type Restart, startJob } from './job.js'
import type { FromChild, Job, ToChild } from './protocol.js'
import { Watchdog } from './watchdog.js'

/** New children without a new checkpoint between them, before the error is passed on. */
const mostRestarts = 3
const tickSeconds = 1

/**
 * Starts a job in a child process. The run behaves as one in this process would; result and events are those of the
 * package's function of the same name.
 * Errors are those of the job, and ERR_HOST_MEMORY or ERR_INTERNAL where children were killed, crashed or hung too often.
 */
export function runInChild<Result>(
  job: Job,
  { signal, ranks = null }: { signal?: AbortSignal; ranks?: Ranks | null } = {},
): Run<Result> {
  return startJob((context) => supervise<Result>(job, ranks, context), { signal })
}

/** The processes that share a training: one of those that another launcher has started, or all of this machine's own. */
export type Ranks = Place | LocalRanks

async function supervise<Result>(job: Job, ranks: Ranks | null, context: JobContext): Promise<Result> {
  const begin = performance.now()
  let next = job
  let restarts = 0
  let savedStep = -1
  let savedStepAtCrash = -1
  const emit = (event: RunEvent) => {
    if (event.type === 'checkpoint') savedStep = Math.max(savedStep, event.step)
    context.emit(event)
  }
  for (;;) {
    const outcome = await runRanks<Result>(next, ranks, { ...context, emit })
    if (outcome.kind === 'done') return outcome.result
    if (outcome.kind === 'failed') throw outcome.error
    const again = restartOf(job, { because: outcome.error.message, secondsUsed: (performance.now() - begin) / 1000 })
    if (savedStep > savedStepAtCrash) restarts = 0
    savedStepAtCrash = savedStep
    // torchrun and Slurm start all ranks again.
    const isOneOfMany = ranks !== null && 'group' in ranks
    if (again === null || isOneOfMany || context.stopping.aborted || restarts >= mostRestarts) throw outcome.error
    restarts++
    const text = `${outcome.error.message} Starting it again from the newest whole checkpoint (${restarts} of at most ${mostRestarts} times without progress).`
    context.emit({ type: 'warning', text })
    await sleep(1000 * 2 ** (restarts - 1))
    if (context.stopping.aborted) throw outcome.error
    next = again
  }
}

/** The same run from where it is; null for jobs that are not resumed. */
function restartOf(job: Job, restart: Restart): Job | null {
  // Options of the first call, such as a new length, are in run.json by now or nothing was done yet.
  if (job.kind === 'train') return { ...job, options: { ...job.options, continue: true }, restart }
  if (job.kind !== 'resume') return null
  const { run, folders, device } = job.options
  return { ...job, options: { run, folders, device }, restart }
}

type Outcome<Result> =
  | { kind: 'done'; result: Result }
  /** The job ended with an error of its own. */
  | { kind: 'failed'; error: VoxgradError }
  /** The process ended without a word, or had to be killed. */
  | { kind: 'crashed'; error: VoxgradError }

function runRanks<Result>(job: Job, ranks: Ranks | null, context: JobContext): Promise<Outcome<Result>> {
  if (ranks === null) return runChild(job, context)
  if ('devices' in ranks) return runAllRanks(job, ranks.devices, context)
  const { group, localRank } = ranks
  return runChild({ ...job, rank: { group, localRank } } as Job, context)
}

/** Milliseconds in which the other ranks find out that one is gone, and say what they know. */
const lastWordsMs = 5000

/** Milliseconds for a process to end after its last word. */
const graceMs = 5000

/** One process a device. The first fault of any ends all. */
async function runAllRanks<Result>(job: Job, devices: string[], context: JobContext): Promise<Outcome<Result>> {
  const port = await freePort()
  const group = { ranks: devices.length, address: '127.0.0.1', port, attempt: '0', timeoutSeconds: rankTimeoutSeconds }
  const ending = new AbortController()
  const silent = { ...context, emit: () => {}, stopping: new AbortController().signal }
  const settled = new Map<number, Outcome<Result>>()
  const children = devices.map(async (device, rank) => {
    const own = { ...job, rank: { group: { ...group, rank, hostsStore: rank === 0 }, device, localRank: rank } } as Job
    const outcome = await runChild<Result>(own, rank === 0 ? context : silent, {
      ending: ending.signal,
      ranks: devices.length,
    })
    settled.set(rank, outcome)
    return outcome
  })
  const ended = await Promise.race([
    children[0] as Promise<Outcome<Result>>,
    ...children.slice(1).map(async (child) => {
      const outcome = await child
      return outcome.kind === 'done' ? (children[0] as Promise<Outcome<Result>>) : outcome
    }),
  ])
  await Promise.race([Promise.all(children), sleep(lastWordsMs, null, { ref: false })])
  ending.abort()
  if (ended.kind === 'done') return ended
  return causeOf([...settled])
}

/** Of all ranks' ends the one that led to the others: what a rank failed with itself, else what became of its process. */
function causeOf<Result>(ends: [number, Outcome<Result>][]): Outcome<Result> {
  const isLoss = (outcome: Outcome<Result>) => outcome.kind === 'failed' && outcome.error.code === 'ERR_RANK'
  const weight = (outcome: Outcome<Result>) =>
    outcome.kind === 'done' ? 3 : isLoss(outcome) ? 2 : outcome.kind === 'crashed' ? 1 : 0
  const [rank, outcome] = ends.toSorted(([i, a], [j, b]) => weight(a) - weight(b) || i - j)[0] as [
    number,
    Outcome<Result>,
  ]
  if (outcome.kind === 'done') return outcome
  const error = rank === 0 ? outcome.error : failureOfRank(rank, outcome.error)
  // A rank that lost the others may find them again.
  return { kind: isLoss(outcome) ? 'crashed' : outcome.kind, error }
}

/**
 * @param ending kills the child
 * @param ranks how many such children share this machine
 */
function runChild<Result>(
  job: Job,
  context: JobContext,
  { ending, ranks }: { ending?: AbortSignal; ranks?: number } = {},
): Promise<Outcome<Result>> {
  // The child's output goes to stderr: stdout is for machine-readable output alone.
  const child = fork(fileURLToPath(new URL('./worker.js', import.meta.url)), [], {
    execArgv: [],
    serialization: 'advanced',
    stdio: ['ignore', 2, 2, 'ipc'],
    env: {
      ...process.env,
      ...(ranks === undefined ? {} : { LOCAL_WORLD_SIZE: String(ranks) }),
      // c10d warns of waits that end as they are meant to.
      ...('rank' in job && job.rank ? { TORCH_CPP_LOG_LEVEL: process.env.TORCH_CPP_LOG_LEVEL ?? 'ERROR' } : {}),
    },
  })
  const send = (message: ToChild) => child.connected && child.send(message)
  const stop = () => send({ type: 'stop' })
  send({ type: 'job', job })
  if (context.stopping.aborted) stop()
  context.stopping.addEventListener('abort', stop)
  // Leaving at once must not leave the child behind.
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  ending?.addEventListener('abort', kill)
  const guard = guardAgainstHangs(child)

  return new Promise<Outcome<Result>>((resolve) => {
    child.on('message', (message: FromChild) => {
      guard.takeIn(message)
      if (message.type === 'event') context.emit(message.event)
      else if (message.type === 'done') resolve({ kind: 'done', result: message.result as Result })
      else if (message.type === 'failed') resolve({ kind: 'failed', error: errorOf(message) })
    })
    child.on('error', ({ message, code }: NodeJS.ErrnoException) => {
      // It ended before it took its job; its exit says why.
      if (code === 'EPIPE') return
      const text = `The engine's process did not start: ${message}`
      resolve({ kind: 'failed', error: new VoxgradError('ERR_INTERNAL', text) })
    })
    // After an ordinary end the promise is settled already, and settling it again changes nothing.
    child.on('exit', (code, killedBy) => {
      const report = () => resolve({ kind: 'crashed', error: guard.hang() ?? suddenEnd(code, killedBy) })
      process.off('exit', kill)
      // Its last messages may still be on their way.
      if (child.connected) child.once('disconnect', report)
      else report()
    })
  }).finally(() => {
    guard.end()
    // It has said its last word; calls that never return must not keep it.
    setTimeout(kill, graceMs).unref()
    context.stopping.removeEventListener('abort', stop)
  })
}

function errorOf({ code, facts, nativeBacktrace }: FromChild & { type: 'failed' }): VoxgradError {
  return new VoxgradError(code, facts, { nativeBacktrace })
}

/** Kills a child that shows no sign of life for too long. */
function guardAgainstHangs(child: ChildProcess) {
  const watchdog = new Watchdog()
  let hang: VoxgradError | null = null
  let last = performance.now()
  const timer = setInterval(() => {
    const now = performance.now()
    const found = watchdog.tick((now - last) / 1000)
    last = now
    if (found === null || hang !== null) return
    hang = new VoxgradError(
      'ERR_INTERNAL',
      `The engine's process hung: nothing moved for ${found.seconds} s (${found.place}), so it was killed`,
    )
    child.kill('SIGKILL')
  }, tickSeconds * 1000)
  return {
    takeIn(message: FromChild): void {
      if (message.type === 'event' && message.event.type === 'run_started') watchdog.allow(message.event.hangSeconds)
      if (message.type === 'alive') watchdog.alive(message.section, message.caseId)
      else watchdog.alive()
    },
    hang: () => hang,
    end: () => clearInterval(timer),
  }
}

/** What it means that the child ended without a word. */
export function suddenEnd(code: number | null, killedBy: NodeJS.Signals | null): VoxgradError {
  if (killedBy === 'SIGKILL' || code === 128 + constants.signals.SIGKILL) {
    const gigabytes = (totalmem() / 2 ** 30).toFixed(1)
    return new VoxgradError(
      'ERR_HOST_MEMORY',
      `The engine's process was killed (SIGKILL), most likely because memory ran out: this machine has ${gigabytes} GB`,
    )
  }
  // Ctrl-C reaches the child as well, and ends it only as long as it has not begun.
  if (killedBy === 'SIGINT') return new VoxgradError('ERR_STOPPED', 'Stopped before anything was done')
  if (killedBy !== null) return new VoxgradError('ERR_INTERNAL', `The engine's process crashed (${killedBy})`)
  return new VoxgradError('ERR_INTERNAL', `The engine's process ended unexpectedly with code ${code}`)
}
