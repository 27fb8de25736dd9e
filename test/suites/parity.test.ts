// Every comparison with the real nnU-Net but that of plans, which is a suite of its own: goldens that nnU-Net makes here
// afresh, from several seeds (networks, preprocessed data, draws of the augmentation), and programs that run nnU-Net beside
// voxgrad (test/parity). Only run by scripts/verify.mjs, for it takes minutes at any share.
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, expect, test } from 'vitest'
import { comparisonOf } from '../parity/item.js'
import { count, figuresOf, skipSuite, suiteTimeout } from './counts.js'
import { findPeer, once, root } from './peer.js'

const peer = findPeer()
const reason =
  'missing' in peer
    ? peer.missing
    : process.env.VOXGRAD_VERIFY_SHARE === undefined && 'it takes minutes: node scripts/verify.mjs --share 0.1 parity'

if ('missing' in peer || reason) {
  skipSuite('parity', reason as string)
  test.skip(`skipped: ${reason}`)
} else {
  const figures = figuresOf('parity', {
    networks: 0,
    'at a kink': 0,
    'fingerprints, cases and folders': 0,
    'draws of each chain': 0,
    'transforms of chains': 0,
    'tests beside nnU-Net': 0,
    skipped: 0,
    different: 0,
  })
  const { python, script } = peer
  const drawsScript = path.join(root, 'test/goldens/make_augmentation_draws.py')
  const kinksScript = path.join(root, 'test/goldens/make_networks_at_kinks.py')
  const statisticsScript = script('make_augmentation_stats.py')
  const base = peer.goldens(
    ...['make_datasets.py', 'make_network_goldens.py'].map(script),
    statisticsScript,
    drawsScript,
  )
  const seeds = Array.from({ length: count(5) }, (_, i) => String(i + 1))

  /**
   * Compares what is in a folder; the number of items that were compared. What differs may equal the item of the same
   * name in another folder, which is asked for only then.
   */
  const compare = async (kind: string, folder: string, otherwise?: () => Promise<string>): Promise<number> => {
    const different: string[] = []
    let compared = 0
    const comparison = await comparisonOf(kind)
    for await (const item of comparison(folder)) {
      const { name, skipped } = item
      let { differences } = item
      if (differences.length > 0 && otherwise) {
        for await (const other of comparison(await otherwise())) if (other.name === name) ({ differences } = other)
        if (differences.length === 0) figures['at a kink'] += 1
      }
      if (skipped !== undefined) {
        figures.skipped += 1
        console.log(`${name} skipped: ${skipped}`)
        continue
      }
      compared += 1
      figures.different += differences.length > 0 ? 1 : 0
      different.push(...differences.map((difference) => `${name}: ${difference}`))
    }
    expect(different).toEqual([])
    expect(compared).toBeGreaterThan(0)
    return compared
  }

  test('networks, losses, gradients and steps', { timeout: suiteTimeout }, async () => {
    for (const seed of seeds) {
      const folder = path.join(base, `networks-${seed}`)
      await once(folder, python, script('make_network_goldens.py'), folder, '--seed', seed)
      figures.networks += await compare('networks', folder, async () => {
        const others = path.join(peer.goldens(script('make_network_goldens.py'), kinksScript), `networks-${seed}`)
        await once(others, python, kinksScript, peer.kit, others, '--seed', seed)
        return others
      })
    }
  })

  test('fingerprints and preprocessed data', { timeout: suiteTimeout }, async () => {
    for (const seed of seeds) {
      const folder = path.join(base, `data-${seed}`)
      await once(folder, python, script('make_datasets.py'), folder, '--seed', seed)
      for (const id of ['901', '902', '903', '904']) {
        const run = [script('run_plan_and_preprocess.sh'), folder, id, '-c', '2d', '3d_fullres']
        await once(path.join(folder, `commands/${id}`), 'bash', ...run)
      }
      figures['fingerprints, cases and folders'] += await compare('preprocess', folder)
    }
  })

  test('draws of the augmentation', { timeout: suiteTimeout }, async () => {
    const draws = count(2000)
    const [chains, patches] = ['chains', 'patches'].map((name) => path.join(base, `${name}-${draws}`)) as [
      string,
      string,
    ]
    await once(chains, python, drawsScript, chains, String(draws))
    await once(patches, python, statisticsScript, patches, '--draws', String(draws))
    figures['draws of each chain'] = draws
    for (const folder of [chains, patches]) figures['transforms of chains'] += await compare('augmentation', folder)
  })

  const scratch = mkdtempSync(path.join(tmpdir(), 'voxgrad-parity-'))
  afterAll(() => rmSync(scratch, { recursive: true }))

  test('programs beside nnU-Net', { timeout: suiteTimeout }, async () => {
    const report = path.join(scratch, 'report.json')
    const vitest = path.join(root, 'node_modules/vitest/vitest.mjs')
    const env = { ...process.env, VOXGRAD_PEER_PYTHON: python, VOXGRAD_PEER_DATA: path.join(base, 'data-1') }
    const run = promisify(execFile)(
      process.execPath,
      [vitest, 'run', 'test/parity', '--reporter=default', '--reporter=json', `--outputFile=${report}`],
      { cwd: root, env, maxBuffer: 2 ** 28 },
    )
    const failure = await run.then(
      () => undefined,
      (error: { stdout: string; stderr: string }) => `${error.stdout}${error.stderr}`,
    )
    if (failure !== undefined) console.log(failure)
    const { numPassedTests, numPendingTests } = JSON.parse(readFileSync(report, 'utf8'))
    figures['tests beside nnU-Net'] = numPassedTests
    figures.skipped += numPendingTests
    expect(failure).toBeUndefined()
    expect(numPassedTests).toBeGreaterThan(20)
  })
}
