// The program itself, as plain node runs it: wrong usage, errors, JSON, help, pipes.
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const folder = mkdtempSync(path.join(tmpdir(), 'voxgrad-cli-'))
const { nnUNet_raw: _raw, nnUNet_preprocessed: _preprocessed, nnUNet_results: _results, ...inherited } = process.env
const environment = {
  ...inherited,
  nnUNet_raw: path.join(folder, 'raw'),
  nnUNet_preprocessed: path.join(folder, 'preprocessed'),
}
beforeAll(() => mkdirSync(path.join(folder, 'raw/Dataset004_Hippocampus'), { recursive: true }))
afterAll(() => rmSync(folder, { recursive: true }))

function voxgrad(args: string[], env: NodeJS.ProcessEnv = {}) {
  const options = { encoding: 'utf8', cwd: folder, env: { ...environment, ...env } } as const
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], options)
  return { code: status, out: stdout, err: stderr }
}
const objectsIn = (text: string) =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
const train = ['train', '4', '3d_fullres', '0']
const stackLine = /\n {4}at /

test('--version prints the version of package.json', () => {
  expect(voxgrad(['--version'])).toMatchObject({ code: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) })
})

test.each(['doctor', 'import', 'plan', 'preprocess', 'train', 'resume', 'validate', 'predict', 'advise'])(
  '%s explains itself in sentences, with an example',
  (verb) => {
    const { code, out } = voxgrad([verb, '--help'])
    expect(code).toBe(0)
    expect(out).toContain(`Usage: voxgrad ${verb}`)
    expect(out).toMatch(/Examples?:\n {2}voxgrad/)
    const flags = out.split('Options:\n')[1]?.split('\n\n')[0] ?? ''
    for (const entry of flags.split(/\n(?= {2}-)/)) expect(entry.trimEnd()).toMatch(/[.]$/)
  },
)

describe('wrong usage exits with 2 and one message', () => {
  test.each([
    [['trian'], "unknown command 'trian'\n(Did you mean train?)"],
    [[...train, '--epoch', '3'], "unknown option '--epoch'\n(Did you mean --epochs?)"],
    [['train', '4'], "missing required argument 'configuration'"],
    [['predict'], "required option '-i, --input <folder>' not specified"],
    [[...train, '--epochs', '3', '--steps', '4'], 'budget: epochs and steps exclude each other'],
    [[...train, '--epochs', 'abc'], 'budget.epochs: expected a whole number above 0, found "abc"'],
    [[...train, '--set', 'optimizer.initialLr=abc'], 'optimizer.initialLr: expected a number above 0, found "abc"'],
    [[...train, '--set', 'optimiser.initialLr=1'], 'optimiser: there is no such option, did you mean optimizer?'],
    [[...train, '--set', 'foo'], '--set: expected key=value'],
    [[...train, '--config', 'missing.yaml'], 'missing.yaml: expected a readable YAML file'],
    [[...train, '--device', 'gpu'], 'device: expected cpu, cuda or cuda:N, found "gpu"'],
    [['train', '4', '3d_fullres', '5'], 'fold: expected 0, 1, 2, 3, 4 or all, found 5'],
    [['train', '77', '3d_fullres', '0'], 'Dataset 77 was not found'],
    [['import', '.', '--id', 'four'], '--id: expected a whole number of at least 1, found "four"'],
    [['plan', '4', '--preset', 'tinny'], '--preset: there is no preset "tinny", did you mean tiny?'],
    [['resume', 'no/such/run'], 'no/such/run'],
    [['preprocess', '77', '-j', '0'], '-j: expected a whole number of at least 1, found "0"'],
  ])('voxgrad %j', (args, message) => {
    const { code, out, err } = voxgrad(args)
    expect(err).toContain(message)
    expect(code).toBe(2)
    expect(out).toBe('')
    expect(err).not.toMatch(stackLine)
  })
})

test('all faults of a command line are said at once', () => {
  const { err } = voxgrad([...train, '--epochs', 'abc', '--device', 'gpu', '--set', 'bestModel.emaDecay=2'])
  expect(err).toContain('3 faults')
  for (const place of ['budget.epochs:', 'device:', 'bestModel.emaDecay:']) expect(err).toContain(place)
})

test.each([[['train', '77', '3d_fullres', '0']], [['trian']], [[...train, '--epochs', 'abc']]])(
  'with --json, %j is also an object on stdout',
  (args) => {
    const { code, out, err } = voxgrad([...args, '--json'])
    expect(code).toBe(2)
    const wanted = { type: 'error', code: expect.stringMatching(/^ERR_/), message: expect.any(String) }
    expect(objectsIn(out)).toEqual([expect.objectContaining(wanted)])
    expect(err).not.toBe('')
  },
)

test('a dry run prints options, budget and rates, and writes nothing', () => {
  const yaml = 'budget: { epochs: 7 }\noptimizer: { initialLr: 0.5, momentum: 0.9 }\n'
  writeFileSync(path.join(folder, 'options.yaml'), yaml)
  const before = readdirSync(folder, { recursive: true })
  const sources = ['--config', 'options.yaml', '--set', 'optimizer.initialLr=0.02']
  const args = [...train, ...sources, '--steps', '200', '--steps-per-epoch', '50', '--dry-run']
  const plain = voxgrad(args)
  expect(plain).toMatchObject({ code: 0, err: '' })
  expect(plain.out).toContain('4 epochs x 50 steps = 200 steps')
  const { code, out } = voxgrad([...args, '--json'])
  expect(code).toBe(0)
  const [object] = objectsIn(out)
  expect(object).toMatchObject({
    type: 'dry_run',
    options: { dataset: '4', fold: 0, optimizer: { initialLr: 0.02, momentum: 0.9 }, budget: { steps: 200 } },
    budget: { totalSteps: 200, epochs: 4 },
  })
  expect(object.learningRate.first).toBe(0.02)
  expect(object.learningRate.last).toBeCloseTo(0.02 * (1 / 200) ** 0.9, 12)
  expect(readdirSync(folder, { recursive: true })).toEqual(before)
})

test('doctor --json gives one object a check and a verdict at the end', () => {
  const { code, out, err } = voxgrad(['doctor', '--json'])
  const checks = objectsIn(out)
  const end = checks.pop()
  const tools = ['node', 'compiler', 'cmake', 'python', 'pip', 'libtorch', 'addon']
  const wanted = [...tools, 'cpu', 'memory', 'raw', 'preprocessed', 'results']
  expect(checks.map((check) => check.name)).toEqual(expect.arrayContaining(wanted))
  for (const check of checks) {
    expect(check).toMatchObject({ type: 'check', found: expect.any(String) })
    expect(['ok', 'note', 'fault']).toContain(check.verdict)
    if (check.verdict === 'fault') expect(check.remedy).toEqual(expect.any(String))
  }
  const faults = checks.filter((check) => check.verdict === 'fault').length
  expect(end).toEqual({ type: 'doctor', verdict: faults === 0 ? 'ok' : 'fault', faults })
  expect(code).toBe(faults === 0 ? 0 : 2)
  expect(err).toContain('libtorch')
})

test('doctor says where a folder is not there yet', () => {
  const { out } = voxgrad(['doctor', '--json', '--results', '/proc/nothing'])
  const results = objectsIn(out).find((check) => check.name === 'results')
  expect(results.found).toContain('/proc/nothing (not there yet)')
})

test('a reader that goes away ends the program quietly', async () => {
  const child = spawn(process.execPath, [program, ...train, '--dry-run'], {
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  child.stdout.destroy()
  let err = ''
  child.stderr.on('data', (data) => {
    err += data
  })
  const code = await new Promise((resolve) => child.on('close', resolve))
  expect(err).toBe('')
  expect(code).toBe(0)
})

test('a fault of voxgrad is said in short, with the stack only on request', () => {
  // A preload that breaks the program from inside.
  const breaking = path.join(folder, 'break.cjs')
  writeFileSync(breaking, "require('node:os').totalmem = () => { throw new TypeError('broken on purpose') }\n")
  const options = { NODE_OPTIONS: `--require ${breaking}` }
  const quiet = voxgrad(['doctor'], options)
  expect(quiet.code).toBe(70)
  expect(quiet.err).toContain('error: broken on purpose\n  Required:')
  expect(quiet.err).not.toMatch(stackLine)
  expect(voxgrad(['doctor'], { ...options, VOXGRAD_DEBUG: '1' }).err).toMatch(stackLine)
})
