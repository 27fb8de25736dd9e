// What the file tests share: goldens, temporary folders, a size-limited disk, and real Python where it is there.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, onTestFinished } from 'vitest'
import { VoxgradError } from '../../src/errors.js'

const goldens = fileURLToPath(new URL('../goldens/io', import.meta.url))

/** A file that test/goldens/make_io.py made. */
export function golden(name: string): string {
  return path.join(goldens, name)
}

/** A folder that is removed after the tests of the file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'voxgrad-io-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Mounts a disk in memory for one test; returns its path, or the reason why this cannot be done here. */
export function mountDisk(folder: string, options: string): { disk: string } | { reason: string } {
  const disk = path.join(folder, `disk-${options.replaceAll(/\W/g, '-')}`)
  mkdirSync(disk)
  const result = spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', disk], { encoding: 'utf8' })
  if (result.status !== 0) return { reason: `cannot mount a disk in memory here: ${result.stderr ?? result.error}` }
  onTestFinished(() => {
    spawnSync('umount', [disk])
  })
  return { disk }
}

/** Python with torch and nnU-Net; undefined where it is not installed. */
export function peerPython(): string | undefined {
  const home = process.env.PEER_HOME ?? path.join(homedir(), '.cache/voxgrad-peer')
  const python = path.join(home, 'bin/python')
  if (existsSync(python)) return python
  console.log(`skipped: no Python with nnU-Net at ${python}; set PEER_HOME to its folder`)
  return undefined
}

/** Runs a Python program and returns what it prints. */
export function runPython(python: string, program: string, ...args: string[]): string {
  const result = spawnSync(python, ['-c', program, ...args], { encoding: 'utf8' })
  if (result.status !== 0) throw new Error(result.stderr)
  return result.stdout
}

/** The VoxgradError that a promise or a call fails with. */
export async function failureOf(call: () => unknown): Promise<VoxgradError> {
  try {
    await call()
  } catch (error) {
    if (error instanceof VoxgradError) return error
    throw error
  }
  throw new Error('expected a VoxgradError, but the call succeeded')
}
