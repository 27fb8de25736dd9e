// voxgrad dashboard: a live page of all runs in the browser, until Ctrl-C; and the same beside a training.
import { realpathSync } from 'node:fs'
import path from 'node:path'
import type { Command } from 'commander'
import type { FolderOptions, Folders } from '../config/folders.js'
import { defaultDashboardPort } from '../config/schema.js'
import type { DataRoots } from '../dashboard/cases.js'
import type { Progress } from '../dashboard/messages.js'
import type { Dashboard } from '../dashboard/server.js'
import { VoxgradError } from '../errors.js'
import type { Run, RunEvent } from '../train/events.js'
import { addCommonFlags, type CommonFlags, type Context, makeContext, wholeNumber } from './context.js'
import { follow } from './follow.js'

interface DashboardFlags extends CommonFlags {
  port?: string
}

export function addDashboard(program: Command): void {
  const command = program
    .command('dashboard')
    .summary('Show all runs in the browser, live.')
    .description(
      'Serves a page with the curves, events and validation cases of every run below a folder, live and ended, to the ' +
        'browser of this machine, until Ctrl-C. Nothing is loaded from elsewhere, and the address holds a secret.',
    )
    .argument('[folder]', 'Where to look for runs (default: the results root).')
    .option('--port <number>', `The port; 0 takes a free one (default: ${defaultDashboardPort}).`)
    .addHelpText('after', '\nExamples:\n  voxgrad dashboard\n  voxgrad dashboard experiments --port 8080')
  addCommonFlags(command, ['raw', 'preprocessed', 'results']).action(
    async (folder: string | undefined, flags: DashboardFlags) => {
      const context = makeContext(flags)
      const { view, folders } = context
      const root = folder === undefined ? folders.results : path.resolve(folder)
      const dashboard = await open(root, '--port', flags.port, context)
      view.message('Ctrl-C ends it.')
      await endSignal()
      await dashboard.close()
    },
  )
}

/** As far as flags and environment name them: a dashboard needs neither. */
function dataRoots({ raw, preprocessed }: FolderOptions): DataRoots {
  return {
    raw: raw ?? process.env.nnUNet_raw,
    preprocessed: preprocessed ?? process.env.nnUNet_preprocessed,
  }
}

/** Starts the server and says where it is. */
async function open(
  folder: string,
  portFlag: string,
  portText: string | undefined,
  { view, json, folderOptions }: Context,
): Promise<Dashboard> {
  const port = portOf(portFlag, portText)
  // Only who asks for it needs a web server.
  const { startDashboard } = await import('../dashboard/server.js')
  const dashboard = await startDashboard({ folder, port, portFlag, roots: dataRoots(folderOptions) })
  json?.write({ type: 'dashboard', url: dashboard.url })
  view.message(`Dashboard of the runs below ${folder}: ${dashboard.url}`)
  return dashboard
}

function portOf(flag: string, text: string | undefined): number {
  const port = text === undefined ? defaultDashboardPort : wholeNumber(flag, text, 0)
  if (port <= 65535) return port
  throw new VoxgradError('ERR_CONFIG', { where: flag, required: 'a number of at most 65535', found: `"${text}"` })
}

/** Flags of `train` and `resume`. */
export interface WatchFlags {
  dashboard?: boolean
  dashboardPort?: string
}

export function addWatchFlags(command: Command): Command {
  return command
    .option('--dashboard', 'Show the run in the browser, live, for as long as it goes (docs/dashboard.md).')
    .option('--dashboard-port <number>', `Its port; 0 takes a free one (default: ${defaultDashboardPort}).`)
}

/**
 * Follows a run, with a dashboard beside it where the flags ask for one.
 * @param start starts the run; not called where there can be no dashboard
 * @param runFolder where it is known before the start; else the run is below the results root
 * @throws VoxgradError as follow() does, ERR_CONFIG for a port that cannot be had
 */
export async function followWatched<Result>(
  start: () => Run<Result>,
  runFolder: string | undefined,
  flags: WatchFlags,
  context: Context,
): Promise<Result> {
  if (!flags.dashboard && flags.dashboardPort === undefined) return follow(start(), context)
  const root = rootOf(runFolder, context.folders)
  const dashboard = await open(root, '--dashboard-port', flags.dashboardPort, context)
  let folder = ''
  const watch = (event: RunEvent) => {
    if (event.type === 'run_started') folder = realpathSync(event.folder)
    const progress = progressOf(event)
    if (progress !== undefined) dashboard.setProgress(folder, progress)
  }
  try {
    return await follow(start(), context, watch)
  } finally {
    await dashboard.close()
  }
}

/** All results, where the run is one of them. */
function rootOf(runFolder: string | undefined, folders: Folders): string {
  if (runFolder === undefined) return folders.results
  const run = path.resolve(runFolder)
  let results: string
  try {
    results = folders.results
  } catch {
    return run
  }
  return run.startsWith(`${results}/`) ? results : run
}

/** undefined for an event that says nothing about it. */
function progressOf(event: RunEvent): Progress | null | undefined {
  if (event.type === 'stop' || event.type === 'validation_finished') return null
  if (!('done' in event) || event.type === 'preparing') return undefined
  const { done, total, secondsLeft } = event
  return { job: event.type === 'progress' ? event.job : 'cases', done, total, secondsLeft }
}

/** Resolves at the first signal to end. */
function endSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGPIPE'] as const) process.once(signal, () => resolve())
  })
}
