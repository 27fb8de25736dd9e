// Names and paths that stand in files which others have made: they must not lead anywhere else.
import { realpathSync } from 'node:fs'
import path from 'node:path'

const longestName = 200

/** Whether a text is the name of one file or folder, not hidden, that can be a part of any path. */
export function isPlainName(name: string): boolean {
  return name.length <= longestName && /^[^./\\\p{Cc}][^/\\\p{Cc}]*$/u.test(name)
}

/** Whether a path, links followed as far as they exist, lies below a folder. */
export function isWithin(folder: string, file: string): boolean {
  const lexically = path.resolve(file).startsWith(path.resolve(folder) + path.sep)
  return lexically && realPath(file).startsWith(realPath(folder) + path.sep)
}

/** What a path stands for; of one whose last parts do not exist, those are kept. */
function realPath(file: string): string {
  try {
    return realpathSync(file)
  } catch {
    const parent = path.dirname(path.resolve(file))
    return parent === path.resolve(file) ? parent : path.join(realPath(parent), path.basename(file))
  }
}
