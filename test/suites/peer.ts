// Where the real nnU-Net is found, and where what it wrote is kept: a suite that was interrupted goes on where it was.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { peerPython, runPython } from '../io/support.js'

export const root = path.join(import.meta.dirname, '../..')
const kit = process.env.VOXGRAD_PEER_KIT ?? path.join(root, '../shared/peer')

export interface Peer {
  python: string
  kit: string
  /** A script of the peer kit. */
  script(name: string): string
  /** Folder for goldens of this version of nnU-Net, made by this version of the scripts. */
  goldens(...scripts: string[]): string
}

/** The real nnU-Net with the scripts that run it, or why it is not here. */
export function findPeer(): Peer | { missing: string } {
  if (!existsSync(kit)) return { missing: `there is no ${kit}` }
  const python = peerPython()
  if (python === undefined) return { missing: 'there is no Python with nnU-Net' }
  return {
    python,
    kit,
    script: (name) => path.join(kit, name),
    goldens: (...scripts) => {
      const hash = createHash('sha256').update(
        runPython(python, 'import importlib.metadata as m; print(m.version("nnunetv2"))').trim(),
      )
      for (const script of scripts) hash.update(readFileSync(script))
      return path.join(root, 'build/goldens', hash.digest('hex').slice(0, 12))
    },
  }
}

/** Runs a command that makes something in `folder`, once. */
export async function once(folder: string, command: string, ...args: string[]): Promise<void> {
  const done = path.join(folder, `made-by-${path.basename(args[0] ?? command)}`)
  if (existsSync(done)) return
  mkdirSync(folder, { recursive: true })
  await promisify(execFile)(command, args, { maxBuffer: 2 ** 28 })
  writeFileSync(done, '')
}
