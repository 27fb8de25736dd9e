// Saves checkpoints while training goes on: what is to be saved is copied first, then written by another thread.
import path from 'node:path'
import type { CheckpointName } from '../config/schema.js'
import { isDiskFault, type VoxgradError } from '../errors.js'
import type { CapturedCheckpoint, NativeTrainer } from '../native/binding.js'
import { native } from '../native/load.js'
import type { CheckpointEvent } from './events.js'
import type { RunFolder } from './run-folder.js'

export interface CheckpointContent {
  entries: Record<string, unknown>
  learningRate: number
  /** Finished epochs and optimizer steps that it holds. */
  epoch: number
  step: number
}

interface Capture {
  checkpoint: CapturedCheckpoint
  epoch: number
  step: number
  stall_ms: number
}

export class CheckpointSaver {
  #writing: Promise<void> = Promise.resolve()
  /** What is not on the disk yet; of best weights there will be no other copy. */
  readonly #unwritten = new Map<CheckpointName, Capture>()
  readonly #failed = new Map<CheckpointName, VoxgradError>()
  #fault: unknown

  /**
   * @param onSaved called when a file is whole on the disk
   * @param onFailed called when one could not be written (ERR_DISK); the file before it is untouched
   */
  constructor(
    private readonly trainer: NativeTrainer,
    private readonly folder: RunFolder,
    private readonly onSaved: (event: CheckpointEvent) => Promise<void>,
    private readonly onFailed: (error: VoxgradError) => Promise<void>,
  ) {}

  /** Files that could not be written so far, each with the reason; every save tries them again. */
  get overdue(): ReadonlyMap<CheckpointName, VoxgradError> {
    return this.#failed
  }

  /**
   * Resolves as soon as training may go on. A second call waits for the files of the first.
   * @param names the files that get this content
   * @throws VoxgradError ERR_NON_FINITE if a weight is not finite; nothing is written then
   */
  async save(
    names: readonly CheckpointName[],
    { entries, learningRate, epoch, step }: CheckpointContent,
  ): Promise<void> {
    const begin = performance.now()
    await this.settle()
    const checkpoint = await this.trainer.captureCheckpoint({ entries, learningRate })
    const capture = { checkpoint, epoch, step, stall_ms: performance.now() - begin }
    for (const name of names) this.#unwritten.set(name, capture)
    this.#writing = this.#writeAll().catch((error: unknown) => {
      this.#fault = error
    })
  }

  /** Resolves when everything is written or reported as failed. */
  async settle(): Promise<void> {
    await this.#writing
    const fault = this.#fault
    this.#fault = undefined
    if (fault !== undefined) throw fault
  }

  async #writeAll(): Promise<void> {
    for (const [name, { checkpoint, ...at }] of this.#unwritten) {
      const begin = performance.now()
      const file = this.folder.checkpoint(name)
      try {
        await native().writeCheckpoint(file, checkpoint)
      } catch (error) {
        if (!isDiskFault(error)) throw error
        this.#failed.set(name, error)
        await this.onFailed(error)
        continue
      }
      this.#unwritten.delete(name)
      this.#failed.delete(name)
      await native().releaseMemory()
      await this.onSaved({ type: 'checkpoint', file: path.basename(file), ...at, write_ms: performance.now() - begin })
    }
  }
}
