// A job as a run: events in order, stopping, failures, and what a dead child means.
import { expect, test } from 'vitest'
import type { RunEvent } from '../../src/train/events.js'
import { startJob } from '../../src/train/job.js'
import { suddenEnd } from '../../src/train/supervisor.js'

const log = (text: string): RunEvent => ({ type: 'log', text })

test('events come in order, then the result', async () => {
  const run = startJob(async ({ emit }) => {
    emit(log('a'))
    await new Promise((resolve) => setTimeout(resolve, 5))
    emit(log('b'))
    return 7
  })
  const seen: RunEvent[] = []
  for await (const event of run) seen.push(event)
  expect(seen).toEqual([log('a'), log('b')])
  expect(await run.finished).toBe(7)
})

test('a run goes on without a reader', async () => {
  const run = startJob(async ({ emit }) => {
    for (let i = 0; i < 1000; i++) emit(log(String(i)))
    return 'done'
  })
  expect(await run.finished).toBe('done')
})

test('a failure ends the iteration and rejects the promise with the same error', async () => {
  const failure = new Error('no disk')
  const run = startJob(async ({ emit }) => {
    emit(log('before'))
    throw failure
  })
  const read = async () => {
    for await (const event of run) expect(event).toEqual(log('before'))
  }
  await expect(read()).rejects.toBe(failure)
  await expect(run.finished).rejects.toBe(failure)
})

test("stop() and the caller's signal both ask the job to end", async () => {
  const untilStopped = ({ stopping }: { stopping: AbortSignal }) =>
    new Promise<string>((resolve) => {
      if (stopping.aborted) resolve('stopped')
      stopping.addEventListener('abort', () => resolve('stopped'))
    })
  const byCall = startJob(untilStopped)
  byCall.stop()
  byCall.stop()
  expect(await byCall.finished).toBe('stopped')
  const controller = new AbortController()
  const bySignal = startJob(untilStopped, { signal: controller.signal })
  controller.abort()
  expect(await bySignal.finished).toBe('stopped')
  expect(await startJob(untilStopped, { signal: AbortSignal.abort() }).finished).toBe('stopped')
})

test.each([
  [null, 'SIGKILL', 'ERR_HOST_MEMORY', /memory ran out/],
  [null, 'SIGSEGV', 'ERR_INTERNAL', /crashed \(SIGSEGV\)/],
  [3, null, 'ERR_INTERNAL', /code 3/],
] as const)('a child that ends with code %s and signal %s is one clear error', (code, signal, errorCode, text) => {
  const error = suddenEnd(code, signal)
  expect(error.code).toBe(errorCode)
  expect(error.message).toMatch(text)
})
