// One process at a time in a run folder: a kernel lock, which ends with its owner however that ends.
import { closeSync, existsSync, ftruncateSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { hostname } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { VoxgradError } from '../errors.js'
import { diskFailure, makeFolder } from '../files.js'
import { native } from '../native/load.js'

export interface LockOwner {
  processId: number
  /** The process that started the owner and looks after it; null where there is none. */
  supervisorId: number | null
  host: string
  since: string
}

export interface RunLock {
  release(): void
}

const lockFile = (folder: string) => path.join(folder, 'run.lock')

/** An owner without its supervisor saves and leaves; that long it is waited for. */
const orphanSeconds = 30
/** One that is gone already, or that has only looked whether the lock is free. */
const passingSeconds = 2

/**
 * Takes the lock of a run folder, which is made if it is missing.
 * @throws VoxgradError ERR_RUN_IN_USE naming the owner if another process has it; ERR_DISK
 */
export async function lockRun(folder: string): Promise<RunLock> {
  const file = lockFile(folder)
  await makeFolder(folder).catch((error) => {
    throw diskFailure(folder, error, 'cannot be made')
  })
  const begin = performance.now()
  for (;;) {
    const descriptor = native().lockFile(file)
    if (descriptor !== null) {
      removeLeftovers(folder)
      return claim(file, descriptor)
    }
    const owner = readOwner(file)
    if (performance.now() - begin > 1000 * secondsToWait(owner)) throw inUse(folder, owner)
    await sleep(100)
  }
}

function secondsToWait(owner: LockOwner | null): number {
  if (owner === null) return passingSeconds
  if (owner.host !== hostname()) return 0
  if (!isAlive(owner.processId)) return passingSeconds
  return owner.supervisorId !== null && !isAlive(owner.supervisorId) ? orphanSeconds : 0
}

/** Who holds the lock of a run folder now; null if nobody does. */
export function ownerOf(folder: string): LockOwner | null {
  const file = lockFile(folder)
  if (!existsSync(file)) return null
  const descriptor = native().lockFile(file)
  if (descriptor === null) return readOwner(file)
  closeSync(descriptor)
  return null
}

/** What a process that was killed while it wrote has left; safe to remove, since nobody else writes now. */
function removeLeftovers(folder: string): void {
  const leftovers = readdirSync(folder).filter((name) => /^\..*\.tmp$/.test(name))
  for (const name of leftovers) rmSync(path.join(folder, name), { force: true })
}

function claim(file: string, descriptor: number): RunLock {
  // A child of the command line has a channel to its supervisor, as long as that lives.
  const supervisorId = process.connected ? process.ppid : null
  const owner: LockOwner = { processId: process.pid, supervisorId, host: hostname(), since: new Date().toISOString() }
  const release = () => {
    // Removed while it is held: who opened it before finds another file at the path, and tries again.
    rmSync(file, { force: true })
    closeSync(descriptor)
  }
  try {
    ftruncateSync(descriptor)
    writeSync(descriptor, JSON.stringify(owner), 0)
  } catch (error) {
    release()
    throw diskFailure(file, error)
  }
  return { release }
}

function readOwner(file: string): LockOwner | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as LockOwner
  } catch {
    return null // being written, or released meanwhile
  }
}

export function isAlive(processId: number): boolean {
  try {
    process.kill(processId, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function inUse(folder: string, owner: LockOwner | null): VoxgradError {
  const who = owner === null ? 'another process' : `process ${owner.processId} on ${owner.host} since ${owner.since}`
  return new VoxgradError('ERR_RUN_IN_USE', {
    found: `${folder} is in use by ${who}`,
    remedy: `See \`voxgrad status ${folder}\`; end it with \`voxgrad stop ${folder}\`, or train into another folder with --run.`,
  })
}
