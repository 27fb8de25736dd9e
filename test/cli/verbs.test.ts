// Every verb takes --json, and whatever is mistyped (verb, flag, option, value, name) gets the nearest match.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'

const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const root = mkdtempSync(path.join(tmpdir(), 'voxgrad-verbs-'))
beforeAll(() => {
  mkdirSync(path.join(root, 'raw/Dataset004_Hippocampus'), { recursive: true })
  writeFileSync(path.join(root, 'options.yaml'), 'budget:\n  epocs: 3\n')
})
afterAll(() => rmSync(root, { recursive: true }))

function voxgrad(...args: string[]) {
  const env = { ...process.env, nnUNet_raw: path.join(root, 'raw'), nnUNet_preprocessed: root, nnUNet_results: root }
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
    encoding: 'utf8',
    cwd: root,
    env,
  })
  return { code: status, out: stdout, err: stderr }
}

/** Verbs as a help text lists them. */
const verbsIn = (help: string): string[] =>
  [...((help.split('Commands:\n')[1] ?? '').split('\n\n')[0]?.matchAll(/^ {2}([a-z-]+)/gm) ?? [])].map(
    ([, verb]) => verb as string,
  )

test('every verb takes --json', () => {
  const verbs = verbsIn(voxgrad('--help').out).filter((verb) => verb !== 'help')
  expect(verbs.length).toBeGreaterThan(20)
  const lacking = verbs.flatMap((verb) => {
    const help = voxgrad(verb, '--help').out
    const below = verbsIn(help)
    if (below.length === 0) return help.includes('--json') ? [] : [verb]
    return below
      .filter((name) => !voxgrad(verb, name, '--help').out.includes('--json'))
      .map((name) => `${verb} ${name}`)
  })
  expect(lacking).toEqual([])
}, 240_000)

const train = ['train', '4', '3d_fullres', '0']

test.each([
  [['trian', '4'], 'train'],
  [['help', 'resme'], 'resume'],
  [['config', 'prnt'], 'print'],
  [[...train, '--epoks', '3'], '--epochs'],
  [[...train, '--set', 'optimzer.initialLr=1'], 'optimizer'],
  [[...train, '--set', 'optimizer.initalLr=1'], 'initialLr'],
  [[...train, '--config', 'options.yaml'], 'epochs'],
  [[...train, '--patience', 'shrot'], 'short'],
  [[...train, '--set', 'augmentation.preset=da-5'], 'da5'],
  [[...train, '--plans', 'nnUNetPlansTinny'], 'nnUNetPlansTiny'],
  [['train', 'Dataset004_Hipocampus', '3d_fullres', '0'], 'Dataset004_Hippocampus'],
  [['plan', '4', '--preset', 'tinny'], 'tiny'],
  [['validate', '.', '--checkpoint', 'bset'], 'best'],
  [['predict', '-i', '.', '-o', 'out', '--run', '.', '--checkpoint', 'fianl'], 'final'],
  [['resume', '.', '--from', 'newst'], 'newest'],
  [['bench', 'step', 'hipocampus'], 'hippocampus'],
])('%j: did you mean %s?', (args, nearest) => {
  const { code, err } = voxgrad(...args)
  expect(code).toBe(2)
  expect(err).toMatch(new RegExp(`[Dd]id you mean ${nearest}\\?`))
})

test('completion and schema are objects with --json', () => {
  const { out, code } = voxgrad('completion', 'bash', '--json')
  expect({ code, ...JSON.parse(out) }).toEqual({
    code: 0,
    type: 'completion',
    shell: 'bash',
    script: voxgrad('completion', 'bash').out,
  })
  const schema = voxgrad('config', 'schema', '--json').out
  expect(schema.match(/\n/g)).toHaveLength(1)
  expect(JSON.parse(schema)).toEqual(JSON.parse(voxgrad('config', 'schema').out))
})
