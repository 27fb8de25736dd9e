// The command line as a program of its own, in a process group of its own, to be killed, signaled and starved.
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { expect } from 'vitest'
import type { CheckpointName } from '../../src/config/schema.js'
import { readCandidates } from '../../src/train/candidates.js'
import type { RunEvent } from '../../src/train/events.js'
import type { Candidate } from '../../src/train/resume.js'
import { RunFolder } from '../../src/train/run-folder.js'
import { recordOf } from '../train/run-files.js'
import type { SmallDataset } from '../train/small-dataset.js'

const entry = new URL('../../dist/cli/main.js', import.meta.url).pathname

export interface Ending {
  code: number | null
  signal: NodeJS.Signals | null
  stderr: string
}

/** A voxgrad under way; with --json its events are read. */
export class Program {
  readonly events: RunEvent[] = []
  readonly ended: Promise<Ending>
  readonly startedAt = performance.now()
  readonly #child: ChildProcess
  #stderr = ''
  #listeners: (() => void)[] = []
  #isOver = false

  constructor(args: string[], folders: SmallDataset['folders'], env: Record<string, string> = {}) {
    this.#child = spawn(process.execPath, [entry, ...args], {
      // The leader of a new group; the engine's process is in it too.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        nnUNet_raw: folders.raw,
        nnUNet_preprocessed: folders.preprocessed,
        nnUNet_results: folders.results,
        ...env,
      },
    })
    this.#child.stderr?.on('data', (text) => {
      this.#stderr += text
    })
    const lines = createInterface({ input: this.#child.stdout as NodeJS.ReadableStream })
    lines.on('line', (line) => {
      if (!line.startsWith('{')) return
      this.events.push(JSON.parse(line) as RunEvent)
      this.#wake()
    })
    this.ended = new Promise((resolve) => {
      this.#child.on('close', (code, signal) => {
        this.#isOver = true
        this.#wake()
        resolve({ code, signal, stderr: this.#stderr })
      })
    })
  }

  get id(): number {
    return this.#child.pid as number
  }

  /** Whether it is still running. */
  get isRunning(): boolean {
    return !this.#isOver && this.#child.exitCode === null && this.#child.signalCode === null
  }

  #wake(): void {
    for (const listener of this.#listeners.splice(0)) listener()
  }

  /** The first event that fits, from now or before; undefined if the program ends without one. */
  async until(fits: (event: RunEvent) => boolean): Promise<RunEvent | undefined> {
    for (;;) {
      const found = this.events.find(fits)
      if (found || this.#isOver) return found
      await new Promise<void>((resolve) => this.#listeners.push(resolve))
    }
  }

  signal(name: NodeJS.Signals): void {
    if (this.isRunning) process.kill(this.id, name)
  }

  signalGroup(name: NodeJS.Signals): void {
    try {
      process.kill(-this.id, name)
    } catch {} // ended meanwhile
  }

  /** The processes of its group that are alive. */
  group(): number[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((id) => {
        const [state, , group] = statOf(id)
        return group === String(this.id) && state !== 'Z'
      })
  }

  /** Waits until its group is empty; fails with those that are left after `seconds`. */
  async expectNothingLeft(seconds = 5): Promise<void> {
    await expect.poll(() => this.group(), { timeout: 1000 * seconds, interval: 20 }).toEqual([])
  }

  /** Whether the command line's own signal handlers are there (of these signals, Node itself takes none but SIGINT). */
  catchesSignals(): boolean {
    const caught = /^SigCgt:\s*([0-9a-f]+)$/m.exec(statusOf(this.id))?.[1]
    const hangup = 1n
    return caught !== undefined && (BigInt(`0x${caught}`) & hangup) !== 0n
  }
}

/** State, parent and process group of a process; empty once it is gone. */
function statOf(id: number): string[] {
  try {
    const stat = readFileSync(`/proc/${id}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    return []
  }
}

function statusOf(id: number): string {
  try {
    return readFileSync(`/proc/${id}/status`, 'utf8')
  } catch {
    return ''
  }
}

export interface TrainArguments {
  run: string
  plans?: string
  epochs?: number
  stepsPerEpoch?: number
  valSteps?: number
  /** Values for --set; they win over the ones that make a run quick. */
  set?: Record<string, string | number | boolean>
  flags?: string[]
}

/** voxgrad train on the small dataset: 3 epochs of 4 steps, saved after each. */
export function trainArguments({ run, plans, epochs, stepsPerEpoch, valSteps, set, flags }: TrainArguments): string[] {
  const assignments = { 'checkpoint.everyEpochs': 1, 'validation.mirroring': false, ...set }
  return [
    ...['train', '9', '3d_fullres', '0', '--run', run, '--plans', plans ?? 'nnUNetPlansTiny'],
    ...['--epochs', String(epochs ?? 3), '--steps-per-epoch', String(stepsPerEpoch ?? 4)],
    ...['--val-steps', String(valSteps ?? 2), '--threads', '1', '--seed', '7', '--json', ...(flags ?? [])],
    ...Object.entries(assignments).flatMap(([key, value]) => ['--set', `${key}=${value}`]),
  ]
}

/** The checkpoints in a run folder. */
export async function checkpointsOf(run: string, stepsPerEpoch = 4): Promise<Candidate[]> {
  const folder = new RunFolder(run)
  return existsSync(folder.recordFile) ? readCandidates(folder, recordOf(run).id, stepsPerEpoch) : []
}

/** The steps of the checkpoints in a run folder; fails if one of them is damaged. */
export async function wholeCheckpoints(run: string, stepsPerEpoch = 4): Promise<Map<CheckpointName, number>> {
  const candidates = await checkpointsOf(run, stepsPerEpoch)
  expect(candidates.filter((candidate) => 'fault' in candidate)).toEqual([])
  return new Map(candidates.flatMap((found) => ('state' in found ? [[found.name, found.state.step]] : [])))
}
