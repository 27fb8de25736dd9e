// Draws of nnU-Net's augmentation: DIR/{CHAIN.json, CHAIN.npz, fixture_CHAIN.npz}, any number of chains.
import { chainsIn, compareChain, level } from '../../augment/compare-draws.js'
import type { Comparison } from '../item.js'

export const compare: Comparison = function* (folder) {
  let tests = 0
  for (const chain of chainsIn(folder)) {
    for (const item of compareChain(folder, chain)) {
      tests += item.tests
      yield item
    }
  }
  console.log(falseAlarms(tests))
}

/** How often tests like these would fail by chance. */
export function falseAlarms(tests: number): string {
  return `${tests} tests at p > ${level}: with other random numbers they would fail by chance in at most ${(100 * tests * level).toPrecision(2)} % of all cases`
}
