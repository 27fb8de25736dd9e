// npm run parity -- KIND DIR: compares voxgrad with the goldens of the real nnU-Net in DIR. Prints a line an item and what
// differs below it; exits 0 if at least one item was compared and all agree, else 1.
import { statSync } from 'node:fs'
import { comparisonOf, kinds } from './item.js'

const longest = 20

async function main([kind, folder, ...rest]: string[]): Promise<number> {
  const known = kinds()
  if (kind === undefined || folder === undefined || rest.length > 0 || !known.includes(kind)) {
    console.error(
      `usage: npm run parity -- ${known.join('|')} DIR${kind ? `\nfound: ${process.argv.slice(2).join(' ')}` : ''}`,
    )
    return 1
  }
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
    console.error(`${folder} is no folder; expected goldens of the real nnU-Net`)
    return 1
  }
  const counts = { equal: 0, different: 0, skipped: 0 }
  const compare = await comparisonOf(kind)
  for await (const { name, differences, note, skipped } of compare(folder)) {
    const state = skipped !== undefined ? 'skipped' : differences.length > 0 ? 'different' : 'equal'
    counts[state] += 1
    console.log([state.padEnd(9), name, skipped ?? note ?? ''].join('  ').trimEnd())
    for (const difference of differences.slice(0, longest)) console.log(`             ${difference}`)
    if (differences.length > longest) console.log(`             and ${differences.length - longest} more`)
  }
  console.log(`${kind}: ${counts.equal} equal, ${counts.different} different, ${counts.skipped} skipped`)
  if (counts.equal + counts.different === 0) console.error(`${folder} holds nothing that could be compared`)
  return counts.different === 0 && counts.equal > 0 ? 0 : 1
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  console.error(`error: ${error instanceof Error ? error.message : error}`)
  process.exitCode = 1
}
