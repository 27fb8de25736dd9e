// voxgrad dashboard: a live page of all runs in the browser, until Ctrl-C.
import path from 'node:path'
import type { Command } from 'commander'
import type { FolderOptions } from '../config/folders.js'
import { defaultDashboardPort } from '../config/schema.js'
import type { DataRoots } from '../dashboard/cases.js'
import { VoxgradError } from '../errors.js'
import { addCommonFlags, type CommonFlags, makeContext, wholeNumber } from './context.js'

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
      const { view, json, folders, folderOptions } = makeContext(flags)
      const root = folder === undefined ? folders.results : path.resolve(folder)
      // Only this verb needs a web server.
      const { startDashboard } = await import('../dashboard/server.js')
      const dashboard = await startDashboard({
        folder: root,
        port: portOf(flags.port),
        roots: dataRoots(folderOptions),
      })
      json?.write({ type: 'dashboard', url: dashboard.url })
      view.message(`The runs below ${root}: ${dashboard.url}`)
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

/** @throws VoxgradError ERR_CONFIG */
export function portOf(text: string | undefined): number {
  const port = text === undefined ? defaultDashboardPort : wholeNumber('--port', text, 0)
  if (port <= 65535) return port
  throw new VoxgradError('ERR_CONFIG', `--port: expected a number of at most 65535, found "${text}"`)
}

/** Resolves at the first signal to end. */
function endSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGPIPE'] as const) process.once(signal, () => resolve())
  })
}
