// voxgrad dashboard as a program, and beside a training.
import { type ChildProcess, spawn } from 'node:child_process'
import path from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import type { RunState } from '../../src/dashboard/messages.js'
import { temporaryFolder } from '../io/support.js'
import { makeSmallDataset, type SmallDataset } from '../train/small-dataset.js'

const program = new URL('../../dist/cli/main.js', import.meta.url).pathname
const scratch = temporaryFolder()

let dataset: SmallDataset
beforeAll(async () => {
  dataset = await makeSmallDataset()
})

/** Starts a verb; its JSON lines and exit code come as they do. */
function start(args: string[], folders: Partial<SmallDataset['folders']> = {}) {
  const env = {
    ...process.env,
    nnUNet_raw: folders.raw ?? '',
    nnUNet_preprocessed: folders.preprocessed ?? '',
    nnUNet_results: folders.results ?? '',
  }
  const child: ChildProcess = spawn(process.execPath, [program, ...args, '--json'], { env })
  let output = ''
  let waiting = () => {}
  child.stdout?.on('data', (part) => {
    output += part
    waiting()
  })
  const exit = new Promise<number | null>((resolve) => child.on('exit', resolve))
  const line = async (type: string): Promise<Record<string, unknown>> => {
    for (;;) {
      const lines = output.split('\n').slice(0, -1)
      const found = lines.map((one) => JSON.parse(one) as Record<string, unknown>).find((one) => one.type === type)
      if (found) return found
      const more = new Promise<void>((resolve) => {
        waiting = resolve
      })
      await Promise.race([more, exit.then(() => Promise.reject(new Error(`it ended without ${type}: ${output}`)))])
    }
  }
  return { child, exit, line }
}

/** Listens with the cookie that the address gives, until a run is as wanted. */
async function untilRun(url: string, isReached: (run: RunState) => boolean): Promise<RunState> {
  const cookie = (await fetch(url)).headers.get('set-cookie')?.split(';')[0] ?? ''
  const answer = await fetch(new URL('/api/events', url), { headers: { Cookie: cookie } })
  const reader = (answer.body as ReadableStream<Uint8Array>).getReader()
  const decoder = new TextDecoder()
  let text = ''
  for (;;) {
    const { value, done } = await reader.read()
    if (done) throw new Error('the stream ended')
    text += decoder.decode(value, { stream: true })
    for (const [, data] of text.matchAll(/^event: run\ndata: (.*)\n/gm)) {
      const run = JSON.parse(data as string) as RunState
      if (!isReached(run)) continue
      await reader.cancel()
      return run
    }
  }
}

test('prints its address, refuses a port that is taken in one line, and ends well with Ctrl-C', async () => {
  const first = start(['dashboard', path.join(scratch, 'nothing-yet'), '--port', '0'])
  const { url } = await first.line('dashboard')
  expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/\?token=[\w-]{22}$/)
  expect((await fetch(new URL('/', url as string))).status).toBe(403)
  const second = start(['dashboard', scratch, '--port', new URL(url as string).port])
  const { code, message } = await second.line('error')
  expect([code, message]).toEqual([
    'ERR_CONFIG',
    expect.stringMatching(/^--port: .*listens there: \d+\. Give another one/),
  ])
  expect(await second.exit).toBe(2)
  first.child.kill('SIGINT')
  expect(await first.exit).toBe(0)
})

test('needs a folder, and a port that can be one', async () => {
  for (const [args, named] of [
    [['dashboard'], /nnUNet_results/],
    [['dashboard', scratch, '--port', '70000'], /at most 65535/],
  ] as const) {
    const { line, exit } = start([...args])
    expect((await line('error')).message).toMatch(named)
    expect(await exit).toBe(2)
  }
})

test('goes beside a training with the steps of its epoch, and ends with it', async () => {
  const budget = ['--epochs', '2', '--steps-per-epoch', '20', '--val-steps', '1', '--threads', '1']
  const training = ['train', '9', '3d_fullres', '0', '--plans', 'nnUNetPlansTiny', ...budget]
  const { line, exit } = start([...training, '--dashboard', '--dashboard-port', '0'], dataset.folders)
  const { url } = await line('dashboard')
  const run = await untilRun(url as string, ({ progress }) => progress?.job === 'training' && progress.done > 0)
  expect(run).toMatchObject({ status: 'running', epochs: 2, progress: { job: 'training', total: 20 } })
  expect(await exit).toBe(0)
  await expect(fetch(url as string)).rejects.toThrow()
}, 240_000)
