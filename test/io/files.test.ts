// Atomic writes: what is on the disk after success, and after every kind of failure.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { native } from '../../src/native/load.js'
import { failureOf, mountDisk, temporaryFolder } from './support.js'

const folder = temporaryFolder()
const write = (file: string, bytes: Uint8Array) => native().writeFileAtomically(file, bytes)

test('writes a new file, replaces it, and leaves nothing else', async () => {
  const own = path.join(folder, 'own')
  mkdirSync(own)
  const file = path.join(own, 'file')
  await write(file, Buffer.from('first content'))
  await write(file, Buffer.from('second'))
  await write(path.join(own, 'empty'), new Uint8Array(0))
  expect(readFileSync(file, 'utf8')).toBe('second')
  expect(readdirSync(own).sort()).toEqual(['empty', 'file'])
})

test('writes a part of a larger buffer', async () => {
  const file = path.join(folder, 'part')
  await write(file, new Uint8Array(Buffer.from('abcdef').buffer.slice(0)).subarray(0, 0))
  await write(file, Uint8Array.of(1, 2, 3, 4).subarray(1, 3))
  expect([...readFileSync(file)]).toEqual([2, 3])
})

test('many writes of one file at once leave one of them, whole', async () => {
  const file = path.join(folder, 'raced')
  const contents = Array.from({ length: 16 }, (_, i) => new Uint8Array(100_000).fill(i))
  await Promise.all(contents.map((content) => write(file, content)))
  const result = readFileSync(file)
  expect(contents.some((content) => result.equals(content))).toBe(true)
  expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([])
})

test('a missing folder and a folder in the place of the file', async () => {
  const missing = await failureOf(() => write(path.join(folder, 'none/file'), Uint8Array.of(1)))
  expect(missing.code).toBe('ERR_DISK')
  expect(missing.message).toMatch(/none\/file.*folder does not exist/)
  mkdirSync(path.join(folder, 'taken'))
  expect((await failureOf(() => write(path.join(folder, 'taken'), Uint8Array.of(1)))).code).toBe('ERR_DISK')
  expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([])
})

test('a full disk: the old file stays, the error says what is needed', async (context) => {
  const mounted = mountDisk(folder, 'size=64k')
  if ('reason' in mounted) return context.skip(mounted.reason)
  const file = path.join(mounted.disk, 'file')
  writeFileSync(file, 'the old one')
  const error = await failureOf(() => write(file, new Uint8Array(200_000)))
  expect(error.code).toBe('ERR_DISK_FULL')
  expect(error.message).toMatch(/disk-size-64k\/file.*No space left on device.*200000 bytes/)
  expect(readdirSync(mounted.disk)).toEqual(['file'])
  expect(readFileSync(file, 'utf8')).toBe('the old one')
})

test('a read-only disk', async (context) => {
  const mounted = mountDisk(folder, 'ro')
  if ('reason' in mounted) return context.skip(mounted.reason)
  const error = await failureOf(() => write(path.join(mounted.disk, 'file'), Uint8Array.of(1)))
  expect(error.code).toBe('ERR_DISK')
  expect(error.message).toMatch(/Read-only file system/)
})
