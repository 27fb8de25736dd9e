// What every verb shares: common flags, where output goes, and how failures end.
import type { Command } from 'commander'
import { type FolderOptions, type Folders, resolveFolders } from '../config/folders.js'
import { VoxgradError } from '../errors.js'
import { JsonLines } from '../report/json.js'
import { LinesView } from '../report/lines.js'
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
const exitUsage = 2
const exitInternal = 70

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
  throw new VoxgradError('ERR_CONFIG', `${flag}: expected a whole number of at least ${least}, found "${text}"`)
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
  const known = error instanceof VoxgradError
  const code = known ? error.code : 'ERR_INTERNAL'
  const message = error instanceof Error ? error.message : String(error)
  if (json) new JsonLines(process.stdout).write({ type: 'error', code, message })
  process.stderr.write(`error: ${message}\n`)
  if (!known || code === 'ERR_INTERNAL') {
    process.stderr.write(
      'This is a fault of voxgrad, not of your input. Please report it with the command line and the output of\n' +
        '`voxgrad doctor`; with VOXGRAD_DEBUG=1 in the environment the same command also prints where it happened.\n',
    )
  }
  if (process.env.VOXGRAD_DEBUG === '1') {
    process.stderr.write(`${error instanceof Error ? error.stack : new Error(message).stack}\n`)
    if (known && error.nativeBacktrace) process.stderr.write(`${error.nativeBacktrace}\n`)
  }
  return known ? error.exitCode : exitInternal
}

/** A wrong command line: usage has been said by the parser; with --json the object is still owed. */
export function reportUsage(message: string, json: boolean): number {
  if (json) new JsonLines(process.stdout).write({ type: 'error', code: 'ERR_CONFIG', message })
  return exitUsage
}
