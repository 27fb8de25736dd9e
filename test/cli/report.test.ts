// voxgrad report, as plain node runs it, and the report at the end of a run, which never fails it.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import type { RunEvent } from '../../src/train/events.js'
import { lockRun } from '../../src/train/lock.js'
import { reportRun } from '../../src/train/report-run.js'
import { writeRunFixture } from '../report/run-fixture.js'

const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const root = mkdtempSync(path.join(tmpdir(), 'voxgrad-report-'))
afterAll(() => rmSync(root, { recursive: true }))

function report(...args: string[]) {
  const options = { encoding: 'utf8', cwd: root } as const
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, 'report', ...args], options)
  return { code: status, out: stdout, err: stderr }
}

const validation = { box_0: { '1': 0.91, '2': 0.8 }, box_1: { '1': 0.312, '2': 0.4 } }

test('writes into the run folder, or where it is told to', () => {
  const run = writeRunFixture(path.join(root, 'plain'), { validation })
  const page = path.join(run, 'report.html')
  expect(report(run)).toMatchObject({
    code: 0,
    err: '',
    out: expect.stringMatching(/^.*report\.html \(\d+\.\d KiB\)\n$/),
  })
  expect(readFileSync(page, 'utf8')).toContain('0.3120')
  const { code, out, err } = report('plain/fold_0', '-o', 'elsewhere/page.html', '--json')
  const file = path.join(root, 'elsewhere/page.html')
  expect({ code, object: JSON.parse(out) }).toEqual({
    code: 0,
    object: { type: 'report', run, file, bytes: statSync(file).size },
  })
  expect(err).toContain('page.html')
})

test('a run that has ended says so while its own process still holds it', async () => {
  const run = writeRunFixture(path.join(root, 'held'), { validation })
  const lock = await lockRun(run)
  expect(report(run).code).toBe(0)
  expect(readFileSync(path.join(run, 'report.html'), 'utf8')).toContain('finished: completed')
  lock.release()
})

test('a folder without a run, and a damaged summary, are one clear error each', () => {
  expect(report('nowhere')).toMatchObject({ code: 2, err: expect.stringMatching(/^error: .*nowhere.*run\.json/) })
  expect(existsSync(path.join(root, 'nowhere'))).toBe(false)
  const run = writeRunFixture(path.join(root, 'damaged'), { validation })
  writeFileSync(path.join(run, 'validation/summary.json'), '{"mean": {')
  const { code, out, err } = report(run, '--json')
  expect({ code, error: JSON.parse(out).code }).toEqual({ code: 2, error: 'ERR_FORMAT' })
  expect(err).toMatch(/^error: .*summary\.json: expected JSON/)
  expect(existsSync(path.join(run, 'report.html'))).toBe(false)
})

test('a fault at the end of a run is a warning in its journal', async () => {
  const run = writeRunFixture(path.join(root, 'blocked'), { validation })
  mkdirSync(path.join(run, 'report.html/in the way'), { recursive: true })
  const events: RunEvent[] = []
  const context = {
    emit: (event: RunEvent) => events.push(event),
    alive: () => {},
    stop: () => {},
    stopping: new AbortController().signal,
    leader: undefined,
  }
  await reportRun(run, context)
  const [warning] = events
  expect(warning).toMatchObject({ type: 'warning', text: expect.stringMatching(/report\.html.*voxgrad report/) })
  expect(readFileSync(path.join(run, 'metrics.jsonl'), 'utf8').trimEnd().split('\n').at(-1)).toBe(
    JSON.stringify(warning),
  )
})
