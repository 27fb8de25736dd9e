// The error catalogue: every code is raised, every code that is raised is listed, every entry is whole, and errors say
// where, what was found, what is required and what to do.
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it, test } from 'vitest'
import { type ErrorCode, errorCatalogue, errorCodes, pageOf } from '../src/error-catalogue.js'
import { commonCode, factsOfNative, VoxgradError } from '../src/errors.js'

const root = path.resolve(import.meta.dirname, '..')

/** The codes in the sources below a folder, without comments, and the files that name each. */
function codesBelow(folder: string, ending: RegExp): Map<string, string[]> {
  const result = new Map<string, string[]>()
  for (const name of readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })) {
    if (!ending.test(name) || name === 'error-catalogue.ts') continue
    const text = readFileSync(path.join(root, folder, name), 'utf8').replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '')
    for (const [, code = ''] of text.matchAll(/['"](ERR_\w+)['"]/g)) {
      result.set(code, [...(result.get(code) ?? []), `${folder}/${name}`])
    }
  }
  return result
}

const raised = new Map([...codesBelow('src', /\.ts$/), ...codesBelow('native', /\.(cpp|h|cu)$/)])

test('the list of codes and the sources are the same', () => {
  expect([...raised.keys()].sort()).toEqual([...errorCodes].sort())
})

test('docs/errors.md is what the catalogue says', () => {
  const { status, stderr } = spawnSync(process.execPath, ['scripts/error-page.mjs', '--check'], { cwd: root })
  expect(String(stderr)).toBe('')
  expect(status).toBe(0)
})

describe.each(errorCodes)('%s', (code) => {
  const entry = errorCatalogue[code]

  it('is whole and reads as sentences', () => {
    expect(entry.title).toMatch(/^[a-z].*[^.]$|^[a-z]$/)
    expect(entry.meaning).toMatch(/^[A-Z"].*\.$/)
    expect(entry.remedy).toMatch(/^[A-Z].*\.$/)
    expect(entry.required).toMatch(/^\S.*[^.]$/)
    expect([2, 70, 74, 75]).toContain(entry.exitCode)
  })

  it('has its place on the page, with every field', () => {
    const [file = '', anchor = ''] = pageOf(code).split('#')
    const page = readFileSync(path.join(root, file), 'utf8')
    const section = page.split(`<a id="${anchor}"></a>\n`)[1]?.split('<a id=')[0] ?? ''
    for (const text of [code, entry.title, entry.meaning, entry.required, entry.remedy]) expect(section).toContain(text)
    expect(section).toContain(`Exit code: ${entry.exitCode}`)
  })
})

describe('an error', () => {
  const facts = { where: 'seed', required: 'a number', found: 'x', remedy: 'Give one.' }

  it('is complete in its message and in its fields', () => {
    const error = new VoxgradError('ERR_CONFIG', facts)
    expect(error.message).toBe('seed: expected a number, found x. Give one.')
    const page = 'docs/errors.md#ERR_CONFIG'
    expect(error.toJSON()).toEqual({ code: 'ERR_CONFIG', message: error.message, ...facts, page })
    expect(error).toMatchObject({ exitCode: 2, required: 'a number', remedy: 'Give one.', page })
  })

  it('takes from the catalogue what it does not know itself', () => {
    const error = new VoxgradError('ERR_DISK_FULL', 'No space.')
    const { required, remedy } = errorCatalogue.ERR_DISK_FULL
    expect(error).toMatchObject({ message: 'No space.', found: 'No space.', required, remedy, exitCode: 74 })
  })

  it.each([
    ['a.b: expected 3, found 4; plan again', { where: 'a.b', required: '3', found: '4', remedy: 'Plan again.' }],
    ['expected 3, found 4', { required: '3', found: '4' }],
    ['no kernels: x; run `y`', { found: 'no kernels: x', remedy: 'Run `y`.' }],
    ['something', { found: 'something' }],
    ['x:\n  - a\n  - b; train again.', { found: 'x:\n  - a\n  - b', remedy: 'Train again.' }],
  ])('of the native code, %j, is taken apart', (message, expected) => {
    expect(factsOfNative(message)).toEqual(expected)
  })

  it('for several faults has the code that they share', () => {
    const of = (...codes: ErrorCode[]) => commonCode(codes.map((code) => ({ code })))
    expect(of('ERR_IMAGE', 'ERR_IMAGE')).toBe('ERR_IMAGE')
    expect(of('ERR_IMAGE', 'ERR_LABEL')).toBe('ERR_DATASET')
  })
})

test('no semicolon of a native message stands elsewhere than before its remedy', () => {
  const faulty: string[] = []
  for (const name of readdirSync(path.join(root, 'native'), { recursive: true, encoding: 'utf8' })) {
    if (!/\.(cpp|h)$/.test(name)) continue
    const text = readFileSync(path.join(root, 'native', name), 'utf8')
    for (const [, call = ''] of text.matchAll(
      /\b(?:Failure|fault|misfit|refuse)\(((?:[^;"]|"(?:[^"\\]|\\.)*")*)\);/g,
    )) {
      const literals = [...call.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map((match) => match[1]).join('')
      if (literals.split('; ').length > 2) faulty.push(`${name}: ${literals}`)
    }
  }
  expect(faulty).toEqual([])
})
