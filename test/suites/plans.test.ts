// Plans of four planners for 200 random fingerprints, made afresh by the real nnU-Net. What nnU-Net has written stays in
// build/plan-goldens, so that a suite that was interrupted goes on where it was. Needs the peer kit's make_plan_goldens.py in
// ../shared/peer or VOXGRAD_PEER_KIT, and a Python with nnU-Net.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { peerPython, runPython } from '../io/support.js'
import { compareWithGolden, goldensIn } from '../parity/kinds/plans.js'
import { count, figuresOf, skipSuite, suiteTimeout } from './counts.js'

const fromSeed = 20
const root = path.join(import.meta.dirname, '../..')
const script = path.join(process.env.VOXGRAD_PEER_KIT ?? path.join(root, '../shared/peer'), 'make_plan_goldens.py')
const firstSeed = Number(process.env.VOXGRAD_VERIFY_SEED ?? 1)
const python = peerPython()
const reason = existsSync(script) ? 'there is no Python with nnU-Net' : `there is no ${script}`

if (python === undefined || !existsSync(script)) {
  skipSuite('plans', reason)
  test.skip(`skipped: ${reason}`)
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
  const version = runPython(python, 'import importlib.metadata as m; print(m.version("nnunetv2"))').trim()
  const key = createHash('sha256').update(version).update(readFileSync(script)).digest('hex').slice(0, 12)

  /** The folder with at least so many fingerprints of one seed. */
  const goldensOf = async (seed: number, number: number): Promise<string> => {
    const folder = path.join(root, 'build/plan-goldens', key, `seed-${seed}`)
    const last = path.join(folder, String(number - 1).padStart(3, '0'), 'plans.nnUNetPlannerResEncXL.json')
    if (!existsSync(last)) {
      await promisify(execFile)(python, [script, folder, '--seed', String(seed), '--n', String(number)])
    }
    return folder
  }

  test('every number equals', { timeout: suiteTimeout }, async () => {
    const wanted = count(200)
    const different: string[] = []
    for (let done = 0; done < wanted; done += fromSeed) {
      const seed = firstSeed + done / fromSeed
      const number = Math.min(fromSeed, wanted - done)
      const goldens = goldensIn(await goldensOf(seed, number)).filter(
        ({ folder }) => Number(path.basename(folder)) < number,
      )
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
