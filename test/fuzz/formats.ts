// Every format that is read in TypeScript, with small valid files of it.
import { parseJson } from '../../src/json.js'
import type { Format } from './fuzz.js'

const text = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))

export const formats: Format[] = [
  {
    name: 'json',
    seeds: [
      text({ a: [1, -2.5e3, null, true, 'x\u00e9"'], '2': { b: {} }, '1': [[[]]] }),
      text('[NaN, -Infinity, "NaN"]'),
    ],
    words: ['{', '}', '[', ']', '":', ',', '\\u', '"', 'NaN', '-Infinity', 'null', '\ufeff'],
    read: (bytes) => parseJson(bytes.toString('utf8'), 'input.json'),
  },
]
