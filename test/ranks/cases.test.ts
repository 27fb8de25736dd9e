// Cases divided over ranks: validation and prediction by several processes write what one process writes, to the byte.
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freePort } from '../../src/ranks/free-port.js'
import { train } from '../../src/train/jobs.js'
import { makeSmallDataset, type SmallDataset, smallRun } from '../train/small-dataset.js'
import { childrenOf, hasCollectives, main, start, voxgrad } from './processes.js'

let dataset: SmallDataset
let run: string
const at = (name: string) => path.join(dataset.root, name)
const folders = () => Object.entries(dataset.folders).flatMap(([root, folder]) => [`--${root}`, folder])

beforeAll(async () => {
  dataset = await makeSmallDataset()
  run = at('run')
  // Fold "all" validates all six cases.
  await train(smallRun(dataset, { run, fold: 'all', budget: { steps: 4, valSteps: 1 }, validateAtEnd: 'final' }))
    .finished
})
afterAll(() => rmSync(dataset.root, { recursive: true, force: true }))

const contentOf = (folder: string) =>
  Object.fromEntries(readdirSync(folder).map((name) => [name, readFileSync(path.join(folder, name), 'base64')]))
const summaryOf = (folder: string) => readFileSync(path.join(folder, 'validation/summary.json'), 'utf8')
const validate = (folder: string, ...more: string[]) => ['validate', folder, '--threads', '1', ...folders(), ...more]
const predict = (output: string, ...more: string[]) => [
  ...[
    'predict',
    '-i',
    `${dataset.folders.raw}/Dataset009_Boxes/imagesTr`,
    '-o',
    output,
    '--run',
    run,
    '--threads',
    '1',
  ],
  ...more,
]

describe.skipIf(!hasCollectives)('cases of several ranks', () => {
  test.each([2, 4])('validation by %d', async (ranks) => {
    const one = contentOf(path.join(run, 'validation'))
    rmSync(path.join(run, 'validation'), { recursive: true })
    const { code, stdout } = await voxgrad(...validate(run, '--devices', String(ranks), '--json')).ended
    expect(code).toBe(0)
    expect(contentOf(path.join(run, 'validation'))).toEqual(one)
    const events = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    const cases = events.filter(({ type }) => type === 'case_validated').map(({ caseId }) => caseId)
    expect(cases.sort()).toEqual([0, 1, 2, 3, 4, 5].map((index) => `box_${index}`))
    const progress = events.filter(({ type }) => type === 'validation_progress').map(({ done }) => done)
    expect(progress.at(-1)).toBe(6)
  })

  test('prediction by two, by each launcher', async () => {
    expect((await voxgrad(...predict(at('one'))).ended).code).toBe(0)
    const own = await voxgrad(...predict(at('own'), '--devices', '2')).ended
    expect([own.code, own.stderr]).toEqual([0, ''])
    const port = String(await freePort())
    const ranks = [0, 1].map((rank) =>
      start(process.execPath, [main, ...predict(at('slurm'))], {
        ...{ SLURM_PROCID: String(rank), SLURM_NTASKS: '2', SLURM_LOCALID: String(rank), SLURM_JOB_ID: '8' },
        ...{ MASTER_ADDR: '127.0.0.1', MASTER_PORT: port },
      }),
    )
    expect((await Promise.all(ranks.map(({ ended }) => ended))).map(({ code }) => code)).toEqual([0, 0])
    const { 'predict_from_raw_data_args.json': _, ...one } = contentOf(at('one'))
    expect(Object.keys(one)).toHaveLength(8)
    for (const name of ['own', 'slurm']) expect(contentOf(at(name))).toMatchObject(one)
  })

  test('a fault of another rank is named with its case, and nothing counts', async () => {
    const broken = at('broken')
    cpSync(run, broken, { recursive: true })
    rmSync(path.join(broken, 'validation'), { recursive: true })
    const reference = path.join(dataset.folders.preprocessed, 'Dataset009_Boxes/gt_segmentations/box_3.nii.gz')
    const whole = readFileSync(reference)
    writeFileSync(reference, whole.subarray(0, 100))
    try {
      const { code, stderr } = await voxgrad(...validate(broken, '--devices', '2')).ended
      expect(code).toBe(2)
      expect(stderr).toMatch(/rank 1: .*box_3\.nii\.gz/)
      expect(existsSync(path.join(broken, 'validation/summary.json'))).toBe(false)
    } finally {
      writeFileSync(reference, whole)
    }
  })

  test('a stop ends all ranks, and the validation can be repeated', async () => {
    const before = summaryOf(run)
    const stopped = voxgrad(...validate(run, '--devices', '2', '--json'))
    await new Promise((resolve) => stopped.child.stdout.once('data', resolve))
    stopped.child.kill('SIGTERM')
    expect([75, 0]).toContain((await stopped.ended).code)
    expect((await voxgrad(...validate(run, '--devices', '2')).ended).code).toBe(0)
    expect(summaryOf(run)).toBe(before)
  })

  test('a rank that is killed ends the others with its name', async () => {
    const { child, ended } = voxgrad(...predict(at('killed'), '--devices', '2'))
    let pids: number[] = []
    while (pids.length < 2) {
      await new Promise((resolve) => setTimeout(resolve, 20))
      pids = childrenOf(child)
    }
    process.kill(Math.max(...pids), 'SIGKILL')
    const { code, stderr } = await ended
    expect(code).toBe(70)
    expect(stderr).toMatch(/rank 1: The engine's process was killed \(SIGKILL\)/)
  })
})
