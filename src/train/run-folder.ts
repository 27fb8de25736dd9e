// A run's folder on disk: run.json, metrics.jsonl, training_log.txt and the paths of everything else.
import { existsSync, statSync } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import path from 'node:path'
import type { CheckpointName, TrainOptions } from '../config/schema.js'
import { VoxgradError } from '../errors.js'
import { diskFailure, makeFolder, readJson, writeFileAtomically, writeJson } from '../files.js'
import type { TrainerConfig } from '../native/binding.js'
import { modelFolderOf } from '../predict/model.js'
import type { EpochCurve, RunEvent, StopReason } from './events.js'
import type { PolicyName } from './policies.js'

/** run.json */
export interface RunRecord {
  format: 1
  /** Tells this run's checkpoints from those of others. */
  id: string
  status: 'running' | 'finished' | 'stopped' | 'failed'
  reason: StopReason | null
  /** The message of the error that ended the run. */
  error: string | null
  dataset: string
  /** Options with every default filled in; folders are absolute. */
  options: TrainOptions
  /** Decisions that were made by functions of a script, which must be given again to train on. */
  policies?: PolicyName[]
  /** The engine's final numbers. */
  resolved: TrainerConfig
  versions: Record<string, string>
  seed: string
  device: string
  threads: number
  /** Finished epochs and optimizer steps done. */
  epoch: number
  step: number
  processId: number
  startedAt: string
  updatedAt: string
}

/** A line of metrics.jsonl: epoch lines, and the events that explain a curve. */
export type MetricsLine =
  | Extract<
      RunEvent,
      { type: 'epoch' | 'checkpoint' | 'new_best' | 'resume' | 'warning' | 'annealing' | 'advice' | 'stop' }
    >
  | EpochCurve

/** Newest training first. */
export const checkpointNames: readonly CheckpointName[] = ['final', 'latest', 'best']

export class RunFolder {
  #unwritten = ''
  /** Size of metrics.jsonl after the last write that went well. */
  #metricsBytes: number | undefined
  #turn: Promise<void> = Promise.resolve()

  constructor(readonly folder: string) {}

  checkpoint(name: CheckpointName): string {
    return path.join(this.folder, `checkpoint_${name}.pth`)
  }

  /** Predictions of the validation cases: `validation` for the final weights, `validation_best` for the best. */
  validation(checkpoint: CheckpointName): string {
    return path.join(this.folder, checkpoint === 'final' ? 'validation' : `validation_${checkpoint}`)
  }

  /** Holds dataset.json and plans.json. */
  get modelFolder(): string {
    return modelFolderOf(this.folder)
  }

  get recordFile(): string {
    return path.join(this.folder, 'run.json')
  }

  get metricsFile(): string {
    return path.join(this.folder, 'metrics.jsonl')
  }

  /** Whether the folder holds checkpoints of nnU-Net only, which a resume takes over. */
  isForeign(): boolean {
    return !existsSync(this.recordFile) && checkpointNames.some((name) => existsSync(this.checkpoint(name)))
  }

  holdsRun(): boolean {
    return existsSync(this.recordFile) || checkpointNames.some((name) => existsSync(this.checkpoint(name)))
  }

  async readRecord(): Promise<RunRecord> {
    if (!existsSync(this.recordFile)) {
      throw new VoxgradError('ERR_RUN', {
        where: this.folder,
        required: 'a run folder with run.json, which `voxgrad train` writes',
        found: 'none',
        remedy: 'Check the path; `voxgrad runs` lists runs.',
      })
    }
    return (await readJson(this.recordFile, 'run.json', 'ERR_RUN')) as RunRecord
  }

  async writeRecord(record: RunRecord): Promise<void> {
    await writeJson(this.recordFile, { ...record, updatedAt: new Date().toISOString() })
  }

  /**
   * The line, and those before it that could not be written, are on the disk when the promise resolves.
   * @throws VoxgradError ERR_DISK; the next call writes the line again
   */
  appendMetrics(line: MetricsLine): Promise<void> {
    this.#unwritten += `${JSON.stringify(line)}\n`
    return this.flushMetrics()
  }

  /** Writes what could not be written before. Throws as appendMetrics does. */
  flushMetrics(): Promise<void> {
    const write = async () => {
      const text = this.#unwritten
      if (text === '') return
      this.#metricsBytes ??= existsSync(this.metricsFile) ? statSync(this.metricsFile).size : 0
      this.#metricsBytes = await append(this.metricsFile, text, { knownBytes: this.#metricsBytes })
      this.#unwritten = this.#unwritten.slice(text.length)
    }
    const turn = this.#turn.then(write, write)
    this.#turn = turn.catch(() => {})
    return turn
  }

  /** Lines in the order of the file; what a crash or a full disk cut short is left out. */
  async readMetrics(): Promise<MetricsLine[]> {
    if (!existsSync(this.metricsFile)) return []
    const lines = (await readFile(this.metricsFile, 'utf8')).split('\n')
    return lines.flatMap((line) => {
      try {
        return [JSON.parse(line) as MetricsLine]
      } catch {
        return []
      }
    })
  }

  /**
   * Makes metrics.jsonl what it was at the point that a run is resumed from, so that no epoch stands there twice, and none
   * is missing.
   * @param curve all epochs before that point, as its checkpoint knows them
   */
  async cutMetrics(from: { epoch: number; step: number }, curve: readonly EpochCurve[]): Promise<void> {
    const kept = metricsUntil(await this.readMetrics(), from)
    const isEpoch = (line: MetricsLine): line is EpochCurve => line.type === 'epoch'
    const known = new Set(kept.filter(isEpoch).map(({ epoch }) => epoch))
    const missing = curve.filter(({ epoch }) => !known.has(epoch))
    const firstKnown = Math.min(...known)
    const [before, after] = [
      missing.filter(({ epoch }) => epoch < firstKnown),
      missing.filter(({ epoch }) => epoch > firstKnown),
    ]
    const lines = [...before, ...kept, ...after]
    await writeFileAtomically(this.metricsFile, lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
    this.#metricsBytes = undefined
  }

  /** Lines of training_log.txt in nnU-Net's form: local time, text, a space. */
  async log(...texts: string[]): Promise<void> {
    const lines = texts.map((text) => `${logTime(new Date())}: ${text} \n`)
    await append(path.join(this.folder, 'training_log.txt'), lines.join(''), { sync: false })
  }
}

/** Lines that hold at a checkpoint with `epoch` finished epochs and `step` steps. */
export function metricsUntil(lines: MetricsLine[], from: { epoch: number; step: number }): MetricsLine[] {
  const seen = new Set<number>()
  return lines.filter((line) => {
    if (line.type === 'epoch') {
      const isKept = line.epoch < from.epoch && !seen.has(line.epoch)
      seen.add(line.epoch)
      return isKept
    }
    if (line.type === 'new_best') return line.epoch < from.epoch
    return !('step' in line) || line.step <= from.step
  })
}

/**
 * Appends to a file, all of the text or nothing.
 * @param knownBytes where the text belongs; what a failed write has left behind that is cut off first
 * @returns the size of the file afterwards
 */
async function append(
  file: string,
  text: string,
  { sync = true, knownBytes }: { sync?: boolean; knownBytes?: number | undefined },
): Promise<number> {
  try {
    await makeFolder(path.dirname(file))
    const handle = await open(file, 'a')
    try {
      const before = (await handle.stat()).size
      const from = Math.min(before, knownBytes ?? before)
      if (from < before) await handle.truncate(from)
      await handle.appendFile(text)
      if (sync) await handle.sync()
      return from + Buffer.byteLength(text)
    } finally {
      await handle.close()
    }
  } catch (error) {
    throw diskFailure(file, error)
  }
}

/** "2026-11-22 07:22:04.700000" */
function logTime(time: Date): string {
  const two = (value: number) => String(value).padStart(2, '0')
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`
  return `${day} ${clock}.${String(time.getMilliseconds()).padStart(3, '0')}000`
}
