// Options from a YAML file, --set and flags: reading, layering, faults.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { numberOrText, overlay, readAssignments, readConfigFile, setAt } from '../../src/cli/options.js'

const folder = mkdtempSync(path.join(tmpdir(), 'voxgrad-options-'))
afterAll(() => rmSync(folder, { recursive: true }))

function fileWith(text: string): string {
  const file = path.join(folder, 'options.yaml')
  writeFileSync(file, text)
  return file
}

test('--set reads numbers, truth values, lists and text at dotted places', () => {
  const assignments = [
    'optimizer.initialLr=0.02',
    'optimizer.nesterov=false',
    'augmentation.gammaRange=[0.7, 1.4]',
    'run=a=b',
  ]
  expect(readAssignments(assignments)).toEqual({
    optimizer: { initialLr: 0.02, nesterov: false },
    augmentation: { gammaRange: [0.7, 1.4] },
    run: 'a=b',
  })
})

test.each(['optimizer.initialLr', '=3', 'a..b=3', '__proto__.x=1'])('--set %s is refused', (text) => {
  expect(() => readAssignments([text])).toThrow(`expected key=value such as optimizer.initialLr=0.02, found "${text}"`)
})

test('the upper layer wins, and a budget in steps replaces one in epochs', () => {
  const below = { budget: { epochs: 5, valSteps: 3 }, plans: 'a' }
  expect(overlay(below, { budget: { steps: 20 } })).toEqual({ budget: { steps: 20, valSteps: 3 }, plans: 'a' })
  expect(overlay(below, { budget: { steps: 20, epochs: 1 } }).budget).toEqual({ steps: 20, epochs: 1, valSteps: 3 })
  expect(below).toEqual({ budget: { epochs: 5, valSteps: 3 }, plans: 'a' })
})

test('values are put at places without touching what is beside them', () => {
  const tree = { budget: { epochs: 5 } }
  setAt(tree, 'budget.valSteps', 2)
  setAt(tree, 'seed', undefined)
  expect(tree).toEqual({ budget: { epochs: 5, valSteps: 2 } })
})

test('a config file is YAML or JSON with keys at the top', async () => {
  const yaml = await readConfigFile(fileWith('budget: { epochs: 3 }\n# a comment\nrun: here\n'))
  expect(yaml).toEqual({ budget: { epochs: 3 }, run: 'here' })
  expect(await readConfigFile(fileWith('{"seed": 7}'))).toEqual({ seed: 7 })
  expect(await readConfigFile(fileWith(''))).toEqual({})
})

test.each([
  ['- a\n- b\n', 'expected keys and values'],
  ['budget: {epochs: 3\n', 'expected YAML, found a fault'],
  ['a: &x [1]\nb: *x\n', 'expected values without aliases, found *x'],
])('a config file with %j is refused', async (text, message) => {
  await expect(readConfigFile(fileWith(text))).rejects.toThrow(message)
  await expect(readConfigFile(fileWith(text))).rejects.toMatchObject({ code: 'ERR_CONFIG' })
})

test('a missing config file is named', async () => {
  const message = '/nowhere/options.yaml: expected a readable YAML file'
  await expect(readConfigFile('/nowhere/options.yaml')).rejects.toThrow(message)
})

test('numbers of flags are read as such, and other text is left for the schema', () => {
  const texts = ['3', '-2', '0.5', '1e3', '.5', 'abc', '', '0x10', '1_000', 'all']
  expect(texts.map(numberOrText)).toEqual([3, -2, 0.5, 1000, 0.5, 'abc', '', '0x10', '1_000', 'all'])
})
