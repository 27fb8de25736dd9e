// Plans of four planners for 200 random fingerprints, made afresh by the real nnU-Net.
import path from 'node:path'
import { expect, test } from 'vitest'
import { compareWithGolden, goldensIn } from '../parity/kinds/plans.js'
import { count, figuresOf, skipSuite, suiteTimeout } from './counts.js'
import { findPeer, once } from './peer.js'

const fromSeed = 20
const firstSeed = Number(process.env.VOXGRAD_VERIFY_SEED ?? 1)
const peer = findPeer()

if ('missing' in peer) {
  skipSuite('plans', peer.missing)
  test.skip(`skipped: ${peer.missing}`)
} else {
  const figures = figuresOf(
    'plans',
    {
      fingerprints: 0,
      plans: 0,
      'with a cascade': 0,
      'of single slices': 0,
      different: 0,
    },
    firstSeed,
  )
  const script = peer.script('make_plan_goldens.py')
  const base = peer.goldens(script)

  test('every number equals', { timeout: suiteTimeout }, async () => {
    const wanted = count(200)
    const different: string[] = []
    for (let done = 0; done < wanted; done += fromSeed) {
      const seed = firstSeed + done / fromSeed
      const number = Math.min(fromSeed, wanted - done)
      const folder = path.join(base, `seed-${seed}-${number}`)
      await once(folder, peer.python, script, folder, '--seed', String(seed), '--n', String(number))
      const goldens = goldensIn(folder)
      for (const golden of goldens) {
        const { differences, expected } = compareWithGolden(golden)
        different.push(...differences.map((difference) => `seed ${seed}, ${golden.name}: ${difference}`))
        figures.plans += 1
        figures['with a cascade'] += '3d_cascade_fullres' in expected.configurations ? 1 : 0
        figures['of single slices'] += '3d_fullres' in expected.configurations ? 0 : 1
        figures.different += differences.length > 0 ? 1 : 0
      }
      figures.fingerprints += number
      expect(goldens).toHaveLength(4 * number)
    }
    expect(different).toEqual([])
  })
}
