// A save that is killed, or fails, at every one of its file operations: what is there afterwards is whole.
import { execFile, spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { temporaryFolder } from './support.js'

const program = new URL('../../build/voxgrad_check', import.meta.url).pathname
const shim = new URL('../../build/fault_shim.so', import.meta.url).pathname
const folder = temporaryFolder()
const names = ['latest', 'best'] as const
/** What is there before: the saves 3 and 4 of an earlier run. */
const before = { latest: 3, best: 4 }
/** What a whole run of two saves leaves. */
const after = { latest: 1, best: 2 }

const earlier = path.join(folder, 'earlier')
mkdirSync(earlier)
spawnSync(program, ['save', earlier, '--saves', '4'])

interface Outcome {
  folder: string
  status: number | null
  signal: string | null
  stdout: string
  stderr: string
}

/** Saves twice over a copy of the earlier files, with a fault. */
async function saveTwice(name: string, fault: Record<string, string>): Promise<Outcome> {
  const target = path.join(folder, `save-${name}-`)
  mkdirSync(target)
  for (const file of readdirSync(earlier)) copyFileSync(path.join(earlier, file), path.join(target, file))
  const env = { ...process.env, LD_PRELOAD: shim, VOXGRAD_FAULT_PATH: target, ...fault }
  return new Promise((resolve) => {
    const child = execFile(program, ['save', target, '--saves', '2'], { env }, (_, stdout, stderr) =>
      resolve({ folder: target, status: child.exitCode, signal: child.signalCode, stdout, stderr }),
    )
  })
}

/** The number of the save in each file of each folder; a damaged one fails the test. */
function readSaves(folders: string[]): Record<(typeof names)[number], number>[] {
  const { stdout, status } = spawnSync(program, ['read', ...folders], { encoding: 'utf8' })
  expect(status).toBe(0)
  expect(stdout).not.toContain('damaged')
  const numbers = stdout
    .trim()
    .split('\n')
    .map((line) => Number(line.split(' ')[1]))
  expect(numbers).toHaveLength(2 * folders.length)
  return folders.map((_, i) => ({ latest: numbers[2 * i] as number, best: numbers[2 * i + 1] as number }))
}

const isTemporary = (name: string) => name.endsWith('.tmp')

test('a run without a fault, which counts the operations', async () => {
  const { folder: target, stdout } = await saveTwice('whole', { VOXGRAD_FAULT_COUNT: path.join(folder, 'count') })
  expect(stdout).toBe('saved 1 latest\nsaved 2 best\n')
  expect(readSaves([target])).toEqual([after])
})

// A run that fails does not come to its second save.
test.each([
  ['kill', 2],
  ['ENOSPC', 1],
  ['EIO', 1],
])(
  '%s at every operation (saves: %i)',
  async (action, saveCount) => {
    const operations = (Number(readFileSync(path.join(folder, 'count'), 'utf8')) * saveCount) / 2
    expect(operations).toBeGreaterThan(15)
    expect(Number.isInteger(operations)).toBe(true)
    const outcomes: Outcome[] = []
    for (let at = 1; at <= operations; at += 2) {
      const pair = [at, at + 1].filter((number) => number <= operations)
      const fault = (number: number) => ({ VOXGRAD_FAULT_AT: String(number), VOXGRAD_FAULT_ACTION: action })
      outcomes.push(...(await Promise.all(pair.map((number) => saveTwice(`${action}-${number}`, fault(number))))))
    }
    const saves = readSaves(outcomes.map((outcome) => outcome.folder))
    // A save that failed, or was not told of, after it had replaced the file.
    let replaced = 0
    for (const [i, { folder: target, status, signal, stdout, stderr }] of outcomes.entries()) {
      for (const name of names) {
        const acknowledged = stdout.includes(`saved ${after[name]} ${name}`)
        expect(acknowledged ? [after[name]] : [before[name], after[name]]).toContain(saves[i]?.[name])
        if (!acknowledged && saves[i]?.[name] === after[name]) replaced += 1
      }
      if (action === 'kill') {
        expect(signal).toBe('SIGKILL')
      } else {
        expect(status).toBe(74)
        expect(stderr).toMatch(action === 'EIO' ? /Input\/output error/ : /No space left on device.*needs \d+ bytes/)
        expect(readdirSync(target).filter(isTemporary)).toEqual([])
      }
    }
    // Only the fsync of the folder comes after the rename.
    expect(replaced).toBe(saveCount)
    console.log(`${action}: ${outcomes.length} operations, 0 damaged files`)
  },
  120_000,
)

test('a disk that stays full', async () => {
  const fault = { VOXGRAD_FAULT_AT: '3', VOXGRAD_FAULT_ACTION: 'ENOSPC:1000' }
  const { folder: target, status } = await saveTwice('full', fault)
  expect(status).toBe(74)
  expect(readSaves([target])).toEqual([before])
  expect(readdirSync(target).filter(isTemporary)).toEqual([])
})
