// Opens files below given folders only, wherever symbolic links lead.
import { constants } from 'node:fs'
import { type FileHandle, open, readlink } from 'node:fs/promises'
import path from 'node:path'

/** A file that lies elsewhere, or is no plain file. */
export class OutsideError extends Error {}

const isBelow = (folder: string, file: string): boolean => file.startsWith(folder.endsWith('/') ? folder : `${folder}/`)

/**
 * Opens a file for reading if what was opened lies below one of the folders. Asked after opening, so that nobody can put a
 * link in its place in between; a pipe does not block.
 * @param folders as realpath gives them
 * @throws OutsideError, or the system's error
 */
export async function openInside(folders: readonly string[], file: string): Promise<FileHandle> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const opened = await readlink(`/proc/self/fd/${handle.fd}`)
    const isPlain = (await handle.stat()).isFile()
    if (isPlain && folders.some((folder) => isBelow(folder, opened))) return handle
  } catch (error) {
    await handle.close()
    throw error
  }
  await handle.close()
  throw new OutsideError(`${path.basename(file)} is no plain file below the folders that are shown`)
}

/** The text of a file, at most so many bytes. Throws as openInside does, and OutsideError for a larger file. */
export async function readInside(folders: readonly string[], file: string, mostBytes = 1 << 26): Promise<string> {
  const handle = await openInside(folders, file)
  try {
    if ((await handle.stat()).size > mostBytes) throw new OutsideError(`${path.basename(file)} is too large`)
    return await handle.readFile('utf8')
  } finally {
    await handle.close()
  }
}
