// voxgrad config: a file that says everything and changes nothing, what options resolve to, and a schema that fits.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import { configFileSchema } from '../../src/config/config-file.js'
import { parseOptions } from '../../src/config/schema.js'

const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const folder = mkdtempSync(path.join(tmpdir(), 'voxgrad-config-'))
afterAll(() => rmSync(folder, { recursive: true }))

function config(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, 'config', ...args], {
    encoding: 'utf8',
    cwd: folder,
  })
  return { code: status, out: stdout, err: stderr }
}

test('init writes every option with its default, and never a second time', () => {
  expect(config('init')).toMatchObject({ code: 0 })
  const text = readFileSync(path.join(folder, 'voxgrad.yaml'), 'utf8')
  const defaults = parseOptions(configFileSchema, {}, 'defaults')
  expect(parse(text)).toEqual(JSON.parse(JSON.stringify(defaults)))
  expect(parseOptions(configFileSchema, parse(text), 'the file')).toEqual(defaults)
  expect(text).toMatch(/^ {2}# .*\n {2}initialLr: 0\.01$/m)
  expect(text.split('\n').filter((line) => line.length > 100)).toEqual([])
  const again = config('init')
  expect(again.code).toBe(2)
  expect(again.err).toMatch(/voxgrad\.yaml is already there[\s\S]*Name another file, or remove this one first/)
  expect(readFileSync(path.join(folder, 'voxgrad.yaml'), 'utf8')).toBe(text)
})

test('print resolves a file and assignments, as YAML that reads back and as JSON', () => {
  config('init', 'own.yaml')
  const set = ['--set', 'optimizer.initialLr=0.5', '--set', 'loss.kind=ce']
  const { out } = config('print', 'own.yaml', ...set)
  expect(parse(out)).toMatchObject({ optimizer: { initialLr: 0.5, momentum: 0.99 }, loss: { kind: 'ce' } })
  const json = JSON.parse(config('print', 'own.yaml', ...set, '--json').out)
  expect(json).toMatchObject({ type: 'config', options: { optimizer: { initialLr: 0.5 } } })
})

test('print refuses what train would refuse, with the nearest name', () => {
  const { code, out, err } = config('print', '--set', 'optimzer.initialLr=3')
  expect(code).toBe(2)
  expect(out).toBe('')
  expect(err).toMatch(/optimzer: there is no such option, did you mean optimizer\?/)
})

test('schema is the JSON Schema of the file: every option, none required', () => {
  const { code, out } = config('schema')
  expect(code).toBe(0)
  const schema = JSON.parse(out)
  expect(schema.$schema).toContain('2020-12')
  expect(schema.required ?? []).toEqual([])
  expect(Object.keys(schema.properties).sort()).toEqual(Object.keys(configFileSchema.shape).sort())
  expect(schema.properties.optimizer.properties.initialLr).toMatchObject({ type: 'number', default: 0.01 })
  expect(schema.additionalProperties).toBe(false)
})
