// Runs killed (-9) at random moments, the whole process group or the engine's process alone, end with the same weights,
// optimizer and epoch lines as one that was left alone.
import { existsSync, rmSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { outcomeOf, recordOf } from '../train/run-files.js'
import { makeSmallDataset, type SmallDataset } from '../train/small-dataset.js'
import { count, figuresOf, Random, sleep, suiteTimeout } from './counts.js'
import { Program, trainArguments, wholeCheckpoints } from './program.js'

const figures = figuresOf('run-kills', {
  'kills of the whole group': 0,
  'kills of the engine alone': 0,
  'while training or validating': 0,
  'checkpoints found, all whole': 0,
  'runs that ended as one left alone': 0,
})
const random = new Random('run-kills')

let dataset: SmallDataset
/** Milliseconds of a whole run: from its start to its first step, and from there to its end. */
let startMs: number
let runMs: number
let whole: Awaited<ReturnType<typeof outcomeOf>>

const start = (run: string) =>
  new Program(trainArguments({ run, stepsPerEpoch: 8, flags: ['--continue'] }), dataset.folders)

beforeAll(async () => {
  dataset = await makeSmallDataset()
  // The first one preprocesses as well.
  for (const name of ['first', 'whole']) {
    const program = start(path.join(dataset.root, name))
    await program.until(({ type }) => type === 'run_started')
    startMs = performance.now() - program.startedAt
    expect((await program.ended).code).toBe(0)
    runMs = performance.now() - program.startedAt - startMs
  }
  whole = await outcomeOf(path.join(dataset.root, 'whole'))
}, suiteTimeout)
afterAll(() => rmSync(dataset.root, { recursive: true, force: true }))

/** One moment in four is before the first step. */
async function randomMoment(program: Program): Promise<void> {
  if (random.next() < 0.25) return sleep(random.between(0, startMs))
  await program.until(({ type }) => type === 'run_started')
  await sleep(random.between(0, runMs))
}

function killGroup(program: Program): boolean {
  program.signalGroup('SIGKILL')
  return true
}

/** Kills the engine's process, unless there is none; its supervisor goes on. */
function killEngine(program: Program): boolean {
  const engine = program.group().find((id) => id !== program.id)
  if (engine === undefined) return false
  process.kill(engine, 'SIGKILL')
  return true
}

const isUnderWay = (run: string) => existsSync(path.join(run, 'run.json')) && recordOf(run).status === 'running'

let killsLeft = count(50)

/** Starts a run and kills it at a random moment; returns whether it may be killed again. */
async function startAndKill(run: string): Promise<boolean> {
  killsLeft--
  const program = start(run)
  const wantsEngine = random.next() < 0.3
  await randomMoment(program)
  const wasUnderWay = isUnderWay(run)
  const isSent = program.isRunning && (wantsEngine ? killEngine(program) : killGroup(program))
  const { code, signal } = await program.ended
  const isGroupKilled = signal === 'SIGKILL'
  if (!isGroupKilled) expect(code).toBe(0)
  // A whole group that ended well had just finished.
  if (isSent && (wantsEngine || isGroupKilled)) {
    figures[wantsEngine ? 'kills of the engine alone' : 'kills of the whole group']++
    if (wasUnderWay) figures['while training or validating']++
  } else killsLeft++
  await program.expectNothingLeft()
  figures['checkpoints found, all whole'] += (await wholeCheckpoints(run, 8)).size
  return isGroupKilled
}

async function killedRun(run: string): Promise<void> {
  const mostKills = 1 + random.below(3)
  for (let kills = 0; kills < mostKills && killsLeft > 0; kills++) if (!(await startAndKill(run))) break
  expect(await start(run).ended).toMatchObject({ code: 0 })
  expect(recordOf(run)).toMatchObject({ status: 'finished', reason: 'completed' })
  expect(await outcomeOf(run)).toEqual(whole)
  expect(existsSync(path.join(run, 'validation/summary.json'))).toBe(true)
  figures['runs that ended as one left alone']++
  rmSync(run, { recursive: true })
}

test(
  'a killed run goes on to the same end',
  async () => {
    const lane = async (name: string) => {
      for (let i = 0; killsLeft > 0; i++) await killedRun(path.join(dataset.root, `${name}-${i}`))
    }
    await Promise.all([lane('left'), lane('right')])
  },
  suiteTimeout,
)
