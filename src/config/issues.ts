// Faults of options in words: where, what was expected, what was found, and for unknown keys the nearest known one.
import { z } from 'zod'

type Issue = z.core.$ZodIssue
interface JsonSchema {
  type?: string
  properties?: Record<string, JsonSchema>
  prefixItems?: JsonSchema[]
  minimum?: number
  exclusiveMinimum?: number
  maximum?: number
  exclusiveMaximum?: number
}

/**
 * All faults of one check, one text each: `optimizer.initialLr: expected a number above 0, found "abc"`.
 * @param input what was checked
 */
export function describeIssues(schema: z.ZodType, issues: readonly Issue[], input: unknown): string[] {
  const root = z.toJSONSchema(schema, { io: 'input' }) as JsonSchema
  return issues.flatMap((issue) => {
    const where = issue.path.map(String)
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map(
        (key) =>
          `${[...where, key].join('.')}: ${unknownKey(key, Object.keys(schemaAt(root, where)?.properties ?? {}))}`,
      )
    }
    const found = where.reduce<unknown>((value, key) => (value as Record<string, unknown> | undefined)?.[key], input)
    const place = where.join('.')
    const text = (issue.code === 'custom' ? undefined : numberText(schemaAt(root, where))) ?? describe(issue)
    const shown = typeof found === 'object' && found !== null && issue.code === 'custom' ? '' : `, found ${show(found)}`
    const hint = typeof found === 'string' ? didYouMean(found, valuesOf(issue)) : ''
    return [place === '' ? text : `${place}: ${text}${shown}${hint}`]
  })
}

function describe(issue: Issue): string {
  // A text of the schema's own says it best.
  if (issue.message.startsWith('expected ')) return issue.message
  switch (issue.code) {
    case 'invalid_type':
      return `expected ${nameOfType(issue.expected)}`
    case 'too_small':
      return `expected ${nameOfSize(issue.origin)} ${issue.inclusive ? 'of at least' : 'above'} ${issue.minimum}`
    case 'too_big':
      return `expected ${nameOfSize(issue.origin)} ${issue.inclusive ? 'of at most' : 'below'} ${issue.maximum}`
    case 'invalid_value':
      return `expected ${issue.values.length === 1 ? '' : 'one of '}${issue.values.map(String).join(', ')}`
    case 'invalid_union':
      return `expected ${[...new Set(issue.errors.flat().map((inner) => describe(inner).replace(/^expected /, '')))].join(' or ')}`
    case 'invalid_format':
      return `expected text of the form ${issue.pattern ?? issue.format}`
    default:
      return issue.message
  }
}

/** The words that would have been right. */
function valuesOf(issue: Issue): string[] {
  if (issue.code === 'invalid_value') return issue.values.filter((value) => typeof value === 'string')
  return issue.code === 'invalid_union' ? issue.errors.flat().flatMap(valuesOf) : []
}

function nameOfType(expected: string): string {
  const names: Record<string, string> = {
    int: 'a whole number',
    number: 'a number',
    string: 'text',
    boolean: 'true or false',
    object: 'a group of keys',
    array: 'a list',
    tuple: 'a list',
  }
  return names[expected] ?? expected
}

function nameOfSize(origin: string): string {
  if (origin === 'int') return 'a whole number'
  if (origin === 'string') return 'text with a length'
  if (origin === 'array') return 'a list with a length'
  return 'a number'
}

function show(value: unknown): string {
  if (value === undefined) return 'nothing'
  return JSON.stringify(value) ?? String(value)
}

/** "is not known; did you mean optimizer?" or, where nothing is near, all keys. */
function unknownKey(key: string, known: string[]): string {
  const near = nearest(key, known)
  return near
    ? `there is no such option, did you mean ${near}?`
    : `there is no such option; there are ${known.join(', ')}`
}

const schemaAt = (root: JsonSchema, where: string[]): JsonSchema | undefined =>
  where.reduce<JsonSchema | undefined>((node, key) => node?.properties?.[key] ?? node?.prefixItems?.[Number(key)], root)

/** "expected a number above 0 and at most 1" where the schema asks for a number; undefined otherwise. */
function numberText(schema: JsonSchema | undefined): string | undefined {
  if (schema?.type !== 'number' && schema?.type !== 'integer') return undefined
  // Whole numbers have the limits of exact doubles, which need no mention.
  const said = (limit: number | undefined) => limit !== undefined && Math.abs(limit) < Number.MAX_SAFE_INTEGER
  const limits = [
    said(schema.exclusiveMinimum) ? `above ${schema.exclusiveMinimum}` : '',
    said(schema.minimum) ? `of at least ${schema.minimum}` : '',
    said(schema.exclusiveMaximum) ? `below ${schema.exclusiveMaximum}` : '',
    said(schema.maximum) ? `of at most ${schema.maximum}` : '',
  ].filter((text) => text !== '')
  return `expected ${[`a ${schema.type === 'integer' ? 'whole ' : ''}number`, limits.join(' and ')].join(' ').trim()}`
}

/** `; did you mean tiny?` to go on with a sentence; empty where no candidate is near. */
export function didYouMean(word: string, candidates: readonly string[]): string {
  const near = nearest(word, candidates)
  return near === undefined ? '' : `; did you mean ${near}?`
}

/** The candidate with the smallest edit distance, if it is small for the length of the word. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined
  let least = Math.max(2, Math.floor(word.length / 3)) + 1
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase())
    // Two words that share nothing are not near each other, however short they are.
    if (distance < least && distance < Math.max(word.length, candidate.length)) [best, least] = [candidate, distance]
  }
  return best
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
