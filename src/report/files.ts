// Writing a report file so that a reader never sees half of it.
import { rename, rm, writeFile } from 'node:fs/promises'
import { VoxgradError } from '../errors.js'

/**
 * Writes a file beside its final name and renames it. Reports can be drawn again, so nothing is forced to the disk.
 * @throws VoxgradError ERR_DISK naming the file
 */
export async function replaceFile(file: string, bytes: Uint8Array | string): Promise<void> {
  const temporary = `${file}.${process.pid}.part`
  try {
    await writeFile(temporary, bytes)
    await rename(temporary, file)
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => {})
    throw new VoxgradError('ERR_DISK', `${file} cannot be written: ${(cause as Error).message}`, { cause })
  }
}
