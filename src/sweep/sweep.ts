// Carries out a sweep: one queue of runs over the devices, each run a training under its own supervisor, in its own process.
import { defaultMaxListeners, setMaxListeners } from 'node:events'
import type { SweepInput, SweepOptions } from '../config/schema.js'
import { VoxgradError } from '../errors.js'
import type { Run, RunEvent, RunResult } from '../train/events.js'
import { type JobContext, startJob } from '../train/job.js'
import type { Job } from '../train/protocol.js'
import { RunFolder } from '../train/run-folder.js'
import { runInChild } from '../train/supervisor.js'
import type { SweepEvent, SweepResult, SweepRun } from './events.js'
import { type PreparedSweep, prepareSweep, trainInputOf } from './prepare.js'
import { hopeless, nextStarts, queueSecondsLeft } from './queue.js'
import { summarizeDataset, writeSummary } from './summary.js'

/**
 * Trains every fold of every configuration of every dataset, as many at once as there are devices, in run folders as train()
 * makes them. Finished runs are left alone and interrupted ones go on, so that the same sweep can be repeated until all is
 * done. A run that fails stops no other; its error is in the result. At the end sweep_PLANS.json is written beside each
 * dataset's results.
 *
 * Errors reach `finished` and the iteration: what keeps the sweep from beginning, all at once (ERR_CONFIG, ERR_PLANS,
 * ERR_PREPROCESSED, ERR_DEVICE, ...).
 * @param settings.signal its abort ends all runs after their step with a checkpoint each, as stop() does
 */
export function sweep(
  input: SweepInput,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Run<SweepResult, SweepEvent> {
  return startJob<SweepResult, SweepEvent>(
    async (context) => {
      const plan = await prepareSweep(input)
      await new Queue(plan, context).work()
      return conclude(plan, context)
    },
    { signal },
  )
}

/** The runs of a sweep on their devices. */
class Queue {
  readonly #plan: PreparedSweep
  readonly #context: JobContext<SweepEvent>
  /** Devices without those that have turned out to be unusable, and of these the free ones. */
  #usable: string[]
  #free: string[]
  readonly #working = new Set<Promise<void>>()

  constructor(plan: PreparedSweep, context: JobContext<SweepEvent>) {
    this.#plan = plan
    this.#context = context
    this.#usable = [...plan.devices]
    this.#free = [...plan.devices]
    // Each run listens to the end of this process and to the wish to stop.
    setMaxListeners(defaultMaxListeners + 2 * plan.devices.length, process, context.stopping)
  }

  /** Resolves when nothing is under way and nothing more can begin. */
  async work(): Promise<void> {
    const { devices, threads, runs, notes } = this.#plan
    this.#context.emit({ type: 'sweep_started', devices, threads, runs: structuredClone(runs) })
    for (const text of notes) this.#context.emit({ type: 'warning', text })
    for (;;) {
      this.#giveUp()
      if (!this.#context.stopping.aborted) for (const run of nextStarts(runs, this.#free.length)) this.#start(run)
      if (this.#working.size === 0) return
      await Promise.race(this.#working)
    }
  }

  #start(run: SweepRun): void {
    const device = this.#free.shift() as string
    const working = this.#train(run, device).then(() => {
      if (this.#usable.includes(device)) this.#free.push(device)
      this.#working.delete(working)
    })
    this.#working.add(working)
  }

  async #train(run: SweepRun, device: string): Promise<void> {
    this.#change(run, { state: 'running', device })
    let isBegun = false
    try {
      const job = jobOf(run, device, this.#plan)
      const training = runInChild<RunResult>(job, { signal: this.#context.stopping })
      for await (const event of training) {
        isBegun ||= event.type === 'run_started'
        this.#takeIn(run, event)
      }
      const { status, folder, epochs, step, validations } = await training.finished
      const validationDice = validations[0]?.meanForegroundDice ?? null
      if (folder === '') this.#change(run, { state: 'waiting' })
      else this.#change(run, { state: status, epoch: Math.max(run.epoch, epochs), step, validationDice })
    } catch (error) {
      // A process that a terminal's signal ends before it can listen: the run is as it was.
      if (this.#context.stopping.aborted && !isBegun) {
        this.#change(run, { state: run.step > 0 ? 'stopped' : 'waiting' })
        return
      }
      const known = error instanceof VoxgradError ? error : new VoxgradError('ERR_INTERNAL', String(error))
      if (known.code === 'ERR_DEVICE' && this.#retire(device, known)) this.#change(run, { state: 'waiting' })
      else this.#change(run, { state: 'failed', error: known.toJSON() })
    }
  }

  /** Takes a device out, so that it does not fail one run after the other. Returns false for the last one. */
  #retire(device: string, { message }: VoxgradError): boolean {
    const others = this.#usable.filter((other) => other !== device)
    if (others.length === 0) return false
    this.#usable = others
    this.#free = this.#free.filter((other) => other !== device)
    this.#context.emit({ type: 'warning', text: `The sweep goes on without ${device}: ${message}` })
    return true
  }

  #takeIn(run: SweepRun, event: RunEvent): void {
    switch (event.type) {
      case 'run_started': {
        const { epochs, step, totalSteps } = event
        Object.assign(run, { epochs, step, totalSteps })
        break
      }
      case 'progress':
        if (event.secondsLeft !== null && event.totalSteps > event.step) {
          run.secondsPerStep = event.secondsLeft / (event.totalSteps - event.step)
        }
        Object.assign(run, { epoch: event.epoch, step: event.step, secondsLeft: event.secondsLeft })
        break
      case 'epoch':
        run.seconds += event.seconds
        Object.assign(run, { epoch: event.epoch + 1, step: event.step, ema_fg_dice: event.ema_fg_dice })
        break
      case 'validation_progress':
        Object.assign(run, { validation: { done: event.done, total: event.total }, secondsLeft: event.secondsLeft })
        break
    }
    if (event.type !== 'progress') this.#context.emit({ type: 'run_event', run: run.name, event })
    this.#tell()
  }

  #change(run: SweepRun, changes: Partial<SweepRun>): void {
    Object.assign(run, { device: null, secondsLeft: null, validation: null }, changes)
    this.#context.emit({ type: 'sweep_run', run: structuredClone(run) })
    this.#tell()
  }

  #tell(): void {
    const { runs } = this.#plan
    const done = runs.filter(({ state }) => state !== 'waiting' && state !== 'running').length
    const secondsLeft = queueSecondsLeft(runs, this.#usable.length)
    this.#context.emit({ type: 'progress', done, total: runs.length, secondsLeft, runs: structuredClone(runs) })
  }

  /** Runs whose need was not met. After a wish to stop they simply wait for the next sweep. */
  #giveUp(): void {
    if (this.#context.stopping.aborted) return
    for (const { run, because } of hopeless(this.#plan.runs)) {
      const found = `${run.name} needs ${because.name}, which is ${because.state}`
      const remedy = `See why (\`voxgrad status ${because.folder}\`), then repeat the sweep.`
      this.#change(run, { state: 'blocked', error: new VoxgradError('ERR_RUN', { found, remedy }).toJSON() })
    }
  }
}

/** Begins a run, or goes on with it on the device that is free now. */
function jobOf(run: SweepRun, device: string, { options, threads }: PreparedSweep): Job {
  if (new RunFolder(run.folder).holdsRun()) {
    const { time } = options.budget
    const budget = time === undefined ? {} : { time }
    return { kind: 'resume', options: { run: run.folder, folders: options.folders, device, budget } }
  }
  return { kind: 'train', options: { ...trainInputOf(asInput(options), run), device, threads } }
}

/** Parsed options are fit to be parsed again. */
const asInput = (options: SweepOptions): SweepInput => options as SweepInput

async function conclude({ options, folders, datasets, runs }: PreparedSweep, context: JobContext<SweepEvent>) {
  const summaries = []
  for (const dataset of datasets) {
    const summary = await summarizeDataset(folders.results, dataset, options.plans)
    await writeSummary(folders.results, summary)
    summaries.push(summary)
  }
  const stopped = context.stopping.aborted && runs.some(({ state }) => state === 'stopped' || state === 'waiting')
  const result: SweepResult = { runs, summaries, stopped }
  context.emit({ type: 'sweep_finished', result })
  return result
}
