// What a comparison with the real nnU-Net reports, for the command `npm run parity` and for vitest alike. Each file in
// kinds/ exports one such comparison and is thereby a kind of the command: nothing else needs to know of it.
import { readdirSync } from 'node:fs'
import path from 'node:path'

/** One golden, compared. */
export interface Item {
  name: string
  /** What differs by more than the tolerance, each as where, found and expected; none: the item agrees. */
  differences: string[]
  /** The figures that were found, for the line of the item. */
  note?: string
  /** Why the item could not be compared at all. */
  skipped?: string
}

/**
 * Compares voxgrad with the goldens in `folder`, item by item as they become known.
 * @throws Error if the folder does not hold goldens of this kind
 */
export type Comparison = (folder: string) => Iterable<Item> | AsyncIterable<Item>

const folderOfKinds = path.join(import.meta.dirname, 'kinds')

export function kinds(): string[] {
  return readdirSync(folderOfKinds)
    .map((file) => path.basename(file, '.ts'))
    .sort()
}

/** The comparison that kinds/KIND.ts exports as `compare`. */
export async function comparisonOf(kind: string): Promise<Comparison> {
  const { compare } = (await import(path.join(folderOfKinds, `${kind}.ts`))) as { compare: Comparison }
  return compare
}
