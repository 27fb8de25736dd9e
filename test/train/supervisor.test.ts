// Runs in a child process (the built worker): the same result; crashes, kills and hangs, after which the run goes on; an
// orphan that saves.
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { native } from '../../src/native/load.js'
import type { RunEvent, RunResult } from '../../src/train/events.js'
import type { RunRecord } from '../../src/train/run-folder.js'
import { makeSmallDataset, type SmallDataset, smallRun } from './small-dataset.js'

const childModule = new URL('../../dist/train/supervisor.js', import.meta.url).href
const { runInChild } = (await import(childModule)) as typeof import('../../src/train/supervisor.js')

let dataset: SmallDataset
let whole: RunResult

beforeAll(async () => {
  dataset = await makeSmallDataset()
  whole = await runInChild<RunResult>({ kind: 'train', options: smallRun(dataset, { validateAtEnd: false }) }).finished
})
afterAll(() => rmSync(dataset.root, { recursive: true, force: true }))

const recordOf = (run: string) => JSON.parse(readFileSync(path.join(run, 'run.json'), 'utf8')) as RunRecord
const weightsOf = async (run: string) => {
  const entries = await native().readTorchFile(path.join(run, 'checkpoint_final.pth'))
  return (entries as Record<string, unknown>).network_weights
}

test('the result and the events are those of a run in this process', async () => {
  expect(whole).toMatchObject({ status: 'finished', reason: 'completed', step: 12 })
  const run = path.join(dataset.root, 'stopped')
  const started = runInChild<RunResult>({ kind: 'train', options: smallRun(dataset, { run, validateAtEnd: false }) })
  const types = new Set<RunEvent['type']>()
  for await (const event of started) {
    types.add(event.type)
    if (event.type === 'epoch') started.stop()
  }
  expect(types).toContain('run_started')
  expect(await started.finished).toMatchObject({ status: 'stopped', reason: 'signal' })
  expect(await runInChild({ kind: 'resume', options: { run } }).finished).toMatchObject({ status: 'finished' })
  expect(await weightsOf(run)).toEqual(await weightsOf(whole.folder))
})

/** Runs with something that happens to the child at the end of an epoch, once for each entry of `epochs`. */
async function runWithFaults(name: string, epochs: number[], fault: (child: number) => void, hangSeconds = 60) {
  const run = path.join(dataset.root, name)
  const options = smallRun(dataset, { run, validateAtEnd: false, watchdog: { hangSeconds } })
  const started = runInChild<RunResult>({ kind: 'train', options })
  const waiting = [...epochs]
  const warnings: string[] = []
  for await (const event of started) {
    if (event.type === 'warning') warnings.push(event.text)
    if (event.type === 'checkpoint' && event.epoch === waiting[0]) {
      waiting.shift()
      fault(recordOf(run).processId)
    }
  }
  return { run, warnings, result: await started.finished }
}

test.each([
  ['SIGKILL', /killed \(SIGKILL\), most likely because memory ran out/],
  ['SIGSEGV', /crashed \(SIGSEGV\)/],
  ['SIGABRT', /crashed \(SIGABRT\)/],
] as const)('a child that ends by %s is reported, and its run goes on to the same weights', async (signal, text) => {
  const { run, warnings, result } = await runWithFaults(signal, [1], (child) => process.kill(child, signal))
  expect(result).toMatchObject({ status: 'finished', step: 12 })
  expect(warnings.filter((warning) => text.test(warning))).toHaveLength(1)
  expect(warnings.join()).toMatch(/Starting it again from the newest whole checkpoint \(1 of at most 3/)
  const metrics = readFileSync(path.join(run, 'metrics.jsonl'), 'utf8')
  expect(metrics).toMatch(/"type":"resume".*(SIGKILL|SIGSEGV|SIGABRT).*Resuming from checkpoint_/)
  expect(await weightsOf(run)).toEqual(await weightsOf(whole.folder))
})

test('a child that hangs is killed and its run goes on to the same weights', async () => {
  const { run, warnings, result } = await runWithFaults('hung', [1], (child) => process.kill(child, 'SIGSTOP'), 3)
  expect(result.status).toBe('finished')
  expect(warnings.join()).toMatch(/hung: nothing moved for \d+ s \(\w+\)/)
  expect(await weightsOf(run)).toEqual(await weightsOf(whole.folder))
})

test('a child that dies again and again without progress is given up with its cause', async () => {
  const run = path.join(dataset.root, 'hopeless')
  const started = runInChild<RunResult>({ kind: 'train', options: smallRun(dataset, { run, checkpoint: {} }) })
  let starts = 0
  const events = (async () => {
    for await (const event of started) {
      if (event.type !== 'run_started') continue
      starts++
      process.kill(recordOf(run).processId, 'SIGSEGV')
    }
  })()
  await expect(events).rejects.toMatchObject({
    code: 'ERR_INTERNAL',
    message: expect.stringMatching(/SIGSEGV/) as string,
  })
  expect(starts).toBe(4)
  // Nothing was lost: the run can still be resumed.
  expect(await runInChild<RunResult>({ kind: 'resume', options: { run } }).finished).toMatchObject({
    status: 'finished',
  })
})

test('a fault of the options comes through with its code', async () => {
  const started = runInChild({ kind: 'train', options: { ...smallRun(dataset), device: 'abacus' } })
  await expect(started.finished).rejects.toMatchObject({ code: 'ERR_CONFIG', name: 'VoxgradError' })
})

test('a child whose parent is gone saves and leaves', async () => {
  const run = path.join(dataset.root, 'orphan')
  const budget = { epochs: 500, stepsPerEpoch: 4, valSteps: 1 }
  const job = { kind: 'train', options: smallRun(dataset, { run, budget }) }
  const script = `import { runInChild } from ${JSON.stringify(childModule)}
    for await (const event of runInChild(${JSON.stringify(job)})) if (event.type === 'epoch') process.kill(process.pid, 'SIGKILL')`
  const parent = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: 'ignore' })
  await new Promise((resolve) => parent.on('exit', resolve))
  const isStopped = () => existsSync(path.join(run, 'run.json')) && recordOf(run).status === 'stopped'
  await expect.poll(isStopped, { timeout: 20_000 }).toBe(true)
  expect(existsSync(path.join(run, 'checkpoint_latest.pth'))).toBe(true)
  const isGone = () => {
    try {
      process.kill(recordOf(run).processId, 0)
      return false
    } catch {
      return true
    }
  }
  await expect.poll(isGone, { timeout: 10_000 }).toBe(true)
})
