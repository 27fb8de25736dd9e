// Real runs on a disk that fails at chosen operations, or is really full: the checkpoint before stays whole, a warning says
// what is needed, training goes on, the next save is made, and the run ends with the same weights.
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { mountDisk } from '../io/support.js'
import { epochsOf, metricsOf, outcomeOf, recordOf } from '../train/run-files.js'
import { makeSmallDataset, type SmallDataset, smallRun, writeLeastPlans } from '../train/small-dataset.js'
import { count, figuresOf, Random, spread, suiteTimeout } from './counts.js'
import { Program, trainArguments, wholeCheckpoints } from './program.js'

const figures = figuresOf('disk-faults', {
  'operations of a save': 0,
  'runs with a failed save': 0,
  'checkpoints intact at that moment': 0,
  'next saves made': 0,
  'runs with another file that failed': 0,
  'of which ended with 74 and were resumed': 0,
  'full disks': 0,
  'ended with the same weights': 0,
})
const random = new Random('disk-faults')
const shim = new URL('../../build/fault_shim.so', import.meta.url).pathname
const index = new URL('../../dist/index.js', import.meta.url).href
const epochs = 4
const stepsPerEpoch = 40
const errors = ['ENOSPC', 'EIO'] as const

let dataset: SmallDataset
let whole: Awaited<ReturnType<typeof outcomeOf>>
const shape = { plans: 'nnUNetPlansLeast', epochs, stepsPerEpoch, valSteps: 2, set: { validateAtEnd: false } }
const start = (run: string, env: Record<string, string> = {}, flags: string[] = []) =>
  new Program(trainArguments({ run, ...shape, flags }), dataset.folders, env)

beforeAll(async () => {
  dataset = await makeSmallDataset()
  const first = new Program(trainArguments({ run: path.join(dataset.root, 'first'), epochs: 1 }), dataset.folders)
  expect((await first.ended).code).toBe(0)
  writeLeastPlans(dataset)
  const run = path.join(dataset.root, 'whole')
  expect((await start(run).ended).code).toBe(0)
  whole = await outcomeOf(run)
}, suiteTimeout)
afterAll(() => rmSync(dataset.root, { recursive: true, force: true }))

const faultAt = (file: string, at: number, action: string) => ({
  LD_PRELOAD: shim,
  VOXGRAD_FAULT_PATH: file,
  VOXGRAD_FAULT_AT: String(at),
  VOXGRAD_FAULT_ACTION: action,
})

/** How many operations a whole run does on a file, counted in one process without a supervisor. */
async function operationsOn(file: string): Promise<number> {
  const run = path.join(dataset.root, 'counted')
  const options = smallRun(dataset, {
    run,
    plans: shape.plans,
    budget: { epochs, stepsPerEpoch, valSteps: 2 },
    validateAtEnd: false,
  })
  const countFile = path.join(dataset.root, 'count')
  const script = `import { train } from ${JSON.stringify(index)}\nawait train(${JSON.stringify(options)}).finished`
  const env = { ...process.env, LD_PRELOAD: shim, VOXGRAD_FAULT_PATH: file, VOXGRAD_FAULT_COUNT: countFile }
  await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script], { env })
  rmSync(run, { recursive: true })
  return Number(readFileSync(countFile, 'utf8'))
}

async function expectSameEnd(run: string): Promise<void> {
  expect(recordOf(run)).toMatchObject({ status: 'finished', reason: 'completed', epoch: epochs })
  expect(await outcomeOf(run)).toEqual(whole)
  figures['ended with the same weights']++
}

const savesOf = (run: string, file: string) =>
  metricsOf(run).flatMap((line) => (line.type === 'checkpoint' && line.file === file ? [line.epoch] : []))

/** The run stands still as soon as it tells of the failed save, so that the files are those of that moment. */
async function failSave(run: string, at: number, error: (typeof errors)[number]): Promise<void> {
  const program = start(run, faultAt('checkpoint_latest', at, error))
  const warning = await program.until(({ type }) => type === 'warning')
  program.signalGroup('SIGSTOP')
  // On a busy machine the next save may be done already; either way the file is whole.
  const step = (await wholeCheckpoints(run, stepsPerEpoch)).get('latest')
  expect(step).toBeGreaterThanOrEqual(stepsPerEpoch)
  if (step === stepsPerEpoch) figures['checkpoints intact at that moment']++
  program.signalGroup('SIGCONT')
  expect(warning).toMatchObject({ text: expect.stringMatching(/checkpoint_latest\.pth.*Training goes on/) as string })
  expect(warning).toMatchObject({
    text: expect.stringMatching(
      error === 'ENOSPC' ? /No space left on device.*needs \d+ bytes/ : /Input\/output error/,
    ) as string,
  })
  expect(await program.ended).toMatchObject({ code: 0 })
  // That of the second epoch is missing.
  expect(savesOf(run, 'checkpoint_latest.pth')).toEqual([1, 3])
  figures['next saves made']++
  figures['runs with a failed save']++
  await expectSameEnd(run)
}

test(
  'each operation of a save fails once',
  async () => {
    const saves = epochs - 1
    const operations = (await operationsOn('checkpoint_latest')) / saves
    expect(Number.isInteger(operations)).toBe(true)
    figures['operations of a save'] = operations
    for (const error of errors) {
      for (const operation of spread(operations, count(operations, 1))) {
        const run = path.join(dataset.root, `${error}-${operation}`)
        await failSave(run, operations + operation, error)
        rmSync(run, { recursive: true })
      }
    }
  },
  suiteTimeout,
)

test.each(['metrics.jsonl', 'run.json', 'training_log.txt', 'progress.png', 'run.lock'])(
  '%s cannot be written for a while',
  async (file) => {
    const operations = await operationsOn(file)
    for (let i = 0; i < count(10); i++) {
      // A folder of the file's name would make every file in it count.
      const run = path.join(mkdtempSync(path.join(dataset.root, 'fault-')), 'run')
      const at = 1 + random.below(operations)
      const program = start(run, faultAt(file, at, random.pick(errors)))
      const { code, stderr } = await program.ended
      // What cannot be written at the start or the end of a run ends it; it then goes on where it was.
      if (code === 74) {
        expect(stderr).toContain(file)
        expect((await start(run, {}, ['--continue']).ended).code).toBe(0)
        figures['of which ended with 74 and were resumed']++
      } else {
        expect(code, stderr).toBe(0)
        const warnings = program.events.filter(({ type }) => type === 'warning')
        expect(warnings).toEqual([expect.objectContaining({ text: expect.stringContaining(file) as string })])
      }
      expect(epochsOf(run)).toHaveLength(epochs)
      figures['runs with another file that failed']++
      await expectSameEnd(run)
      rmSync(run, { recursive: true })
    }
  },
  suiteTimeout,
)

test(
  'a disk that is really full, and has space again later',
  async ({ skip }) => {
    const mounted = mountDisk(dataset.root, 'size=16m')
    if ('reason' in mounted) {
      console.log(`skipped: ${mounted.reason}`)
      skip()
      return
    }
    for (let i = 0; i < count(5); i++) {
      const run = path.join(mounted.disk, `run-${i}/fold_0`)
      const filler = path.join(mounted.disk, 'filler')
      const program = start(run)
      await program.until((event) => event.type === 'checkpoint' && event.file === 'checkpoint_latest.pth')
      program.signalGroup('SIGSTOP')
      // Not even a small file fits then.
      const { bavail, bsize } = statfsSync(mounted.disk)
      writeFileSync(filler, Buffer.alloc(bavail * bsize))
      program.signalGroup('SIGCONT')
      const warning = await program.until(({ type }) => type === 'warning')
      expect(warning).toMatchObject({ text: expect.stringMatching(/space/) as string })
      program.signalGroup('SIGSTOP')
      expect((await wholeCheckpoints(run, stepsPerEpoch)).get('latest')).toBeGreaterThanOrEqual(stepsPerEpoch)
      rmSync(filler)
      program.signalGroup('SIGCONT')
      const { code, stderr } = await program.ended
      expect(code, stderr).toBe(0)
      figures['full disks']++
      await expectSameEnd(run)
      rmSync(path.dirname(run), { recursive: true })
    }
  },
  suiteTimeout,
)
