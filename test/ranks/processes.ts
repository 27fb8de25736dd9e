// Commands that are started as a user would, for the tests of several ranks.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { native } from '../../src/native/load.js'

export const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
/** Whether the addon can train on several ranks. */
export const hasCollectives = native().versions().collectives.includes('gloo')
if (!hasCollectives) console.log('several ranks skipped: the addon was built without Gloo (Debian: libgloo-dev)')

export const torchrun = [
  process.env.VOXGRAD_TORCHRUN,
  path.join(process.env.HOME ?? '', '.cache/voxgrad-peer/bin/torchrun'),
  'torchrun',
].find((program) => program !== undefined && spawnSync(program, ['--help']).status === 0)
if (torchrun === undefined) console.log('torchrun skipped: there is none (VOXGRAD_TORCHRUN names it)')

/** Starts a program; `ended` resolves with all that it printed. */
export function start(program: string, args: string[], environment: NodeJS.ProcessEnv = {}) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...environment } })
  const output = { stdout: '', stderr: '' }
  child.stdout.on('data', (text: Buffer) => (output.stdout += text))
  child.stderr.on('data', (text: Buffer) => (output.stderr += text))
  const ended = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) =>
    child.on('close', (code) => resolve({ code, ...output })),
  )
  return { child, ended }
}
export const voxgrad = (...args: string[]) => start(process.execPath, [main, ...args])

/** Processes of the engine below a command. */
export function childrenOf({ pid }: Pick<ChildProcess, 'pid'>): number[] {
  const { stdout } = spawnSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' })
  return stdout.split('\n').filter(Boolean).map(Number)
}
