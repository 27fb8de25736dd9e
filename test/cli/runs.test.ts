// voxgrad runs and status, as plain node runs them: tables that fit 80 columns, and a damaged run beside sound ones.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { writeRunFixture } from '../report/run-fixture.js'

const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const root = mkdtempSync(path.join(tmpdir(), 'voxgrad-runs-'))
afterAll(() => rmSync(root, { recursive: true }))

function voxgrad(...args: string[]) {
  const options = { encoding: 'utf8', cwd: root } as const
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], options)
  return { code: status, lines: stdout.trimEnd().split('\n'), err: stderr }
}

test('short paths stand beside the numbers, long ones above them, within 80 columns', () => {
  const model = 'Dataset004_Hippocampus/voxgrad__nnUNetPlans__3d_fullres'
  writeRunFixture(path.join(root, 'short/a'))
  writeRunFixture(path.join(root, 'short/b'), { record: { status: 'failed', reason: 'error', error: 'no memory' } })
  expect(voxgrad('runs', 'short').lines).toEqual([
    'status    epoch    EMA Dice  best  left  run',
    expect.stringMatching(/^finished {2}30\/1000 {2}0\.\d{4} {4}- {5}- {5}a\/fold_0$/),
    expect.stringMatching(/^failed {4}30\/1000 {2}0\.\d{4} {4}- {5}- {5}b\/fold_0$/),
  ])
  writeRunFixture(path.join(root, 'long', model))
  const { lines } = voxgrad('runs', 'long')
  expect(lines.slice(1)).toEqual(['', model, expect.stringMatching(/^finished .* fold_0$/)])
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(80)
  const described = voxgrad('status', `long/${model}/fold_0`).lines
  expect(described).toContain('status       finished (completed)')
  expect(described.filter((line) => !line.includes(root)).every((line) => line.length <= 80)).toBe(true)
})

test('a run that cannot be read is a warning beside the others; --json is a line for each of these', () => {
  const broken = path.join(root, 'mixed/broken')
  mkdirSync(broken, { recursive: true })
  writeFileSync(path.join(broken, 'run.json'), '{"format": 1, ')
  writeRunFixture(path.join(root, 'mixed/sound'))
  const { code, lines, err } = voxgrad('runs', 'mixed', '--json')
  expect({ code, folders: lines.map((line) => JSON.parse(line).folder) }).toEqual({
    code: 0,
    folders: [path.join(root, 'mixed/sound/fold_0')],
  })
  expect(err).toMatch(/warning: .*broken\/run\.json: expected JSON/)
})
