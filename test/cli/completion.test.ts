// voxgrad completion: what shells are offered, and that bash takes the script.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'

const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const folder = mkdtempSync(path.join(tmpdir(), 'voxgrad-completion-'))
beforeAll(() => {
  mkdirSync(path.join(folder, 'runs'))
  writeFileSync(path.join(folder, 'options.yaml'), '')
})
afterAll(() => rmSync(folder, { recursive: true }))

const voxgrad = (...args: string[]) =>
  spawnSync(process.execPath, [program, ...args], { encoding: 'utf8', cwd: folder }).stdout
/** What a shell that asks with these words is offered. */
const offered = (...words: string[]) =>
  voxgrad('complete', '--', ...words)
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith(':'))
    .map((line) => line.split('\t')[0])

test.each([
  [['tra'], ['train']],
  [['conf'], ['config']],
  [
    ['config', ''],
    ['init', 'print', 'schema'],
  ],
  [
    ['train', '--dev'],
    ['--device', '--devices'],
  ],
  [
    ['train', '--device', ''],
    ['cpu', 'cuda'],
  ],
  [['plan', '4', '--preset', 'resenc-l'], ['resenc-l']],
  [['sweep', '--configurations', '3d_f'], ['3d_fullres']],
  [['resume', 'r'], ['runs/']],
  [['train', '4', '2d', '0', '--config', './o'], ['./options.yaml']],
  [['resume', 'nowhere/'], []],
])('%j completes to %j', (words, expected) => {
  expect(offered(...words)).toEqual(expected)
})

test('every verb is offered', () => {
  const help = voxgrad('--help')
  const verbs = [...help.matchAll(/^ {2}([a-z][a-z-]*)(?: \S+)* {2,}[A-Z]/gm)].map((match) => match[1])
  expect(verbs.length).toBeGreaterThan(15)
  const missing = verbs.filter((verb) => verb !== 'help' && !offered('').includes(verb))
  expect(missing).toEqual([])
})

test('bash takes the script, and the others are there', () => {
  const script = voxgrad('completion', 'bash')
  expect(spawnSync('bash', ['-n'], { input: script, encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' })
  for (const shell of ['zsh', 'fish']) expect(voxgrad('completion', shell)).toContain('voxgrad complete --')
})
