// Saves that are killed at random moments, and killed or failed at every one of their file operations: what is there
// afterwards is whole, and at most the save in progress is lost.
import { execFile, spawn, spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../io/support.js'
import { count, figuresOf, Random, sleep, suiteTimeout } from './counts.js'

const program = new URL('../../build/voxgrad_check', import.meta.url).pathname
const shim = new URL('../../build/fault_shim.so', import.meta.url).pathname
const folder = temporaryFolder()
const figures = figuresOf('writer-kills', {
  'kills at random moments': 0,
  'in the middle of a save': 0,
  'kills at every file operation': 0,
  'failures at every file operation': 0,
  'unreadable folders': 0,
  'saves lost at most': 0,
})
const random = new Random('writer-kills')
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

/** A new folder with the earlier files. */
function copyOfEarlier(name: string): string {
  const target = path.join(folder, `save-${name}-`)
  mkdirSync(target)
  for (const file of readdirSync(earlier)) copyFileSync(path.join(earlier, file), path.join(target, file))
  return target
}

/** Saves twice over a copy of the earlier files, with a fault. */
async function saveTwice(name: string, fault: Record<string, string>): Promise<Outcome> {
  const target = copyOfEarlier(name)
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
  if (stdout.includes('damaged')) figures['unreadable folders']++
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
    figures[action === 'kill' ? 'kills at every file operation' : 'failures at every file operation'] += outcomes.length
  },
  120_000,
)

interface Killed {
  folder: string
  /** The number of the last save that was told of; 0 if none was. */
  acknowledged: number
  isInSave: boolean
}

/** Saves without end over a copy of the earlier files, killed within the time of a few saves. */
async function saveUntilKilled(name: string): Promise<Killed> {
  const target = copyOfEarlier(name)
  const child = spawn(program, ['save', target, '--saves', '1000000', '--megabytes', '4'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let stdout = ''
  const first = new Promise<void>((resolve) => {
    child.stdout.on('data', (text) => {
      stdout += text
      resolve()
    })
  })
  const closed = new Promise((resolve) => child.on('close', resolve))
  // One kill in four comes near the first save, which replaces files of another run.
  await (random.next() < 0.25 ? untilTemporary(target) : first)
  await sleep(random.between(0, 60))
  child.kill('SIGKILL')
  await closed
  const acknowledged = stdout.split('\n').length - 1
  return { folder: target, acknowledged, isInSave: readdirSync(target).some(isTemporary) }
}

async function untilTemporary(target: string): Promise<void> {
  while (!readdirSync(target).some(isTemporary)) await sleep(1)
}

const nameOfSave = (number: number) => (number % 2 === 1 ? 'latest' : 'best')

test(
  'kills at random moments',
  async () => {
    const kills = count(1000)
    const perReading = 20
    for (let done = 0; done < kills; done += perReading) {
      const numbers = Array.from({ length: Math.min(perReading, kills - done) }, (_, i) => done + i)
      const lanes = [0, 1].map(async (lane) => {
        const killed: Killed[] = []
        for (const number of numbers.filter((_, i) => i % 2 === lane))
          killed.push(await saveUntilKilled(`kill-at-random-${number}`))
        return killed
      })
      const killed = (await Promise.all(lanes)).flat()
      const saves = readSaves(killed.map((one) => one.folder))
      for (const [i, { folder: target, acknowledged, isInSave }] of killed.entries()) {
        const found = saves[i] as (typeof saves)[number]
        const inWork = acknowledged + 1
        for (const name of names) {
          const last = [acknowledged, acknowledged - 1].find((number) => number > 0 && nameOfSave(number) === name)
          const allowed = [last ?? before[name], ...(nameOfSave(inWork) === name ? [inWork] : [])]
          expect(allowed).toContain(found[name])
        }
        const isLost = isInSave && found[nameOfSave(inWork)] !== inWork
        figures['saves lost at most'] = Math.max(figures['saves lost at most'], Number(isLost))
        figures['in the middle of a save'] += Number(isInSave)
        figures['kills at random moments']++
        rmSync(target, { recursive: true })
      }
    }
  },
  suiteTimeout,
)

test('a disk that stays full', async () => {
  const fault = { VOXGRAD_FAULT_AT: '3', VOXGRAD_FAULT_ACTION: 'ENOSPC:1000' }
  const { folder: target, status } = await saveTwice('full', fault)
  expect(status).toBe(74)
  expect(readSaves([target])).toEqual([before])
  expect(readdirSync(target).filter(isTemporary)).toEqual([])
})
