// Options from their three sources: a YAML file, --set assignments and flags; the later wins.
import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { isScalar, parseDocument, visit } from 'yaml'
import { VoxgradError } from '../errors.js'
import { reasonOf } from '../files.js'

export type OptionTree = { [key: string]: unknown }

/** Puts a value at a dotted path, making groups on the way; undefined is left out. */
export function setAt(tree: OptionTree, path: string, value: unknown): void {
  if (value === undefined) return
  const keys = path.split('.')
  const last = keys.pop() ?? ''
  let node = tree
  for (const key of keys) {
    if (!isGroup(node[key])) node[key] = {}
    node = node[key] as OptionTree
  }
  node[last] = value
}

/** Lays one tree over another, group by group. A number of epochs replaces one of steps below it, and vice versa. */
export function overlay(below: OptionTree, above: OptionTree): OptionTree {
  const result = { ...below }
  if ('steps' in above && !('epochs' in above)) delete result.epochs
  if ('epochs' in above && !('steps' in above)) delete result.steps
  for (const [key, value] of Object.entries(above)) {
    const under = result[key]
    result[key] = isGroup(value) && isGroup(under) ? overlay(under, value) : value
  }
  return result
}

const isGroup = (value: unknown): value is OptionTree =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Flags of `train` and `resume` about the length of a run, with the place of their value in the options. */
export const budgetFlags = [
  ['epochs', 'budget.epochs'],
  ['steps', 'budget.steps'],
  ['stepsPerEpoch', 'budget.stepsPerEpoch'],
  ['valSteps', 'budget.valSteps'],
  ['time', 'budget.time'],
] as const

export type BudgetFlags = Partial<Record<(typeof budgetFlags)[number][0], string>>

/** Adds the budget flags to a verb; what each means without it is the verb's own. */
export function addBudgetFlags(
  command: Command,
  defaults: Record<'epochs' | 'stepsPerEpoch' | 'valSteps', string>,
): Command {
  return command
    .option('--epochs <number>', `Number of epochs (default: ${defaults.epochs}). Excludes --steps.`)
    .option('--steps <number>', 'Total number of optimizer steps; the last epoch may be short. Excludes --epochs.')
    .option('--steps-per-epoch <number>', `Optimizer steps in an epoch (default: ${defaults.stepsPerEpoch}).`)
    .option('--val-steps <number>', `Validation batches at the end of an epoch (default: ${defaults.valSteps}).`)
    .option('--time <duration>', 'Longest training time of this call, such as 12h or 90m; the run can then be resumed.')
}

/** A file of options has some thousand. */
const mostCharacters = 100_000

/** Puts flags that hold numbers into a tree. */
export function setNumbers<Flags extends object>(
  tree: OptionTree,
  flags: Flags,
  places: readonly (readonly [keyof Flags, string])[],
): void {
  for (const [flag, place] of places) {
    const text = flags[flag] as string | undefined
    if (text !== undefined) setAt(tree, place, numberOrText(text))
  }
}

/** A value as YAML reads it: number, true, list, null; other text stays text. */
export function readValue(text: string): unknown {
  const document = parseDocument(text)
  return document.errors.length > 0 ? text : (document.toJS() as unknown)
}

/**
 * `--set optimizer.initialLr=0.02` and so on as a tree.
 * @throws VoxgradError ERR_CONFIG where there is no `key=value`
 */
export function readAssignments(assignments: readonly string[]): OptionTree {
  const tree: OptionTree = {}
  for (const text of assignments) {
    const match = /^([A-Za-z]\w*(?:\.[A-Za-z]\w*)*)=(.*)$/s.exec(text)
    if (!match) {
      throw new VoxgradError('ERR_CONFIG', {
        where: '--set',
        required: 'key=value such as optimizer.initialLr=0.02',
        found: `"${text}"`,
      })
    }
    setAt(tree, match[1] ?? '', readValue(match[2] ?? ''))
  }
  return tree
}

/**
 * A YAML (or JSON) file of options.
 * @throws VoxgradError ERR_CONFIG where it is missing, no YAML, or no group of keys
 */
export async function readConfigFile(file: string): Promise<OptionTree> {
  const text = await readFile(file, 'utf8').catch((error) => {
    throw new VoxgradError('ERR_CONFIG', {
      where: file,
      required: 'a readable YAML file',
      found: `that ${reasonOf(error)}`,
    })
  })
  return parseConfigFile(text, file)
}

/** Parses such a file's text. Throws as readConfigFile does. */
export function parseConfigFile(text: string, file: string): OptionTree {
  if (text.length > mostCharacters) {
    throw new VoxgradError('ERR_CONFIG', {
      where: file,
      required: 'a file of options',
      found: `${text.length} characters`,
    })
  }
  const document = parseDocument(text)
  const [fault] = document.errors
  if (fault) {
    // The parser calls itself for every level.
    const reason = /call stack/.test(fault.message) ? 'lists or groups nested too deeply' : fault.message.trimEnd()
    throw new VoxgradError('ERR_CONFIG', { where: file, required: 'YAML', found: `a fault: ${reason}` })
  }
  visit(document, {
    Alias: (_, { source }) => {
      const remedy = 'Write the value itself.'
      throw new VoxgradError('ERR_CONFIG', {
        where: file,
        required: 'values without aliases',
        found: `*${source}`,
        remedy,
      })
    },
    Pair: (_, { key }) => {
      if (isScalar(key) && typeof key.value !== 'object' && key.value !== '__proto__') return
      throw new VoxgradError('ERR_CONFIG', { where: file, required: 'names of options as keys', found: `"${key}"` })
    },
  })
  const value: unknown = document.toJS() ?? {}
  if (isGroup(value)) return value
  throw new VoxgradError('ERR_CONFIG', {
    where: file,
    required: 'keys and values such as `budget: { epochs: 100 }` at the top',
    found: Array.isArray(value) ? 'a list' : `${value}`,
  })
}

/** A flag's text as a number where it is one; anything else is left for the schema to refuse. */
export function numberOrText(text: string): number | string {
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : text
}

/** For flags that may be repeated. */
export const collect = (value: string, earlier: string[] = []): string[] => [...earlier, value]
