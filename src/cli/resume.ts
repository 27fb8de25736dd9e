// voxgrad resume: goes on with a run that was stopped, killed or finished without its validation.
import type { Command } from 'commander'
import { parseOptions, type ResumeInput, resumeOptionsSchema } from '../config/schema.js'
import { runInChild } from '../train/child.js'
import type { RunResult } from '../train/events.js'
import { addCommonFlags, type CommonFlags, makeContext } from './context.js'
import { exitCodeOf, follow } from './follow.js'

interface ResumeFlags extends CommonFlags {
  from?: string
}

export function addResume(program: Command): void {
  const command = program
    .command('resume')
    .summary('Go on with a run from where it was.')
    .description(
      'Goes on with a run at the exact step where its checkpoint was saved. A finished run is only completed: ' +
        'what is missing, such as the validation, is made up for.',
    )
    .argument('<run>', 'The run folder, .../fold_0.')
    .option('--from <checkpoint>', 'newest, latest, best or final (default: newest).')
    .addHelpText(
      'after',
      '\nExample:\n  voxgrad resume results/Dataset004_Hippocampus/voxgrad__nnUNetPlans__3d_fullres/fold_0',
    )
  addCommonFlags(command, ['raw', 'preprocessed', 'results']).action(async (run: string, flags: ResumeFlags) => {
    const context = makeContext(flags)
    const input = { run, from: flags.from, folders: context.folderOptions } as ResumeInput
    parseOptions(resumeOptionsSchema, input, 'options of resume')
    process.exitCode = exitCodeOf(await follow(runInChild<RunResult>({ kind: 'resume', options: input }), context))
  })
}
