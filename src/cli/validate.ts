// voxgrad validate: predicts a run's held-out cases and compares them with their labels.
import type { Command } from 'commander'
import { parseOptions, type ValidateInput, validateOptionsSchema } from '../config/schema.js'
import type { ValidationFinishedEvent } from '../train/events.js'
import { runInChild } from '../train/supervisor.js'
import { addCommonFlags, type CommonFlags, exitResumable, makeContext } from './context.js'
import { follow } from './follow.js'
import { numberOrText } from './options.js'
import { addDevicesFlag, contextOfRank, type RanksFlags, ranksOfRun } from './ranks.js'

interface ValidateFlags extends RanksFlags, CommonFlags {
  checkpoint?: string
  saveProbabilities?: boolean
  device?: string
  threads?: string
}

export function addValidate(program: Command): void {
  const command = program
    .command('validate')
    .summary('Validate a run on its held-out cases.')
    .description(
      "Predicts the cases that a run's fold held out, with sliding window and mirroring on the original grid, and " +
        "writes them with nnU-Net's summary.json to validation/ (the best model's to validation_best/) in the run folder.",
    )
    .argument('<run>', 'The run folder, .../fold_0.')
    .option('--checkpoint <name>', 'final, best or latest (default: final).')
    .option('--save-probabilities', "Also write CASE.npz and CASE.pkl (nnU-Net's --npz), which ensembles need.")
    .option('--device <device>', 'cpu, cuda or cuda:N (default: that of the training).')
    .option('--threads <number>', 'Native threads (default: one for each processor that may be used).')
    .addHelpText(
      'after',
      '\nExample:\n  voxgrad validate results/Dataset004_Hippocampus/voxgrad__nnUNetPlans__3d_fullres/fold_0 --checkpoint best',
    )
  addDevicesFlag(command)
  addCommonFlags(command, ['raw', 'preprocessed', 'results']).action(async (run: string, flags: ValidateFlags) => {
    const context = makeContext(flags)
    const input = {
      run,
      checkpoint: flags.checkpoint,
      saveProbabilities: flags.saveProbabilities,
      device: flags.device,
      threads: flags.threads === undefined ? undefined : numberOrText(flags.threads),
      folders: context.folderOptions,
    } as ValidateInput
    parseOptions(validateOptionsSchema, input, 'options of validate')
    const ranks = await ranksOfRun(flags, run)
    const job = { kind: 'validate' as const, options: input }
    const validation = runInChild<ValidationFinishedEvent | 'stopped'>(job, { ranks })
    if ((await follow(validation, contextOfRank(ranks, context))) === 'stopped') process.exitCode = exitResumable
  })
}
