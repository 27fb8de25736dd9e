// Follows a file of lines that another process appends to, cuts, or replaces.
import type { FileHandle } from 'node:fs/promises'

const chunkBytes = 1 << 22
/** A longer line is no line of metrics.jsonl, and is left out. */
const longestLine = 1 << 24
/** So much before the place that was read to must be as it was, or the file was written anew in its place. */
const guardBytes = 256

export interface NewLines {
  /** The file was cut or replaced: these are all lines from its beginning. */
  isAnew: boolean
  lines: string[]
}

/** Gives each line of a file once; a line counts when its newline is there. */
export class Tail {
  /** Bytes of whole lines that were read. */
  #offset = 0
  #guard = Buffer.alloc(0)
  #known = { file: '', bytes: -1, changed: -1 }
  readonly #open: () => Promise<FileHandle>

  /** @param open opens the file for one reading */
  constructor(open: () => Promise<FileHandle>) {
    this.#open = open
  }

  /** What is new since the last call. A file that is not there has no lines. Throws what `open` throws otherwise. */
  async read(): Promise<NewLines> {
    let handle: FileHandle
    try {
      handle = await this.#open()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      const isAnew = this.#offset > 0
      this.#begin()
      return { isAnew, lines: [] }
    }
    try {
      const stat = await handle.stat()
      const file = `${stat.dev}:${stat.ino}`
      const known = this.#known
      if (known.file === file && known.bytes === stat.size && known.changed === stat.mtimeMs)
        return { isAnew: false, lines: [] }
      const isAnew = this.#offset > 0 && !(file === known.file && (await this.#goesOn(handle, stat.size)))
      if (isAnew) this.#begin()
      const lines = await this.#readLines(handle)
      this.#known = { file, bytes: stat.size, changed: stat.mtimeMs }
      return { isAnew, lines }
    } finally {
      await handle.close()
    }
  }

  #begin(): void {
    this.#offset = 0
    this.#guard = Buffer.alloc(0)
    this.#known = { file: '', bytes: -1, changed: -1 }
  }

  async #goesOn(handle: FileHandle, size: number): Promise<boolean> {
    if (size < this.#offset) return false
    const found = Buffer.alloc(this.#guard.length)
    await handle.read(found, 0, found.length, this.#offset - found.length)
    return found.equals(this.#guard)
  }

  async #readLines(handle: FileHandle): Promise<string[]> {
    const lines: string[] = []
    let rest = Buffer.alloc(0)
    let skipping = false
    for (let place = this.#offset; ; ) {
      const chunk = Buffer.allocUnsafe(chunkBytes)
      const { bytesRead } = await handle.read(chunk, 0, chunkBytes, place)
      if (bytesRead === 0) return lines
      place += bytesRead
      const bytes = Buffer.concat([rest, chunk.subarray(0, bytesRead)])
      const end = bytes.lastIndexOf(10) + 1
      rest = bytes.subarray(end)
      if (end > 0) {
        const texts = bytes.subarray(0, end).toString('utf8').split('\n')
        lines.push(...texts.slice(skipping ? 1 : 0, -1).filter((text) => text !== ''))
        skipping = false
        this.#offset = place - rest.length
        this.#guard = Buffer.concat([this.#guard, bytes.subarray(0, end)]).subarray(-guardBytes)
      }
      if (rest.length > longestLine) {
        rest = Buffer.alloc(0)
        skipping = true
      }
    }
  }
}
