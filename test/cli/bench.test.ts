// voxgrad bench, as plain node runs it: one line for programs, lines for people, wrong input, and Ctrl-C.
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import type { BenchResult } from '../../src/bench/result.js'

const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const folder = mkdtempSync(path.join(tmpdir(), 'voxgrad-bench-'))
afterAll(() => rmSync(folder, { recursive: true }))

function bench(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, 'bench', ...args], {
    encoding: 'utf8',
    cwd: folder,
  })
  return { code: status, out: stdout, err: stderr }
}

const short = ['--threads', '1', '--warmup', '1', '--repeat', '4']

test('bench step --json: one line, one object, with all that it promises', () => {
  const { code, out } = bench('step', 'null', ...short, '--parts', '--json')
  expect(code).toBe(0)
  expect(out.trimEnd().split('\n')).toHaveLength(1)
  const result = JSON.parse(out) as BenchResult
  expect(result).toMatchObject({
    type: 'bench',
    kind: 'step',
    shape: 'null',
    patch_size: [16, 16, 16],
    batch_size: 1,
    device: 'cpu',
    threads: 1,
    repeat: 4,
    counts: { growth_bytes: 0 },
  })
  expect(result.min_ms).toBeGreaterThan(0)
  expect(result.p50_ms).toBeGreaterThanOrEqual(result.min_ms)
  expect(result.p95_ms).toBeGreaterThanOrEqual(result.p50_ms)
  expect(result.patches_per_second).toBeCloseTo(1000 / result.p50_ms, 6)
  const { norm, ...parts } = result.parts
  expect(Object.keys(parts)).toEqual(expect.arrayContaining(['data', 'forward', 'loss', 'backward', 'optimizer']))
  const shares = Object.values(parts).reduce((sum, { share }) => sum + share, 0)
  expect(shares).toBeGreaterThan(0.5)
  expect(shares).toBeLessThanOrEqual(1.0001)
  expect(norm?.share).toBeGreaterThan(0)
  expect(result.gflops).toBeCloseTo(result.gflop_per_step / (result.p50_ms / 1000), 6)
  expect(result.roofline_reached).toBeCloseTo(result.roofline_ms.fused / result.p50_ms, 9)
  expect(result.roofline_ms.ideal).toBeLessThan(result.roofline_ms.fused)
  expect(Object.keys(result.alone ?? {}).sort()).toEqual(['loss', 'network', 'norm', 'optimizer', 'pseudo_dice'])
})

test('bench data and bench end-to-end', () => {
  const data = JSON.parse(bench('data', 'null', ...short, '--json').out) as BenchResult
  expect(Object.keys(data.parts)).toEqual(['data'])
  expect(data.patches_per_second_per_core).toBeGreaterThan(0)
  expect(data.counts).toBeUndefined()
  const whole = JSON.parse(bench('end-to-end', 'null', ...short, '--json').out) as BenchResult
  expect(Object.keys(whole.validation?.parts ?? {})).toContain('pseudo_dice')
  expect(whole.epoch_seconds).toBeCloseTo((250 * whole.p50_ms + 50 * (whole.validation?.p50_ms ?? 0)) / 1000, 9)
})

test('--out keeps other entries and has the keys of nnU-Net', () => {
  const file = path.join(folder, 'results', 'benchmark_result.json')
  const first = bench('step', 'null', ...short, '--without-data', '--out', 'results')
  expect(first).toMatchObject({ code: 0, err: '' })
  expect(first.out).toContain('bound by')
  const entries = JSON.parse(readFileSync(file, 'utf8')) as Record<string, Record<string, unknown>>
  const [key = '', entry] = Object.entries(entries)[0] ?? []
  expect(key).toMatch(/^.+__None__2\..+__num_gpus_1$/)
  for (const name of ['torch_version', 'cudnn_version', 'gpu_name', 'fastest_epoch', 'num_gpus', 'hostname'])
    expect(entry).toHaveProperty(name)
  writeFileSync(file, JSON.stringify({ other: { fastest_epoch: 1 } }))
  bench('step', 'null', ...short, '--out', 'results')
  const after = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>
  expect(Object.keys(after)).toEqual(['other', key])
  writeFileSync(file, '[1')
  expect(bench('step', 'null', ...short, '--out', 'results').err).toContain('benchmark_result.json')
})

test('bench compare: ratios, and a warning where the settings differ', () => {
  const { out } = bench('step', 'null', ...short, '--json')
  const before = JSON.parse(out) as BenchResult
  writeFileSync(path.join(folder, 'before.json'), out)
  writeFileSync(path.join(folder, 'after.json'), JSON.stringify({ ...before, threads: 2, p50_ms: before.p50_ms / 2 }))
  const { code, out: text, err } = bench('compare', 'before.json', 'after.json', '--json')
  expect(code).toBe(0)
  const { figures, differences } = JSON.parse(text) as {
    figures: { name: string; ratio: number }[]
    differences: string[]
  }
  expect(figures.find(({ name }) => name === 'p50_ms')?.ratio).toBeCloseTo(0.5, 9)
  expect(figures.find(({ name }) => name === 'dispatches')?.ratio).toBe(1)
  expect(differences).toEqual(['threads is 1 in the first, 2 in the second'])
  expect(err).toContain('threads is 1 in the first')
  writeFileSync(path.join(folder, 'none.json'), '{"type":"other"}')
  expect(bench('compare', 'before.json', 'none.json')).toMatchObject({
    code: 2,
    err: expect.stringContaining('none.json: expected a line of `voxgrad bench --json`'),
  })
  expect(bench('compare', 'before.json', 'nowhere.json')).toMatchObject({ code: 2 })
})

test.each([
  [['step', 'hippocampos'], 'did you mean hippocampus?'],
  [['step', 'null', '--repeat', '0'], 'repeat'],
  [['step', 'null', '--batch', 'two'], 'batchSize'],
  [['step', 'null', '--device', 'gpu'], 'expected cpu, cuda or cuda:N'],
  [['data', 'null', '--without-data'], "unknown option '--without-data'"],
  [['run'], "unknown command 'run'"],
])('wrong input is one clear error: %s', (args, expected) => {
  const { code, out, err } = bench(...args)
  expect(code).toBe(2)
  expect(out).toBe('')
  expect(err).toContain(expected)
  expect(err).not.toContain('    at ')
})

test('Ctrl-C ends it', async () => {
  const child = spawn(process.execPath, [program, 'bench', 'step', 'tiny', '--repeat', '10000', '--json'])
  let [out, err] = ['', '']
  child.stdout.on('data', (text) => {
    out += text
  })
  child.stderr.on('data', (text) => {
    err += text
  })
  setTimeout(() => child.kill('SIGINT'), 3000)
  const code = await new Promise((resolve) => child.on('close', resolve))
  expect({ code, out }).toEqual({ code: 75, out: '' })
  expect(err).toContain('ending after the step in work')
})
