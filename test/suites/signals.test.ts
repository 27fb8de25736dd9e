// Signals to the command line at random moments: it ends within seconds with a checkpoint and the right exit code, and
// leaves nothing running.
import { existsSync, rmSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { RunEvent } from '../../src/train/events.js'
import { recordOf } from '../train/run-files.js'
import { makeSmallDataset, type SmallDataset } from '../train/small-dataset.js'
import { count, figuresOf, Random, sleep, suiteTimeout } from './counts.js'
import { Program, type TrainArguments, trainArguments, wholeCheckpoints } from './program.js'

const figures = figuresOf('signals', {
  signals: 0,
  'runs stopped (75)': 0,
  'runs that had just finished': 0,
  'ms from the signal to the end at most': 0,
  'ms from the start to the signal handlers at most': 0,
  'signals before them': 0,
  'second Ctrl-C (130)': 0,
  'repeated signals that counted once': 0,
  'resumed to the end': 0,
})
const random = new Random('signals')
const longestMs = 5000
const inTurn = ['SIGINT', 'SIGTERM', 'SIGUSR1', 'SIGHUP'] as const

/** Each kind of run spends most of its time in one section. */
interface Section {
  name: string
  options: Omit<TrainArguments, 'run'>
  /** The signal comes at a random moment between this event and the end of the section; null: the program's start. */
  from: ((event: RunEvent) => boolean) | null
  until: (event: RunEvent) => boolean
}
const isStarted = ({ type }: RunEvent) => type === 'run_started'
const isFinal = (event: RunEvent) => event.type === 'checkpoint' && event.file === 'checkpoint_final.pth'
const sections: Section[] = [
  { name: 'start', options: {}, from: null, until: isStarted },
  { name: 'steps', options: { stepsPerEpoch: 20 }, from: isStarted, until: isFinal },
  { name: 'validation', options: { stepsPerEpoch: 1, valSteps: 40 }, from: isStarted, until: isFinal },
  { name: 'saving', options: { epochs: 30, stepsPerEpoch: 1, valSteps: 1 }, from: isStarted, until: isFinal },
  {
    name: 'end validation',
    options: { set: { 'validation.mirroring': true, 'validation.stepSize': 0.1 } },
    from: isFinal,
    until: ({ type }) => type === 'validation_finished',
  },
]

let dataset: SmallDataset
const lengths = new Map<Section, number>()

const start = (run: string, options: Section['options'], more: string[] = []) =>
  new Program(trainArguments({ run, ...options, flags: more }), dataset.folders)

beforeAll(async () => {
  dataset = await makeSmallDataset()
  expect((await start(path.join(dataset.root, 'first'), {}).ended).code).toBe(0)
  for (const section of sections) {
    const program = start(path.join(dataset.root, section.name), section.options)
    await (section.from ? program.until(section.from) : untilHandlers(program))
    const begin = performance.now()
    await program.until(section.until)
    lengths.set(section, performance.now() - begin)
    expect((await program.ended).code).toBe(0)
  }
}, suiteTimeout)
afterAll(() => rmSync(dataset.root, { recursive: true, force: true }))

/** Resolves when the program has taken over the signals; sooner Node's defaults hold. */
async function untilHandlers(program: Program): Promise<void> {
  while (program.isRunning && !program.catchesSignals()) await sleep(2)
  const name = 'ms from the start to the signal handlers at most'
  figures[name] = Math.max(figures[name], performance.now() - program.startedAt)
}

/** What holds after every end, however it came about: nothing runs any more, and no checkpoint is damaged. */
async function expectGoodOrder(program: Program, run: string, stepsPerEpoch = 4): Promise<void> {
  await program.expectNothingLeft()
  await wholeCheckpoints(run, stepsPerEpoch)
}

async function stopAtRandom(run: string, section: Section, signal: NodeJS.Signals, isSample: boolean): Promise<void> {
  const program = start(run, section.options)
  await untilHandlers(program)
  if (section.from) await program.until(section.from)
  await sleep(random.between(0, lengths.get(section) as number))
  const wasRunning = program.isRunning
  const sentAt = performance.now()
  program.signal(signal)
  const { code, signal: endedBy, stderr } = await program.ended
  const ms = performance.now() - sentAt
  // While a finished program leaves, its handlers are gone already.
  const hasLeft = endedBy === signal && recordOf(run).status === 'finished'
  if (!hasLeft) expect([0, 75], stderr).toContain(code)
  await expectGoodOrder(program, run, section.options.stepsPerEpoch)
  figures.signals++
  if (code === 75) {
    expect(ms).toBeLessThan(longestMs)
    figures['runs stopped (75)']++
    figures['ms from the signal to the end at most'] = Math.max(figures['ms from the signal to the end at most'], ms)
    if (existsSync(path.join(run, 'run.json'))) {
      expect(recordOf(run)).toMatchObject({ status: 'stopped', reason: 'signal' })
    } else expect(section.name).toBe('start')
    if (isSample) {
      const resumed = start(run, section.options, ['--continue'])
      expect((await resumed.ended).code).toBe(0)
      expect(recordOf(run)).toMatchObject({ status: 'finished', reason: 'completed' })
      figures['resumed to the end']++
    }
  } else {
    if (wasRunning) expect(recordOf(run)).toMatchObject({ status: 'finished' })
    figures['runs that had just finished']++
  }
  rmSync(run, { recursive: true, force: true })
}

test(
  'one signal at a random moment',
  async () => {
    const wanted = count(200, sections.length)
    for (let i = 0; i < wanted; i++) {
      const section = sections[i % sections.length] as Section
      const signal = inTurn[Math.floor(i / sections.length) % inTurn.length] as NodeJS.Signals
      await stopAtRandom(path.join(dataset.root, `run-${i}`), section, signal, i % 10 === 1)
    }
  },
  suiteTimeout,
)

test(
  'a signal before the handlers are there ends the program, and nothing has begun',
  async () => {
    for (let i = 0; i < count(20); i++) {
      const run = path.join(dataset.root, `early-${i}`)
      const program = start(run, {})
      await sleep(random.between(0, 50))
      if (program.catchesSignals()) continue
      // To SIGUSR1 Node answers with its debugger, so that this one is left out.
      const signal = random.pick(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      program.signal(signal)
      const { code, signal: endedBy } = await program.ended
      expect([signal, null]).toContain(endedBy)
      if (endedBy === null) expect(code).toBe(75)
      await program.expectNothingLeft()
      if (endedBy !== null) expect(existsSync(run)).toBe(false)
      figures['signals before them']++
    }
  },
  suiteTimeout,
)

/** A run whose engine stands still, as in a step that takes long. */
async function runInLongStep(name: string): Promise<{ program: Program; run: string; engine: number }> {
  const run = path.join(dataset.root, name)
  const program = start(run, { epochs: 1000 })
  await program.until(({ type }) => type === 'checkpoint')
  await sleep(random.between(0, 200))
  const engine = recordOf(run).processId
  process.kill(engine, 'SIGSTOP')
  return { program, run, engine }
}

test(
  'a second Ctrl-C ends at once, with the last checkpoint',
  async () => {
    for (let i = 0; i < count(20); i++) {
      const { program, run } = await runInLongStep(`impatient-${i}`)
      program.signal(random.pick(inTurn))
      await sleep(1100)
      expect(program.isRunning).toBe(true)
      const sentAt = performance.now()
      program.signal('SIGINT')
      expect(await program.ended).toMatchObject({ code: 130 })
      expect(performance.now() - sentAt).toBeLessThan(1000)
      await program.expectNothingLeft()
      expect((await wholeCheckpoints(run)).size).toBeGreaterThan(0)
      figures['second Ctrl-C (130)']++
      rmSync(run, { recursive: true })
    }
  },
  suiteTimeout,
)

test(
  'the same signal twice within a second counts once',
  async () => {
    for (let i = 0; i < count(20); i++) {
      const { program, run, engine } = await runInLongStep(`twice-${i}`)
      const signal = random.pick(inTurn)
      program.signal(signal)
      await sleep(random.between(5, 700))
      program.signal(signal)
      await sleep(200)
      expect(program.isRunning).toBe(true)
      process.kill(engine, 'SIGCONT')
      expect(await program.ended).toMatchObject({ code: 75 })
      expect(recordOf(run)).toMatchObject({ status: 'stopped', reason: 'signal' })
      await expectGoodOrder(program, run)
      figures['repeated signals that counted once']++
      rmSync(run, { recursive: true })
    }
  },
  suiteTimeout,
)
