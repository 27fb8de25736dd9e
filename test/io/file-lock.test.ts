// The lock on a file: one owner, free at its end however it ends, and of the file that the path names.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'
import { native } from '../../src/native/load.js'
import { failureOf, temporaryFolder } from './support.js'

const folder = temporaryFolder()
const addon = new URL('../../build/Release/voxgrad.node', import.meta.url).pathname
const take = (file: string): number => {
  const descriptor = native().lockFile(file)
  if (descriptor === null) throw new Error(`${file} is locked`)
  return descriptor
}

/** Runs a program that has `lockFile` and `fs`; resolves at its first line. */
async function start(program: string, ...args: string[]): Promise<[ChildProcess, string]> {
  const prelude = `const { lockFile } = require(${JSON.stringify(addon)}); const fs = require('node:fs');`
  const child = spawn(process.execPath, ['-e', prelude + program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  const line = await new Promise<string>((resolve) => createInterface(child.stdout).once('line', resolve))
  return [child, line]
}

async function ended(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  return child.exitCode
}

test('one owner at a time, also in the same process', () => {
  const file = path.join(folder, 'own.lock')
  const descriptor = take(file)
  expect(native().lockFile(file)).toBeNull()
  expect(native().lockFile(path.join(folder, 'other.lock'))).not.toBeNull()
  closeSync(descriptor)
  closeSync(take(file))
})

test('another process is kept out, and its death frees the lock', async () => {
  const file = path.join(folder, 'killed.lock')
  const [owner, line] = await start(`console.log(lockFile(process.argv[1])); setInterval(() => {}, 1000)`, file)
  expect(Number(line)).toBeGreaterThan(2)
  expect(native().lockFile(file)).toBeNull()
  owner.kill('SIGKILL')
  await ended(owner)
  closeSync(take(file))
})

test('an owner that removed the file keeps nobody from the new one', () => {
  const file = path.join(folder, 'removed.lock')
  const first = take(file)
  unlinkSync(file)
  const second = take(file)
  expect(existsSync(file)).toBe(true)
  closeSync(first)
  expect(native().lockFile(file)).toBeNull()
  closeSync(second)
})

test('processes that lock, remove and let go never own it together', async () => {
  const file = path.join(folder, 'raced.lock')
  const log = path.join(folder, 'raced.log')
  const program = `
    const [file, log] = process.argv.slice(1)
    console.log('ready')
    while (!fs.existsSync(log + '.go'));
    for (let turns = 0; turns < 200; ) {
      const descriptor = lockFile(file)
      if (descriptor === null) continue
      const held = fs.openSync(log + '.held', 'wx') // fails where another owner is
      fs.closeSync(held)
      fs.unlinkSync(log + '.held')
      fs.appendFileSync(log, 'x')
      fs.unlinkSync(file)
      fs.closeSync(descriptor)
      turns += 1
    }`
  const children = await Promise.all([1, 2, 3].map(() => start(program, file, log)))
  writeFileSync(`${log}.go`, '')
  expect(await Promise.all(children.map(([child]) => ended(child)))).toEqual([0, 0, 0])
  expect(readFileSync(log, 'utf8')).toHaveLength(600)
}, 60_000)

test('a folder that is not there', async () => {
  const error = await failureOf(() => native().lockFile(path.join(folder, 'none/file.lock')))
  expect(error.code).toBe('ERR_DISK')
  expect(error.message).toMatch(/cannot lock .*none\/file\.lock: No such file/)
})
