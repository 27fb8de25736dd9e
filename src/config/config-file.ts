// A configuration file of training options: its JSON Schema for editors, and its text with every option, what it means and its
// default.
import { Document, isMap, isPair, isScalar, type Pair } from 'yaml'
import { z } from 'zod'
import { trainOptionsSchema } from './schema.js'

const lineWidth = 100

/** What the command line names, and a file therefore may leave out. */
const arguments_ = { dataset: true, configuration: true, fold: true } as const

/** Options of a configuration file: all of `train`'s, of which a file may have any. */
export const configFileSchema = trainOptionsSchema.partial(arguments_)

interface JsonSchema {
  description?: string
  default?: unknown
  type?: string
  enum?: unknown[]
  const?: unknown
  anyOf?: JsonSchema[]
  minimum?: number
  exclusiveMinimum?: number
  maximum?: number
  exclusiveMaximum?: number
  properties?: Record<string, JsonSchema>
}

/** JSON Schema (draft 2020-12) of a configuration file. */
export function configJsonSchema(): object {
  const schema = z.toJSONSchema(configFileSchema, { io: 'input' }) as Record<string, unknown>
  return { title: 'voxgrad training options', ...schema }
}

/**
 * Options as YAML, each below its meaning and what it may be.
 * @param options as a file would hold them; options without a value are left out
 */
export function annotatedYaml(options: z.infer<typeof configFileSchema>, heading: string): string {
  const document = new Document(options)
  const schema = configJsonSchema() as JsonSchema
  if (isMap(document.contents)) annotate(document.contents.items as Pair[], schema)
  document.commentBefore = heading
    .split('\n')
    .map((line) => wrapped(line, lineWidth))
    .join('\n')
  return document.toString({ lineWidth: 0 })
}

function annotate(pairs: readonly Pair[], schema: JsonSchema, depth = 0): void {
  for (const pair of pairs) {
    if (!isPair(pair) || !isScalar(pair.key)) continue
    const option = schema.properties?.[String(pair.key.value)]
    if (!option) continue
    pair.key.spaceBefore = depth === 0
    const note = [option.description, rangeOf(option)].filter((text) => text !== undefined).join('; ')
    if (note !== '') pair.key.commentBefore = wrapped(note, lineWidth - depth * 2)
    if (isMap(pair.value)) annotate(pair.value.items as Pair[], option, depth + 1)
  }
}

/** Lines of a comment, each with the space behind its #. */
function wrapped(text: string, width: number): string {
  const lines = ['']
  for (const word of text.split(' ')) {
    if (`#${lines.at(-1)} ${word}`.length > width && lines.at(-1) !== '') lines.push('')
    lines.push(`${lines.pop()} ${word}`)
  }
  return lines.join('\n')
}

/** "auto, float32 or bfloat16", "a number above 0 and at most 1"; undefined where the type says all. */
function rangeOf(option: JsonSchema): string | undefined {
  if (option.enum) return listOf(option.enum.map(String))
  if (option.anyOf) {
    const kinds = option.anyOf.map((kind) => (kind.const === undefined ? rangeOf(kind) : String(kind.const)))
    return kinds.every((kind) => kind !== undefined) ? listOf(kinds) : undefined
  }
  if (option.type !== 'number' && option.type !== 'integer') return undefined
  const { minimum, exclusiveMinimum, maximum, exclusiveMaximum } = option
  const bounds = [
    minimum !== undefined && `at least ${minimum}`,
    exclusiveMinimum !== undefined && `above ${exclusiveMinimum}`,
    maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER && `at most ${maximum}`,
    exclusiveMaximum !== undefined && `below ${exclusiveMaximum}`,
  ].filter((text) => text !== false)
  const kind = option.type === 'integer' ? 'a whole number' : 'a number'
  return [kind, bounds.join(' and ')].filter((text) => text !== '').join(' ')
}

const listOf = (words: readonly string[]): string =>
  words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
