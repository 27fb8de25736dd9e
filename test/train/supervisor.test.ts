// Runs in a child process (the built worker): the same result, a killed child as one clear error, an orphan that saves.
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { native } from '../../src/native/load.js'
import type { RunEvent, RunResult } from '../../src/train/events.js'
import type { RunRecord } from '../../src/train/run-folder.js'
import { makeSmallDataset, type SmallDataset, smallRun } from './small-dataset.js'

const childModule = new URL('../../dist/train/child.js', import.meta.url).href
const { runInChild } = (await import(childModule)) as typeof import('../../src/train/child.js')

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

test('a killed child is one clear error, and its run goes on to the same weights', async () => {
  const run = path.join(dataset.root, 'killed')
  const started = runInChild<RunResult>({ kind: 'train', options: smallRun(dataset, { run, validateAtEnd: false }) })
  const events = (async () => {
    for await (const event of started) {
      if (event.type === 'checkpoint' && event.epoch === 1) process.kill(recordOf(run).processId, 'SIGKILL')
    }
  })()
  await expect(events).rejects.toMatchObject({ code: 'ERR_OUT_OF_MEMORY' })
  expect(recordOf(run).status).toBe('running')
  await runInChild({ kind: 'resume', options: { run } }).finished
  expect(await weightsOf(run)).toEqual(await weightsOf(whole.folder))
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
