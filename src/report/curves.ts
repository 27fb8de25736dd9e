// Writes a run's curves in a process of its own: what drawing leaves in memory would make a run of thousands of epochs grow,
// and a fault of the drawing library must not end training.
import path from 'node:path'
import { VoxgradError } from '../errors.js'
import { runApart } from './apart.js'

/**
 * Writes what follows from a run's metrics.jsonl into its folder: progress.svg and progress.png, metrics.csv, and scalars for
 * TensorBoard.
 * @throws VoxgradError ERR_DISK if they cannot be written, ERR_INTERNAL if drawing fails
 */
export async function writeCurves(runFolder: string): Promise<void> {
  const { failure } = await runApart('curves-child', [runFolder])
  if (!failure) return
  if (failure.disk) throw new VoxgradError(failure.disk.code, failure.disk.facts)
  throw new VoxgradError('ERR_INTERNAL', {
    where: path.join(runFolder, 'progress.png'),
    found: `cannot be drawn, because ${failure.message}`,
  })
}
