// Several ranks under fire: random ranks killed, stopped by a signal, or frozen at random moments, and a host cut off in the
// middle of a step. The others end with a word on who is gone, and the run that goes on is the one of one process.
import { spawnSync } from 'node:child_process'
import { existsSync, rmSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { native } from '../../src/native/load.js'
import { childrenOf, hasCollectives, start } from '../ranks/processes.js'
import { epochsOf, metricsOf, recordOf } from '../train/run-files.js'
import { makeSmallDataset, type SmallDataset } from '../train/small-dataset.js'
import { count, figuresOf, Random, skipSuite, sleep, suiteTimeout } from './counts.js'
import { Program, trainArguments, wholeCheckpoints } from './program.js'

const suite = 'rank-faults'
const figures = figuresOf(suite, {
  'ranks killed': 0,
  'runs that went on by themselves': 0,
  'signals at a random rank': 0,
  'runs stopped (75)': 0,
  'runs resumed by another number of ranks': 0,
  'ranks frozen': 0,
  'hosts cut off': 0,
  's from the cut to the end at most': 0,
  'runs that differ from that of one process': 0,
})
const random = new Random(suite)
const shape = { epochs: 3, stepsPerEpoch: 8, set: { batchSize: 4 } }

let dataset: SmallDataset
let alone: number[]
/** From the program's start to the first and to the last step. */
const steps = { begin: 0, end: 0 }

const at = (name: string) => path.join(dataset.root, name)
const launch = (run: string, ranks: number, set: Record<string, string | number> = {}) =>
  new Program(
    trainArguments({ run, ...shape, set: { ...shape.set, ...set }, flags: ['--devices', String(ranks)] }),
    dataset.folders,
  )

beforeAll(async () => {
  if (!hasCollectives) return skipSuite(suite, 'the addon was built without Gloo')
  dataset = await makeSmallDataset()
  expect((await new Program(trainArguments({ run: at('alone'), ...shape }), dataset.folders).ended).code).toBe(0)
  alone = await weightsOf(at('alone'))
  const timed = launch(at('timed'), 2)
  await timed.until(({ type }) => type === 'run_started')
  steps.begin = performance.now() - timed.startedAt
  await timed.until(({ type }) => type === 'validation_progress')
  steps.end = performance.now() - timed.startedAt
  expect((await timed.ended).code).toBe(0)
  await expectSameRun(at('timed'))
}, suiteTimeout)
afterAll(() => rmSync(dataset?.root ?? '', { recursive: true, force: true }))

async function weightsOf(run: string): Promise<number[]> {
  const file = path.join(run, 'checkpoint_final.pth')
  const { network_weights: weights } = (await native().readTorchFile(file)) as {
    network_weights: Record<string, { data: Float32Array }>
  }
  return Object.values(weights).flatMap(({ data }) => [...data])
}

/** Every epoch once, and the weights of one process but for the order of sums (docs/numerics.md). */
async function expectSameRun(run: string): Promise<void> {
  const weights = await weightsOf(run)
  const largest = (values: number[]) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
  const distance = largest(weights.map((weight, i) => weight - (alone[i] as number)))
  if (!(distance < 1e-3 * largest(alone))) figures['runs that differ from that of one process']++
  expect(distance).toBeLessThan(1e-3 * largest(alone))
  expect(epochsOf(run).map(({ epoch }) => epoch)).toEqual([0, 1, 2])
  expect(existsSync(path.join(run, 'validation/summary.json'))).toBe(true)
}

/** The processes of the ranks at a random moment of the training, in the order of the ranks. */
async function ranksAtRandom(program: Program, ranks: number): Promise<number[]> {
  await program.until(({ type }) => type === 'run_started')
  await sleep(random.between(0, steps.end - steps.begin))
  const processes = childrenOf({ pid: program.id })
  return processes.length === ranks ? processes.sort((a, b) => a - b) : []
}

test.skipIf(!hasCollectives)(
  'kills of a random rank',
  async () => {
    for (let i = 0; i < count(20, 2); i++) {
      const run = at(`killed-${i}`)
      const ranks = random.pick([2, 4])
      const program = launch(run, ranks)
      const victim = random.pick(await ranksAtRandom(program, ranks))
      if (victim !== undefined) process.kill(victim, 'SIGKILL')
      const { code, stderr } = await program.ended
      expect([code, stderr]).toEqual([0, expect.anything()])
      await program.expectNothingLeft()
      if (victim !== undefined) figures['ranks killed']++
      if (program.events.some((event) => event.type === 'warning' && /Starting it again/.test(event.text)))
        figures['runs that went on by themselves']++
      await expectSameRun(run)
      rmSync(run, { recursive: true })
    }
  },
  suiteTimeout,
)

test.skipIf(!hasCollectives)(
  'signals at a random rank',
  async () => {
    for (let i = 0; i < count(20, 2); i++) {
      const run = at(`stopped-${i}`)
      const ranks = random.pick([2, 4])
      const program = launch(run, ranks)
      const told = random.pick(await ranksAtRandom(program, ranks))
      if (told !== undefined) process.kill(told, random.pick(['SIGTERM', 'SIGUSR1', 'SIGHUP']))
      const { code } = await program.ended
      await program.expectNothingLeft()
      if (told !== undefined) figures['signals at a random rank']++
      expect([0, 75]).toContain(code)
      if (code === 75) {
        figures['runs stopped (75)']++
        const { step } = recordOf(run)
        // One checkpoint of that step; what comes after the last one of an epoch is kept in the newest.
        expect(Math.max(...(await wholeCheckpoints(run, shape.stepsPerEpoch)).values())).toBe(step)
        expect(metricsOf(run).filter(({ type }) => type === 'stop')).toHaveLength(1)
        const others = random.pick([1, 2, 4].filter((number) => number !== ranks))
        const resumed = new Program(['resume', run, '--json', '--devices', String(others)], dataset.folders)
        expect((await resumed.ended).code).toBe(0)
        figures['runs resumed by another number of ranks']++
      }
      await expectSameRun(run)
      rmSync(run, { recursive: true })
    }
  },
  suiteTimeout,
)

test.skipIf(!hasCollectives)(
  'a frozen rank is named, and the run goes on without waiting for it',
  async () => {
    for (let i = 0; i < count(10); i++) {
      const run = at(`frozen-${i}`)
      const program = launch(run, 2, { 'watchdog.hangSeconds': 4 })
      const processes = await ranksAtRandom(program, 2)
      const rank = random.below(2)
      const frozen = processes[rank]
      // Once all cases are dealt with, nobody waits for it any more.
      const isNeeded = !program.events.some(({ type }) => type === 'validation_progress')
      if (frozen !== undefined) process.kill(frozen, 'SIGSTOP')
      expect((await program.ended).code).toBe(0)
      if (frozen !== undefined && isNeeded) {
        figures['ranks frozen']++
        const warnings = program.events.flatMap((event) => (event.type === 'warning' ? [event.text] : []))
        const named = rank === 0 ? /^The engine's process hung/ : /^rank 1: The engine's process hung/
        expect(warnings.filter((text) => named.test(text))).toHaveLength(1)
      }
      await expectSameRun(run)
      rmSync(run, { recursive: true })
    }
  },
  suiteTimeout,
)

const hosts = ['a', 'b'].map((name) => `voxgrad-${process.pid}-${name}`)
const ip = (...args: string[]) => spawnSync('ip', args, { encoding: 'utf8' })
const hasNamespaces = process.getuid?.() === 0 && ip('netns', 'add', hosts[0] as string).status === 0
ip('netns', 'delete', hosts[0] as string)
if (!hasNamespaces) console.log(`${suite}: no hosts cut off, because network namespaces need root and iproute2`)

test.skipIf(!hasCollectives || !hasNamespaces)(
  'two hosts, one of which is cut off in the middle of a step',
  async () => {
    try {
      for (const host of hosts) ip('netns', 'add', host)
      ip(
        'link',
        'add',
        'voxgrad-0',
        'netns',
        hosts[0] as string,
        'type',
        'veth',
        'peer',
        'name',
        'voxgrad-1',
        'netns',
        hosts[1] as string,
      )
      for (const [i, host] of hosts.entries()) {
        ip('-n', host, 'address', 'add', `10.77.0.${i + 1}/24`, 'dev', `voxgrad-${i}`)
        for (const device of ['lo', `voxgrad-${i}`]) ip('-n', host, 'link', 'set', device, 'up')
      }
      const whole = launchOnHosts(trainArguments({ run: at('hosts'), ...shape }), 29_599)
      expect((await Promise.all(whole.map(({ ended }) => ended))).map(({ code }) => code)).toEqual([0, 0])
      await expectSameRun(at('hosts'))
      for (let i = 0; i < count(5); i++) await cutOff(at(`cut-${i}`), 29_600 + i)
    } finally {
      for (const host of hosts) ip('netns', 'delete', host)
    }
  },
  suiteTimeout,
)

/** A command of each host's rank. */
function launchOnHosts(args: string[], port: number) {
  const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
  return hosts.map((host, rank) =>
    start('ip', ['netns', 'exec', host, process.execPath, main, ...args], {
      ...{ RANK: String(rank), LOCAL_RANK: '0', WORLD_SIZE: '2', MASTER_ADDR: '10.77.0.1', MASTER_PORT: String(port) },
      ...{ nnUNet_raw: dataset.folders.raw, nnUNet_preprocessed: dataset.folders.preprocessed },
      nnUNet_results: dataset.folders.results,
    }),
  )
}

async function cutOff(run: string, port: number): Promise<void> {
  const set = { ...shape.set, 'watchdog.rankSeconds': 10 }
  const ranks = launchOnHosts(trainArguments({ run, epochs: 1, stepsPerEpoch: 100_000, set }), port)
  const began = new Promise<boolean>((resolve) =>
    ranks[0]?.child.stdout?.on('data', (text: Buffer) => text.includes('"type":"progress"') && resolve(true)),
  )
  expect(await Promise.race([began, ...ranks.map(({ ended }) => ended)])).toBe(true)
  await sleep(random.between(0, 500))
  ip('-n', hosts[1] as string, 'link', 'set', 'voxgrad-1', 'down')
  const cutAt = performance.now()
  const endings = await Promise.all(ranks.map(({ ended }) => ended))
  const seconds = (performance.now() - cutAt) / 1000
  ip('-n', hosts[1] as string, 'link', 'set', 'voxgrad-1', 'up')
  figures['hosts cut off']++
  figures['s from the cut to the end at most'] = Math.max(figures['s from the cut to the end at most'], seconds)
  expect(endings.map(({ code }) => code)).toEqual([70, 70])
  expect(endings[0]?.stderr).toMatch(/rank 0 of 2 lost the others/)
  expect(endings[1]?.stderr).toMatch(/rank 1 of 2/)
}
