// voxgrad status: one run, live or ended. voxgrad runs: all runs below a folder. voxgrad stop: ends a run that is live.
import { existsSync } from 'node:fs'
import { hostname } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import { VoxgradError } from '../errors.js'
import { formatDuration, formatFixed } from '../report/format.js'
import { isAlive, ownerOf } from '../train/lock.js'
import { findRuns, type RunOverview, readOverview } from '../train/overview.js'
import { RunFolder } from '../train/run-folder.js'
import { addCommonFlags, type CommonFlags, makeContext } from './context.js'

export function addStatus(program: Command): void {
  const command = program
    .command('status')
    .summary('Show one run, live or ended.')
    .description('Shows how far a run is, how good, and whether a process works on it.')
    .argument('<run>', 'The run folder, .../fold_0.')
    .addHelpText(
      'after',
      '\nExample:\n  voxgrad status results/Dataset004_Hippocampus/voxgrad__nnUNetPlans__3d_fullres/fold_0',
    )
  addCommonFlags(command, []).action(async (run: string, flags: CommonFlags) => {
    const { view, json } = makeContext(flags)
    const overview = await readOverview(new RunFolder(path.resolve(run)))
    json?.write({ type: 'run', ...overview })
    for (const [name, value] of describe(overview)) view.message(`${name.padEnd(12)} ${value}`)
  })
}

export function addRuns(program: Command): void {
  const command = program
    .command('runs')
    .summary('List all runs below a folder.')
    .description('Lists every run below a folder with its state, a line each.')
    .argument('[folder]', 'Where to look (default: the results root).')
    .addHelpText('after', '\nExamples:\n  voxgrad runs\n  voxgrad runs experiments --json')
  addCommonFlags(command, ['results']).action(async (folder: string | undefined, flags: CommonFlags) => {
    const { view, json, folders } = makeContext(flags)
    const root = folder === undefined ? folders.results : path.resolve(folder)
    if (!existsSync(root)) {
      throw new VoxgradError('ERR_RUN', { where: root, required: 'a folder with runs', found: 'nothing' })
    }
    const found = await Promise.allSettled((await findRuns(root)).map(readOverview))
    const overviews = found.flatMap((run) => (run.status === 'fulfilled' ? [run.value] : []))
    // One damaged folder must not hide the others.
    for (const run of found) if (run.status === 'rejected') view.warning((run.reason as Error).message)
    for (const overview of overviews) json?.write({ type: 'run', ...overview })
    if (found.length === 0) view.message(`No run below ${root}.`)
    if (overviews.length > 0)
      for (const line of tableOf(overviews, root, process.stdout.columns || 80)) view.message(line)
  })
}

/** A run saves within seconds; a large network on a slow disk takes longer. */
const stopSeconds = 600

export function addStop(program: Command): void {
  const command = program
    .command('stop')
    .summary('End a run from elsewhere, with a checkpoint.')
    .description(
      'Asks the process of a run on this machine to finish its step, save and end, as Ctrl-C does, and waits until it has.',
    )
    .argument('<run>', 'The run folder, .../fold_0.')
    .addHelpText(
      'after',
      '\nExample:\n  voxgrad stop results/Dataset004_Hippocampus/voxgrad__nnUNetPlans__3d_fullres/fold_0',
    )
  addCommonFlags(command, []).action(async (run: string, flags: CommonFlags) => {
    const { view, json } = makeContext(flags)
    const folder = new RunFolder(path.resolve(run))
    await folder.readRecord()
    const owner = ownerOf(folder.folder)
    if (owner === null) view.message('No process works on this run.')
    else await stop(folder, owner.processId, owner.host)
    const overview = await readOverview(folder)
    json?.write({ type: 'run', ...overview })
    view.message(`${overview.status}, epoch ${overview.epoch} of ${overview.epochs}, step ${overview.step}.`)
  })
}

async function stop({ folder }: RunFolder, processId: number, host: string): Promise<void> {
  if (host !== hostname()) {
    throw new VoxgradError('ERR_RUN_IN_USE', {
      where: folder,
      required: 'a run on this machine',
      found: `process ${processId} on ${host}`,
      remedy: `Stop it on ${host}.`,
    })
  }
  process.kill(processId, 'SIGTERM')
  const deadline = performance.now() + stopSeconds * 1000
  // The process may leave before its lock is looked at again, or another one may take the run over.
  while (isAlive(processId) && ownerOf(folder)?.processId === processId) {
    if (performance.now() > deadline) {
      throw new VoxgradError('ERR_RUN_IN_USE', {
        where: folder,
        found: `process ${processId} has not ended after ${stopSeconds} s`,
        remedy: `Wait for it, or end it with \`kill -9 ${processId}\`; the run then goes on from its last checkpoint.`,
      })
    }
    await sleep(100)
  }
}

function describe(run: RunOverview): [string, string][] {
  const who = run.owner ? `process ${run.owner.processId} on ${run.owner.host} since ${run.owner.since}` : 'nobody'
  const best = run.best
    ? `${formatFixed(run.best.value, 4)} (${run.best.metric}) after epoch ${run.best.epoch + 1}`
    : 'none yet'
  const resumable = run.status === 'stopped' || run.status === 'killed' || run.status === 'failed'
  const lines: [string, string | null][] = [
    ['run', run.folder],
    ['model', `${run.dataset}, ${run.configuration}, ${run.plans}, fold ${run.fold}`],
    ['status', run.reason === null ? run.status : `${run.status} (${run.reason})`],
    ['error', run.error],
    ['worked on by', run.owner ? who : null],
    ['epochs', `${run.epoch} of ${run.epochs}`],
    ['steps', `${run.step} of ${run.totalSteps}`],
    ['pseudo-Dice', `${formatFixed(run.ema_fg_dice, 4)} (moving average)`],
    ['best', best],
    ['time left', run.secondsLeft === null ? null : `${formatDuration(run.secondsLeft)} of training`],
    ['updated', run.updatedAt],
    ['go on with', resumable ? `voxgrad resume ${run.folder}` : null],
  ]
  return lines.filter((line): line is [string, string] => line[1] !== null)
}

/**
 * A line a run, of at most `columns` characters as far as the names of folders allow: where their paths do not fit beside
 * the numbers, runs stand below the folder that they share.
 */
export function tableOf(runs: readonly RunOverview[], root: string, columns: number): string[] {
  const paths = runs.map((run) => path.relative(root, run.folder) || '.')
  const flat = alignedRows(runs, paths)
  if (flat.every((line) => line.length <= columns)) return flat
  const rows = alignedRows(
    runs,
    paths.map((name) => path.basename(name)),
  )
  let folder = ''
  return rows.flatMap((line, index) => {
    const before = folder
    folder = path.dirname(paths[index - 1] ?? '')
    const isNew = index === 1 || (index > 1 && folder !== before)
    return isNew ? ['', folder === '.' ? root : folder, line] : [line]
  })
}

function alignedRows(runs: readonly RunOverview[], names: readonly string[]): string[] {
  const rows = runs.map((run, index) => [
    run.status,
    `${run.epoch}/${run.epochs}`,
    formatFixed(run.ema_fg_dice, 4),
    formatFixed(run.best?.value ?? null, 4),
    formatDuration(run.secondsLeft),
    names[index] as string,
  ])
  const table = [['status', 'epoch', 'EMA Dice', 'best', 'left', 'run'], ...rows]
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...table.map((row) => (row[column] as string).length)))
  return table.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}
