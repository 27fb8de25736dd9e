// voxgrad sweep: flags to the options of sweep(), a dry run, or the sweep itself, and its exit code.
import type { Command } from 'commander'
import { parseOptions, type SweepInput, sweepOptionsSchema } from '../config/schema.js'
import { errorCatalogue } from '../error-catalogue.js'
import { countGpus, readDevices } from '../sweep/devices.js'
import type { SweepResult } from '../sweep/events.js'
import { prepareSweep } from '../sweep/prepare.js'
import { summaryFile } from '../sweep/summary.js'
import { sweep } from '../sweep/sweep.js'
import { addCommonFlags, type CommonFlags, type Context, exitResumable, makeContext } from './context.js'
import { numberOrText } from './options.js'
import { stopOnSignals } from './signals.js'
import { beginning, conclusion, SweepReport, shortName, wayOn } from './sweep-report.js'
import { addTrainingFlags, type TrainingFlags, trainingOptions } from './train.js'

interface SweepFlags extends TrainingFlags, CommonFlags {
  datasets?: string[]
  configurations?: string[]
  folds?: string[]
  devices?: string
}

export function addSweep(program: Command): void {
  const command = program
    .command('sweep')
    .summary('Train folds, configurations and datasets on all devices, with one queue.')
    .description(
      'Trains every fold of every configuration of every dataset, one run on each device at a time, and ends with one ' +
        'table. Repeat the command to go on: finished runs are left alone, interrupted ones are resumed. A run that ' +
        'fails stops no other. Datasets must be planned and preprocessed.',
    )
    .requiredOption('-d, --datasets <list...>', 'Ids or names of datasets: 4,5.')
    .requiredOption('-c, --configurations <list...>', 'Configurations of the plans: 3d_fullres,2d.')
    .option('-f, --folds <list...>', 'Folds that are held out, or all (default: 0,1,2,3,4).')
    .option(
      '--devices <list>',
      'cpu:2 (two runs at once), 4 (so many GPUs), 0,2 (these; twice the same for two runs at once) (default: all GPUs, or one cpu).',
    )
    .option('--dry-run', 'Print what would be trained, resumed and left alone; write nothing.')
    .addHelpText(
      'after',
      `
Examples:
  voxgrad sweep -d 4 -c 3d_fullres,2d
  voxgrad sweep -d 4,5 -c 3d_lowres,3d_cascade_fullres -f 0,1,2,3,4 --devices 0,1,2,3
  voxgrad sweep -d 4 -c 3d_fullres --devices cpu:2 --plans nnUNetPlansTiny --epochs 20 --save-probabilities
A cascade waits for the folds of its previous stage. docs/sweeps.md tells more.`,
    )
  addTrainingFlags(command, 'an equal share of the processors for each run')
  addCommonFlags(command, ['raw', 'preprocessed', 'results']).action(async (flags: SweepFlags) => {
    const context = makeContext(flags)
    const input = await sweepInput(flags, context)
    parseOptions(sweepOptionsSchema, input, 'options of sweep')
    if (flags.dryRun) await showDryRun(input, context)
    else process.exitCode = exitCodeOf(await followSweep(input, context))
  })
}

const listed = (values: string[] | undefined) =>
  values?.flatMap((value) => value.split(',')).map((value) => numberOrText(value.trim()))

async function sweepInput(flags: SweepFlags, context: Context): Promise<SweepInput> {
  // What a file for `train` may say of it is decided here for each run.
  const options = await trainingOptions(flags, context, ['device', 'continue'])
  const { datasets, configurations, folds, devices } = flags
  const lists = {
    datasets: listed(datasets),
    configurations: listed(configurations)?.map(String),
    ...(folds === undefined ? {} : { folds: listed(folds) }),
    ...(devices === undefined ? {} : { devices: readDevices(devices, await countGpus()) }),
  }
  return { ...options, ...lists } as unknown as SweepInput
}

async function followSweep(input: SweepInput, context: Context): Promise<SweepResult> {
  const { view, folders } = context
  const work = sweep(input)
  const report = new SweepReport(context)
  const release = stopOnSignals(() => work.stop(), view, 'ending all runs after their step, with a checkpoint each')
  try {
    for await (const event of work) report.show(event)
  } finally {
    view.close()
    release()
  }
  const result = await work.finished
  for (const line of conclusion(result, process.stdout.columns || 80)) view.message(line)
  view.message('')
  for (const { dataset, plans } of result.summaries) {
    view.message(`Summary: ${summaryFile(folders.results, dataset, plans)}`)
  }
  const way = wayOn(result, commandLine())
  if (way !== null) view.message(way)
  return result
}

/** This process's command, fit for a shell. */
const commandLine = (): string =>
  ['voxgrad', ...process.argv.slice(2)]
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`))
    .join(' ')

async function showDryRun(input: SweepInput, { view, json }: Context): Promise<void> {
  const { runs, devices, threads, notes } = await prepareSweep(input)
  json?.write({ type: 'dry_run', devices, threads, runs, notes })
  for (const line of beginning(runs, devices, threads)) view.message(line)
  for (const note of notes) view.warning(note)
  for (const run of runs) {
    const what =
      run.state === 'finished'
        ? 'finished already'
        : run.step > 0
          ? `goes on at step ${run.step} of ${run.totalSteps}`
          : 'begins'
    const after = run.needs.length > 0 ? `, after ${run.needs.length} runs of the previous stage` : ''
    view.message(`  ${shortName(run)}  ${what}${after}`)
  }
  view.message('Dry run: nothing was written.')
}

/** 75 after a signal; else that of the first run that failed; else 75 where a run was stopped by its time budget. */
function exitCodeOf({ runs, stopped }: SweepResult): number {
  const failed = runs.find(({ state }) => state === 'failed')
  if (failed?.error && !stopped) return errorCatalogue[failed.error.code].exitCode
  return runs.every(({ state }) => state === 'finished') ? 0 : exitResumable
}
