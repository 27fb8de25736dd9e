// Starts programs of the real nnU-Net on a dataset's folders. VOXGRAD_PEER_PYTHON names a Python that has nnunetv2.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import type { SmallDataset } from '../train/small-dataset.js'

export const python = process.env.VOXGRAD_PEER_PYTHON ?? ''
/** Whether the real nnU-Net is there; tests are skipped where it is not. */
export const isThere = existsSync(python)

/** One of nnU-Net's programs, such as nnUNetv2_predict. */
export const command = (name: string): string => path.join(path.dirname(python), name)

/** Runs a program on one thread and without workers. @returns what it printed; a failure fails the test */
export function nnunet({ raw, preprocessed, results }: SmallDataset['folders'], program: string, ...args: string[]) {
  const roots = { nnUNet_raw: raw, nnUNet_preprocessed: preprocessed, nnUNet_results: results }
  const limits = { OMP_NUM_THREADS: '1', nnUNet_n_proc_DA: '0', nnUNet_def_n_proc: '1', nnUNet_compile: 'f' }
  const { status, stdout, stderr } = spawnSync(program, args, {
    env: { ...process.env, ...roots, ...limits },
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  })
  expect(status, stderr).toBe(0)
  return stdout
}

/** Jobs of interchange.py, each with its arguments, one after another in one process. */
export function runJobs(folders: SmallDataset['folders'], ...jobs: string[][]): void {
  const script = fileURLToPath(new URL('interchange.py', import.meta.url))
  nnunet(folders, python, script, JSON.stringify(jobs))
}
