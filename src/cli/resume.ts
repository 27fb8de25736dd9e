// voxgrad resume: goes on with a run that was stopped, killed or finished without its validation.
import type { Command } from 'commander'
import { parseOptions, type ResumeInput, resumeOptionsSchema } from '../config/schema.js'
import type { RunResult } from '../train/events.js'
import { runInChild } from '../train/supervisor.js'
import { addCommonFlags, type CommonFlags, makeContext } from './context.js'
import { addWatchFlags, followWatched, type WatchFlags } from './dashboard.js'
import { exitCodeOf } from './follow.js'
import { addBudgetFlags, type BudgetFlags, budgetFlags, type OptionTree, setAt, setNumbers } from './options.js'
import { addDevicesFlag, contextOfRank, type RanksFlags, ranksOfRun } from './ranks.js'

interface ResumeFlags extends RanksFlags, CommonFlags, BudgetFlags, WatchFlags {
  from?: string
  device?: string
  schedule?: string
  devices?: string
}

export function addResume(program: Command): void {
  const command = program
    .command('resume')
    .summary('Go on with a run from where it was.')
    .description(
      'Goes on with a run at the exact step where its checkpoint was saved. A finished run is completed where ' +
        'something is missing, such as the validation, or trained for longer with --epochs or --steps. A run of ' +
        "nnU-Net (nnUNetTrainer__.../fold_0) is taken over; give its --epochs and --steps-per-epoch if they are not nnU-Net's 1000 and 250.",
    )
    .argument('<run>', 'The run folder, .../fold_0.')
    .option('--from <checkpoint>', 'newest, latest, best or final (default: newest).')
    .option(
      '--schedule <kind>',
      'Learning rate of a longer run: stretch (one decay over all steps), continue (the last rate) or restart (default: stretch).',
    )
    .option('--device <device>', 'cpu, cuda or cuda:N (default: the one that the run was on).')
    .addHelpText(
      'after',
      `
Examples:
  voxgrad resume results/Dataset004_Hippocampus/voxgrad__nnUNetPlans__3d_fullres/fold_0
  voxgrad resume results/.../fold_0 --epochs 2000 --schedule restart
docs/longer-training.md says what each way of training longer does; \`voxgrad advise RUN\` says what it would bring.`,
    )
  addBudgetFlags(command, { epochs: 'as before', stepsPerEpoch: 'as before', valSteps: 'as before' })
  addDevicesFlag(command)
  addWatchFlags(command)
  addCommonFlags(command, ['raw', 'preprocessed', 'results']).action(async (run: string, flags: ResumeFlags) => {
    const context = makeContext(flags)
    const tree: OptionTree = { run, folders: context.folderOptions }
    setAt(tree, 'from', flags.from)
    setAt(tree, 'device', flags.device)
    setAt(tree, 'schedule', flags.schedule)
    setNumbers(tree, flags, budgetFlags)
    const input = tree as unknown as ResumeInput
    parseOptions(resumeOptionsSchema, input, 'options of resume')
    const ranks = await ranksOfRun(flags, run)
    const start = () => runInChild<RunResult>({ kind: 'resume', options: input }, { ranks })
    process.exitCode = exitCodeOf(await followWatched(start, run, flags, contextOfRank(ranks, context)))
  })
}
