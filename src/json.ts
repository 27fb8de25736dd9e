// JSON as Python reads and writes it: bare NaN and Infinity tokens, and the keys in the order of the file.
import { VoxgradError } from './errors.js'

export type JsonObject = { [key: string]: unknown }

// JavaScript lists integer-like keys first; nnU-Net's meaning hangs on the file's own order, which is kept here.
const orders = new WeakMap<object, string[]>()

/** Python's own limit is 1000; files of nnU-Net have some ten. */
const deepestNesting = 100

const stringOrNonFinite = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\b(?:Infinity|NaN)\b/g

/**
 * Parses JSON text, with the tokens NaN, Infinity and -Infinity that Python's json module writes.
 * @param origin the file, for the message
 * @throws VoxgradError ERR_FORMAT with line and column
 */
export function parseJson(text: string, origin: string): unknown {
  const clean = text.replace(/^\ufeff/, '')
  try {
    // Zeros of the same length: a syntax error then has its true position.
    JSON.parse(clean.replace(stringOrNonFinite, (found) => (found[0] === '"' ? found : '0'.padEnd(found.length))))
    // A prefix on every string tells text from non-finite numbers, and keeps integer-like keys in their place.
    const marked = clean.replace(stringOrNonFinite, (found) =>
      found[0] === '"' ? `"=${found.slice(1)}` : `"${found}"`,
    )
    return unmark(JSON.parse(marked), 0)
  } catch (error) {
    if (error instanceof Refusal) throw new VoxgradError('ERR_FORMAT', `${origin}: ${error.message}`)
    if (error instanceof RangeError)
      throw new VoxgradError('ERR_FORMAT', {
        where: origin,
        required: 'JSON',
        found: 'a text of millions of escaped characters',
      })
    const position = Number(/position (\d+)/.exec((error as Error).message)?.[1] ?? clean.length)
    const lines = clean.slice(0, position).split('\n')
    const where = `line ${lines.length}, column ${(lines.at(-1)?.length ?? 0) + 1}`
    throw new VoxgradError('ERR_FORMAT', {
      where: origin,
      required: 'JSON',
      found: `a fault at ${where}: ${(error as Error).message}`,
    })
  }
}

/** What is right as JSON and not read all the same. */
class Refusal extends Error {}

function unmark(value: unknown, depth: number): unknown {
  if (depth > deepestNesting) throw new Refusal(`expected JSON, found values nested deeper than ${deepestNesting}`)
  if (typeof value === 'string') return value.startsWith('=') ? value.slice(1) : Number(value)
  if (Array.isArray(value)) return value.map((item) => unmark(item, depth + 1))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([key, item]): [string, unknown] => [key.slice(1), unmark(item, depth + 1)])
  if ('=__proto__' in value) throw new Refusal('expected JSON, found the key "__proto__", which no file of nnU-Net has')
  const result = Object.fromEntries(entries)
  const keys = entries.map(([key]) => key)
  orders.set(result, keys)
  return result
}

/** The keys of an object that parseJson made, in the order of the file; of any other object in JavaScript's order. */
export function keysInFileOrder(object: object): string[] {
  return orders.get(object) ?? Object.keys(object)
}

/**
 * JSON text as Python's json.dump writes it: ASCII, NaN and Infinity as bare tokens, keys in the order of the file they
 * were read from.
 * @param indent spaces per level; nnU-Net's files have 4
 */
export function formatJson(value: unknown, indent = 4): string {
  return format(value, indent, '\n')
}

function format(value: unknown, indent: number, newline: string): string {
  if (typeof value === 'number') return String(value)
  if (typeof value !== 'object' || value === null) {
    const escaped = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
    return (JSON.stringify(value) ?? 'null').replace(/[\u0080-\uffff]/g, escaped)
  }
  const inner = newline + ' '.repeat(indent)
  if (Array.isArray(value)) {
    const items = value.map((item) => inner + format(item, indent, inner))
    return items.length === 0 ? '[]' : `[${items.join(',')}${newline}]`
  }
  const object = value as JsonObject
  const known = keysInFileOrder(object).filter((key) => key in object)
  const keys = [...known, ...Object.keys(object).filter((key) => !known.includes(key))]
  const items = keys
    .filter((key) => object[key] !== undefined)
    .map((key) => `${inner}${format(key, indent, '')}: ${format(object[key], indent, inner)}`)
  return items.length === 0 ? '{}' : `{${items.join(',')}${newline}}`
}
