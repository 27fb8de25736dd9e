// Evaluation against the real nnU-Net's on random folders. VOXGRAD_PEER_PYTHON names a Python that has nnunetv2.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { evaluate } from '../../src/validate/evaluate.js'

const python = process.env.VOXGRAD_PEER_PYTHON ?? ''
const there = existsSync(python)
if (!there) console.log('evaluation parity skipped: VOXGRAD_PEER_PYTHON names no Python with nnunetv2')
const folders = 16

describe.skipIf(!there)('evaluation', () => {
  test("equals nnU-Net's summary.json, byte for byte", { timeout: 600_000 }, async () => {
    const root = mkdtempSync(path.join(tmpdir(), 'voxgrad-evaluate-'))
    try {
      const script = fileURLToPath(new URL('evaluate.py', import.meta.url))
      const { status, stderr } = spawnSync(python, [script, root, String(folders)], { encoding: 'utf8' })
      expect(status, stderr).toBe(0)
      for (const name of readdirSync(root)) {
        const at = (part: string) => path.join(root, name, part)
        const { file } = await evaluate({ predictions: at('predictions'), truth: at('truth') })
        expect(readFileSync(file, 'utf8')).toBe(readFileSync(at('expected.json'), 'utf8'))
      }
      console.log(`${readdirSync(root).length} folders equal`)
    } finally {
      rmSync(root, { recursive: true, force: true })
    }
  })
})
