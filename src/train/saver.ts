// Saves checkpoints while training goes on: what is to be saved is copied first, then written by another thread.
import path from 'node:path'
import type { CheckpointName } from '../config/schema.js'
import { VoxgradError } from '../errors.js'
import type { NativeTrainer } from '../native/binding.js'
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

export class CheckpointSaver {
  #writing: Promise<void> = Promise.resolve()
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

  /**
   * Resolves as soon as training may go on. A second call waits for the files of the first, so that there is one copy at
   * most.
   * @param names the files that get this content
   * @throws VoxgradError ERR_NON_FINITE if a weight is not finite; nothing is written then
   */
  async save(
    names: readonly CheckpointName[],
    { entries, learningRate, epoch, step }: CheckpointContent,
  ): Promise<void> {
    const begin = performance.now()
    await this.settle()
    const captured = await this.trainer.captureCheckpoint({ entries, learningRate })
    const stall_ms = performance.now() - begin
    this.#writing = (async () => {
      for (const name of names) {
        const start = performance.now()
        const file = this.folder.checkpoint(name)
        await native().writeCheckpoint(file, captured)
        const write_ms = performance.now() - start
        await this.onSaved({ type: 'checkpoint', file: path.basename(file), epoch, step, stall_ms, write_ms })
      }
    })().catch(async (error: unknown) => {
      if (error instanceof VoxgradError && error.code === 'ERR_DISK') await this.onFailed(error)
      else this.#fault = error
    })
  }

  /** Resolves when everything is written or reported as failed. */
  async settle(): Promise<void> {
    await this.#writing
    const fault = this.#fault
    this.#fault = undefined
    if (fault !== undefined) throw fault
  }
}
