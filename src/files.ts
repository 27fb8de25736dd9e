// Reading and writing whole files: atomic writes, and file system errors as one clear VoxgradError.
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { access, constants, mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { type ErrorCode, VoxgradError } from './errors.js'
import { formatJson, parseJson } from './json.js'

const reasons: Record<string, string> = {
  ENOSPC: 'no space is left on the disk',
  EDQUOT: 'the disk quota is used up',
  EROFS: 'the file system is read-only',
  EACCES: 'permission is denied',
  EPERM: 'permission is denied',
  ENOENT: 'there is no such file or folder',
  ENOTDIR: 'a part of the path is not a folder',
  EISDIR: 'this is a folder, a file is expected',
  EMFILE: 'too many files are open (raise `ulimit -n`)',
}

/** A file system error in words, without its path. */
export function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return reasons[code ?? ''] ?? message
}

/** ERR_DISK_FULL or ERR_DISK about a file or folder that `error` kept from being written. */
export function diskFailure(where: string, error: unknown, deed = 'cannot be written'): VoxgradError {
  const isFull = ['ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code ?? '')
  const found = `${deed}, because ${reasonOf(error)}`
  return new VoxgradError(isFull ? 'ERR_DISK_FULL' : 'ERR_DISK', { where, found }, { cause: error })
}

/**
 * Reads a whole file.
 * @param what what the file is, for the message: 'dataset.json', 'image'
 * @throws VoxgradError with `code` (ERR_DATASET where input data is read)
 */
export async function readBytes(file: string, what: string, code: ErrorCode = 'ERR_DATASET'): Promise<Buffer> {
  try {
    return await readFile(file)
  } catch (error) {
    throw new VoxgradError(
      code,
      { where: file, required: `a readable ${what}`, found: `that ${reasonOf(error)}` },
      { cause: error },
    )
  }
}

/** A summary.json of thousands of cases with a hundred labels has some 50 million bytes. */
const largestJson = 1 << 28

/** Reads and parses a JSON file (Python's NaN included). Throws as readBytes and parseJson do. */
export async function readJson(file: string, what: string, code: ErrorCode = 'ERR_DATASET'): Promise<unknown> {
  const bytes = await readBytes(file, what, code)
  if (bytes.length > largestJson) {
    throw new VoxgradError(code, `${file}: expected a ${what} of at most ${largestJson} bytes, found ${bytes.length}`)
  }
  return parseJson(bytes.toString('utf8'), file)
}

/**
 * Writes a file so that at any moment either the old or the new content is there: temporary file in the same folder,
 * fsync, rename, fsync of the folder. The folder is made if it is missing.
 * @throws VoxgradError ERR_DISK; the earlier file is then untouched and the temporary one removed
 */
export async function writeFileAtomically(file: string, content: Uint8Array | string): Promise<void> {
  const folder = path.dirname(file)
  const temporary = path.join(folder, `.${path.basename(file)}.${randomBytes(6).toString('hex')}.tmp`)
  try {
    await makeFolder(folder)
    const handle = await open(temporary, 'wx')
    try {
      await handle.writeFile(content)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, file)
    await syncFolder(folder)
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined)
    throw diskFailure(file, error)
  }
}

/** Makes a folder and those above it. Rejects with the system's error, whose reason reasonOf() gives. */
export async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true })
  } catch (error) {
    // Node reports a read-only file system as ENOENT; the nearest folder that exists says what is wrong.
    let existing = folder
    while (!existsSync(existing)) existing = path.dirname(existing)
    await access(existing, constants.W_OK)
    throw error
  }
}

/** Makes the names in a folder (new, renamed) survive a power cut. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Writes a value as JSON in nnU-Net's form (indent 4), atomically. */
export async function writeJson(file: string, value: unknown): Promise<void> {
  await writeFileAtomically(file, formatJson(value))
}
