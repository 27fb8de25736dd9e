// JSON with Python's tokens and the file's key order; files written atomically, faults as one clear error.
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readJson, writeFileAtomically, writeJson } from '../src/files.js'
import { formatJson, keysInFileOrder, parseJson } from '../src/json.js'

describe('parseJson', () => {
  test('reads bare NaN and Infinity, and leaves such words in strings alone', () => {
    const text = '{"a": [NaN, -Infinity, Infinity, -1.5e3], "NaN": "NaN, \\"NaN\\" Infinity", "": null}'
    expect(parseJson(text, 'x')).toEqual({
      a: [Number.NaN, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, -1500],
      NaN: 'NaN, "NaN" Infinity',
      '': null,
    })
  })

  test('keeps the order of integer-like keys', () => {
    const parsed = parseJson('{"b": {"10": 1, "2": 2, "x": 3, "1": 4}}', 'x') as { b: object }
    expect(keysInFileOrder(parsed.b)).toEqual(['10', '2', 'x', '1'])
    expect(formatJson(parsed, 1).replace(/\s/g, '')).toBe('{"b":{"10":1,"2":2,"x":3,"1":4}}')
  })

  test('a key named __proto__ is refused', () => {
    expect(() => parseJson('{"a": {"__proto__": {"polluted": true}}}', 'x')).toThrow(/the key "__proto__"/)
  })

  test('any value comes back', () => {
    const values = fc.jsonValue({ maxDepth: 4 }).filter((value) => !JSON.stringify(value).includes('"__proto__"'))
    fc.assert(
      fc.property(values, (value) => {
        expect(parseJson(formatJson(value), 'x')).toEqual(JSON.parse(JSON.stringify(value)))
      }),
    )
  })

  test.each([
    ['{"a": 1,\n "b" 2}', /x.json: .*line 2/],
    ['', /line 1, column 1/],
    ['[1, nan]', /line 1/],
    ['{"a": [1, 2}', /line 1/],
    ['"open', /line 1/],
  ])('refuses %j with its place', (text, message) => {
    expect(() => parseJson(text, 'x.json')).toThrow(message)
  })
})

describe('formatJson', () => {
  test("writes what Python's json.dump with indent 4 writes", () => {
    const value = { a: [1, Number.NaN], b: { c: '\u00e4' }, d: [], e: {}, f: undefined }
    expect(formatJson(value)).toBe(
      '{\n    "a": [\n        1,\n        NaN\n    ],\n    "b": {\n        "c": "\\u00e4"\n    },\n    "d": [],\n    "e": {}\n}',
    )
  })
})

describe('files', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'voxgrad-files-'))

  test('makes folders, replaces, leaves no temporary file', async () => {
    const file = path.join(folder, 'a/b/x.json')
    await writeJson(file, { a: 1 })
    await writeJson(file, { a: 2 })
    expect(await readJson(file, 'test file')).toEqual({ a: 2 })
    expect(readdirSync(path.dirname(file))).toEqual(['x.json'])
  })

  test('a failed write is ERR_DISK, and the earlier file stays', async () => {
    const file = path.join(folder, 'kept')
    writeFileSync(file, 'old')
    const blocked = path.join(file, 'x')
    await expect(writeFileAtomically(blocked, 'new')).rejects.toMatchObject({ code: 'ERR_DISK', exitCode: 74 })
    expect(readFileSync(file, 'utf8')).toBe('old')
    const locked = mkdtempSync(path.join(folder, 'locked-'))
    chmodSync(locked, 0o500)
    if (process.getuid?.() !== 0) {
      await expect(writeFileAtomically(path.join(locked, 'x'), 'new')).rejects.toThrow(/permission is denied/)
    }
    expect(existsSync(path.join(locked, 'x'))).toBe(false)
  })

  test('a missing file says what it should be', async () => {
    await expect(readJson(path.join(folder, 'none.json'), 'plans file')).rejects.toThrow(
      /none.json: expected a readable plans file, found that there is no such file/,
    )
  })
})
