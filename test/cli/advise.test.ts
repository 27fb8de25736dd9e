// voxgrad advise, as plain node runs it: on a finished, a stopped and a short run, and on folders that hold none.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { parseOptions, trainOptionsSchema } from '../../src/config/schema.js'

const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const curve = readFileSync(new URL('../train/curves/hippocampus_tiny_seed_2.jsonl', import.meta.url), 'utf8')
const folder = mkdtempSync(path.join(tmpdir(), 'voxgrad-advise-'))
afterAll(() => rmSync(folder, { recursive: true }))

function advise(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, 'advise', ...args], {
    encoding: 'utf8',
    cwd: folder,
  })
  return { code: status, out: stdout, err: stderr }
}

/** A run folder with what `advise` reads. */
function makeRun(name: string, metrics: string | undefined, status: string, epochs: number): string {
  const run = path.join(folder, name)
  mkdirSync(run)
  const input = {
    dataset: '4',
    configuration: '3d_fullres',
    fold: 0,
    run,
    budget: { epochs, stepsPerEpoch: 100, valSteps: 10 },
  }
  const options = parseOptions(trainOptionsSchema, input, 'options of train')
  writeFileSync(path.join(run, 'run.json'), JSON.stringify({ format: 1, status, options }))
  if (metrics !== undefined) writeFileSync(path.join(run, 'metrics.jsonl'), metrics)
  return run
}

const otherLines =
  '{"type":"new_best","epoch":0,"step":100}\n{"type":"stop","reason":"completed","epoch":20,"step":2000}\n'

test('a finished run: lines for people, one object for programs, and nothing written', () => {
  const run = makeRun('finished', curve + otherLines, 'finished', 20)
  const before = readdirSync(run)
  const plain = advise(run)
  expect(plain).toMatchObject({ code: 0, err: '' })
  const lines = plain.out.trimEnd().split('\n')
  expect(lines[0]).toMatch(/^The Dice still rises\. It ends at 0\.84/)
  expect(plain.out).toContain('Ways to train longer, to N = 270, 520, 1020 epochs in all:')

  const { code, out, err } = advise('finished', '--json')
  expect(code).toBe(0)
  expect(out.trimEnd().split('\n')).toHaveLength(1)
  const object = JSON.parse(out)
  expect(object).toMatchObject({
    type: 'advice',
    run,
    status: 'finished',
    verdict: 'rising',
    epochs: 20,
    judged: 20,
    epochsLeft: 0,
    dice: { direction: 'rising' },
    forecasts: [{ furtherEpochs: 250 }, { furtherEpochs: 500 }, { furtherEpochs: 1000 }],
    restartRate: 0.01,
    longer: [{ epochs: 270 }, { epochs: 520 }, { epochs: 1020, steps: 102_000 }],
    lines,
  })
  // 0.01 * (1 / 2000) ^ 0.9, and the same formula over 102,000 steps
  expect(object.rateNow / 1.0692e-5).toBeCloseTo(1, 3)
  expect(object.longer[2].stretchRate).toBeCloseTo(0.01 * (1 - 2000 / 102_000) ** 0.9, 10)
  expect(err).toContain('The Dice still rises.')
  expect(readdirSync(run)).toEqual(before)
})

test('a running one: a last line that is not complete yet does not count', () => {
  const run = makeRun('running', `${curve}{"type":"epoch","epoch":20,"st`, 'running', 50)
  const { code, out } = advise(run, '--json')
  expect(code).toBe(0)
  expect(JSON.parse(out)).toMatchObject({ status: 'running', epochs: 20, epochsLeft: 30 })
})

test.each([
  ['short', `${curve.split('\n').slice(0, 12).join('\n')}\n`, 12],
  ['no-epochs', '', 0],
  ['no-metrics', undefined, 0],
] as const)('too few epochs are said: %s', (name, metrics, found) => {
  const run = makeRun(name, metrics, 'stopped', 20)
  const { code, out, err } = advise(run, '--json')
  expect(code).toBe(2)
  expect(err).toContain(`expected at least 20 epochs with a mean_fg_dice to judge, found ${found}\n`)
  expect(JSON.parse(out)).toMatchObject({ type: 'error', code: 'ERR_RUN' })
})

test('a folder without a run is named', () => {
  expect(advise('nowhere')).toMatchObject({ code: 2, err: expect.stringContaining('nowhere: expected a run folder') })
  expect(advise()).toMatchObject({ code: 2, err: expect.stringContaining("missing required argument 'run'") })
})
