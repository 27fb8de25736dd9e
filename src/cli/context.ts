// What every verb shares: common flags, where output goes, and how failures end.
import type { Command } from 'commander'
import { type FolderOptions, type Folders, resolveFolders } from '../config/folders.js'
import { VoxgradError } from '../errors.js'
import { JsonLines } from '../report/json.js'
import { LinesView } from '../report/lines.js'
import { wrap } from '../report/table.js'
import { TerminalView } from '../report/terminal.js'
import { type View, wantsColor, wantsLiveView } from '../report/view.js'
import { Interrupted } from './signals.js'

export interface CommonFlags {
  json?: boolean
  raw?: string
  preprocessed?: string
  results?: string
}

export interface Context {
  view: View
  /** Set with --json: results go there, and the view writes to stderr. */
  json: JsonLines | undefined
  folders: Folders
  folderOptions: FolderOptions
}

/** Exit code of a run that was stopped early and can be resumed. */
export const exitResumable = 75

/** Adds --raw, --preprocessed, --results as far as a verb needs them, and --json. */
export function addCommonFlags(command: Command, roots: ('raw' | 'preprocessed' | 'results')[]): Command {
  for (const root of roots) {
    command.option(`--${root} <folder>`, `The root of ${root} data (default: the environment variable nnUNet_${root}).`)
  }
  return command.option('--json', 'Write machine-readable output to stdout, one JSON object a line; logs go to stderr.')
}

/** Adds -j for work on several cases at once. */
export function addJobsFlag(command: Command): Command {
  return command.option('-j, --jobs <number>', 'Cases at once (default: one for each processor, 8 at most).')
}

/**
 * A flag's whole number.
 * @throws VoxgradError ERR_CONFIG
 */
export function wholeNumber(flag: string, text: string, least: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (value >= least) return value
  throw new VoxgradError('ERR_CONFIG', {
    where: flag,
    required: `a whole number of at least ${least}`,
    found: `"${text}"`,
  })
}

/** Must be closed before anything else is written to the terminal. */
let shownView: View | undefined

export function makeContext(flags: CommonFlags): Context {
  const json = flags.json ? new JsonLines(process.stdout) : undefined
  const output = json ? process.stderr : process.stdout
  const isColored = wantsColor(output, process.env)
  const live = !json && wantsLiveView(output, process.env)
  const view = live ? new TerminalView(output, isColored) : new LinesView(output, isColored)
  shownView = view
  process.once('exit', () => view.close())
  const folderOptions: FolderOptions = {}
  for (const root of ['raw', 'preprocessed', 'results'] as const) {
    if (flags[root] !== undefined) folderOptions[root] = flags[root]
  }
  return { view, json, folders: resolveFolders(folderOptions), folderOptions }
}

/**
 * Says on stderr, and with --json on stdout too, what went wrong.
 * @returns the exit code
 */
export function reportFailure(error: unknown, json: boolean): number {
  shownView?.close()
  if (error instanceof Interrupted) {
    process.stderr.write(`${error.message}\n`)
    return exitResumable
  }
  const known = error instanceof VoxgradError ? error : unknownFault(error)
  if (json) new JsonLines(process.stdout).write({ type: 'error', ...known.toJSON() })
  process.stderr.write(describeError(known))
  if (process.env.VOXGRAD_DEBUG === '1') {
    process.stderr.write(`${error instanceof Error ? error.stack : known.stack}\n`)
    if (known.nativeBacktrace) process.stderr.write(`${known.nativeBacktrace}\n`)
  }
  return known.exitCode
}

const unknownFault = (error: unknown): VoxgradError =>
  new VoxgradError('ERR_INTERNAL', error instanceof Error ? error.message : String(error))

/** An error as people read it: what was found, what is required where that is not said yet, what to do, where to read on. */
function describeError(error: VoxgradError): string {
  const lines = [`error: ${error.statement}`, ...(error.facts.required === undefined ? required(error) : [])]
  return [...lines, ...wayOut(error), ''].join('\n')
}

const required = (error: VoxgradError): string[] => labeled('Required', error.required)

const wayOut = (error: VoxgradError): string[] => [
  ...labeled('Remedy', error.remedy),
  ...labeled('More', `voxgrad explain ${error.code}`),
]

/** A label and a text in one column, wrapped where a terminal shows it. */
function labeled(label: string, text: string): string[] {
  const indent = 2 + 'Required: '.length
  const width = process.stderr.isTTY ? process.stderr.columns - indent : Number.POSITIVE_INFINITY
  const lines = text.split('\n').flatMap((line) => wrap(line, width))
  return lines.map((line, i) => `  ${(i === 0 ? `${label}:` : '').padEnd(indent - 2)}${line}`)
}

/** A wrong command line: the parser has said what was found. */
export function reportUsage(message: string, json: boolean): number {
  const error = new VoxgradError('ERR_CONFIG', message)
  if (json) new JsonLines(process.stdout).write({ type: 'error', ...error.toJSON() })
  process.stderr.write([...required(error), ...wayOut(error), ''].join('\n'))
  return error.exitCode
}
