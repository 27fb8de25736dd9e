// Trainings that several processes share, started by each launcher as a user would: the same run as one process makes,
// through a stop, a kill and other numbers of ranks.
import { existsSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { native } from '../../src/native/load.js'
import { freePort } from '../../src/ranks/free-port.js'
import type { EpochLine } from '../../src/train/events.js'
import { train } from '../../src/train/jobs.js'
import { makeSmallDataset, regionsWithIgnore, type SmallDataset, smallRun } from '../train/small-dataset.js'
import { childrenOf, hasCollectives, main, start, torchrun, voxgrad } from './processes.js'

let dataset: SmallDataset
beforeAll(async () => {
  dataset = await makeSmallDataset(regionsWithIgnore)
  const once = smallRun(dataset, { run: folderOf('once'), budget: { steps: 1, valSteps: 1 }, validateAtEnd: false })
  await train(once).finished
})
afterAll(() => rmSync(dataset.root, { recursive: true, force: true }))

const folderOf = (name: string) => path.join(dataset.root, name)
const trainArguments = (name: string, ...more: string[]) => [
  ...`train 9 3d_fullres 0 --plans nnUNetPlansTiny --threads 1 --run ${folderOf(name)}`.split(' '),
  ...'--epochs 3 --steps-per-epoch 7 --val-steps 2 --set batchSize=4'.split(' '),
  ...'--set checkpoint.everyEpochs=1 --set validation.mirroring=false'.split(' '),
  ...Object.entries(dataset.folders).flatMap(([root, folder]) => [`--${root}`, folder]),
  ...more,
]

const epochsOf = (name: string) =>
  readFileSync(path.join(folderOf(name), 'metrics.jsonl'), 'utf8')
    .split('\n')
    .filter((line) => line.includes('"type":"epoch"'))
    .map((line) => JSON.parse(line) as EpochLine)

async function weightsOf(name: string): Promise<Record<string, number[]>> {
  const file = path.join(folderOf(name), 'checkpoint_final.pth')
  const { network_weights: weights } = (await native().readTorchFile(file)) as {
    network_weights: Record<string, { data: Float32Array }>
  }
  return Object.fromEntries(Object.entries(weights).map(([name, { data }]) => [name, [...data]]))
}

/** Largest difference of two runs' weights, as a share of their largest weight. */
async function difference(first: string, second: string): Promise<number> {
  const [a, b] = [await weightsOf(first), await weightsOf(second)]
  let [largest, scale] = [0, 0]
  for (const [name, values] of Object.entries(a)) {
    for (const [i, value] of values.entries()) {
      largest = Math.max(largest, Math.abs(value - (b[name]?.[i] as number)))
      scale = Math.max(scale, Math.abs(value))
    }
  }
  return largest / scale
}

async function untilEpoch(name: string, epochs: number): Promise<void> {
  const file = path.join(folderOf(name), 'metrics.jsonl')
  while (!existsSync(file) || epochsOf(name).length < epochs) await new Promise((resolve) => setTimeout(resolve, 20))
}

describe.skipIf(!hasCollectives)('several ranks', () => {
  beforeAll(async () => {
    const { code, stderr } = await voxgrad(...trainArguments('alone')).ended
    expect([code, stderr]).toEqual([0, ''])
  })

  /** That a run is the one of one process; the sums of ranks differ in their last digits. */
  async function expectSameRun(name: string) {
    const [found, expected] = [epochsOf(name), epochsOf('alone')]
    expect(found.map(({ epoch, step, lr }) => [epoch, step, lr])).toEqual(
      expected.map(({ epoch, step, lr }) => [epoch, step, lr]),
    )
    for (const [i, { train_loss: loss }] of found.entries())
      expect(loss).toBeCloseTo(expected[i]?.train_loss as number, 3)
    expect(await difference(name, 'alone')).toBeLessThan(1e-3)
    expect(existsSync(path.join(folderOf(name), 'validation/summary.json'))).toBe(true)
  }

  test.each([2, 4])("voxgrad's own launcher, %d ranks", async (ranks) => {
    const { code, stderr } = await voxgrad(...trainArguments(`own-${ranks}`, '--devices', String(ranks))).ended
    expect([code, stderr]).toEqual([0, ''])
    await expectSameRun(`own-${ranks}`)
  })

  test.each([2, 4])('Slurm, whose other ranks are silent: %d', async (count) => {
    const [name, port] = [`slurm-${count}`, String(await freePort())]
    const ranks = Array.from({ length: count }, (_, rank) =>
      start(process.execPath, [main, ...trainArguments(name, '--json')], {
        ...{ SLURM_PROCID: String(rank), SLURM_NTASKS: String(count), SLURM_LOCALID: String(rank), SLURM_JOB_ID: '7' },
        ...{ MASTER_ADDR: '127.0.0.1', MASTER_PORT: port },
      }),
    )
    const [first, ...others] = await Promise.all(ranks.map(({ ended }) => ended))
    expect(first?.code).toBe(0)
    for (const other of others) expect(other).toEqual({ code: 0, stdout: '', stderr: '' })
    expect(first?.stdout).toContain('"type":"run_finished"')
    await expectSameRun(name)
  })

  test.skipIf(torchrun === undefined).each([2, 4])('torchrun, %d ranks', async (count) => {
    const args = ['--no-python', '--nnodes', '1', '--nproc-per-node', String(count)]
    const command = ['--master-port', String(await freePort()), '--', process.execPath, main]
    const name = `torchrun-${count}`
    expect((await start(torchrun as string, [...args, ...command, ...trainArguments(name)]).ended).code).toBe(0)
    await expectSameRun(name)
  })

  test.skipIf(torchrun === undefined)('torchrun starts all ranks again where one was killed', async () => {
    const options = ['--no-python', '--nnodes', '1', '--nproc-per-node', '2', '--max-restarts', '1']
    const command = ['--master-port', String(await freePort()), '--', process.execPath, main]
    const args = [...options, ...command, ...trainArguments('restarted', '--continue')]
    const { child, ended } = start(torchrun as string, args)
    await untilEpoch('restarted', 1)
    const [rank] = childrenOf(child)
    process.kill(childrenOf({ pid: rank as number })[0] as number, 'SIGKILL')
    const { code, stderr } = await ended
    expect(code).toBe(0)
    expect(stderr).toMatch(/killed \(SIGKILL\)/)
    await expectSameRun('restarted')
  })

  test('a stop, and then other numbers of ranks, make no other run', async () => {
    const four = voxgrad(...trainArguments('changing', '--devices', '4'))
    await untilEpoch('changing', 1)
    four.child.kill('SIGTERM')
    expect((await four.ended).code).toBe(75)
    const two = voxgrad('resume', folderOf('changing'), '--devices', '2')
    await untilEpoch('changing', 2)
    two.child.kill('SIGTERM')
    expect([75, 0]).toContain((await two.ended).code)
    expect((await voxgrad('resume', folderOf('changing')).ended).code).toBe(0)
    await expectSameRun('changing')
  })

  test('a rank that is killed is named, and the run goes on', async () => {
    const run = voxgrad(...trainArguments('killed', '--devices', '2'))
    await untilEpoch('killed', 1)
    const pids = childrenOf(run.child)
    expect(pids).toHaveLength(2)
    process.kill(Math.max(...pids), 'SIGKILL')
    const { code, stdout } = await run.ended
    expect(code).toBe(0)
    expect(stdout).toMatch(/rank 1: The engine's process was killed \(SIGKILL\).*Starting it again/)
    await expectSameRun('killed')
  })

  test.each([
    ['batchSize=1', /batchSize: expected at least 2, as 2 ranks share a batch, found 1/],
    ['network.normalization=batch', /network.normalization: expected instance norm, as 2 ranks share a batch/],
  ])('what cannot be divided is refused, and nothing is written: %s', async (option, message) => {
    const { code, stderr } = await voxgrad(...trainArguments('refused', '--devices', '2', '--set', option)).ended
    expect(code).toBe(2)
    expect(stderr).toMatch(message)
    expect(existsSync(folderOf('refused'))).toBe(false)
  })
})
