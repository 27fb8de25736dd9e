// The demo's own errors; the whole demo runs in CI.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'

const script = fileURLToPath(new URL('../../examples/demo.mjs', import.meta.url))
const folder = mkdtempSync(path.join(tmpdir(), 'voxgrad-demo-'))
afterAll(() => rmSync(folder, { recursive: true }))

function demo(...args: string[]) {
  const environment = { ...process.env, INIT_CWD: folder }
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], {
    encoding: 'utf8',
    env: environment,
  })
  return { code: status, out: stdout, err: stderr }
}

test('a folder that is missing, holds no dataset or is badly named is one error', () => {
  const nowhere = path.join(folder, 'nowhere')
  expect(demo('nowhere')).toMatchObject({
    code: 2,
    out: '',
    err: expect.stringContaining(`there is no folder ${nowhere}`),
  })
  expect(demo('.').err).toContain(`${folder} holds no dataset.json`)
  writeFileSync(path.join(folder, 'dataset.json'), '{}')
  expect(demo('.').err).toContain('expected a folder named like Task04_Hippocampus or Dataset004_Hippocampus, found')
  for (const { err } of [demo('nowhere'), demo('a', 'b')]) expect(err.trimEnd()).not.toContain('\n')
})
