// voxgrad preprocess: crops, normalizes and resamples the cases of a dataset as its plans say.
import type { Command } from 'commander'
import type { PreprocessResult } from '../preprocess/preprocess.js'
import { runInChild } from '../train/supervisor.js'
import { addCommonFlags, addJobsFlag, type CommonFlags, makeContext, wholeNumber } from './context.js'
import { followPreparation } from './follow.js'

interface PreprocessFlags extends CommonFlags {
  configuration?: string[]
  plans?: string
  jobs?: string
}

export function addPreprocess(program: Command): void {
  const command = program
    .command('preprocess')
    .summary('Prepare the cases of a dataset for training.')
    .description(
      "Crops, normalizes and resamples all training cases as the plans say, in nnU-Net's own files, and writes " +
        'splits_final.json if there is none. Earlier data of a configuration stays until the new one is complete.',
    )
    .argument('<dataset>', 'Id (4) or name (Dataset004_Hippocampus) of the dataset.')
    .option(
      '-c, --configuration <names...>',
      'The configurations (default: 2d, 3d_fullres and 3d_lowres, as far as planned).',
    )
    .option('--plans <name>', 'The plans file, without .json (default: nnUNetPlans).')
    .addHelpText(
      'after',
      '\nExamples:\n  voxgrad preprocess 4\n  voxgrad preprocess 4 -c 3d_fullres --plans nnUNetPlansTiny',
    )
  addJobsFlag(command)
  addCommonFlags(command, ['raw', 'preprocessed']).action(async (dataset: string, flags: PreprocessFlags) => {
    const context = makeContext(flags)
    const { view, json, folderOptions } = context
    const options = {
      dataset,
      folders: folderOptions,
      configurations: flags.configuration?.flatMap((names) => names.split(',')),
      plans: flags.plans,
      jobs: flags.jobs === undefined ? undefined : wholeNumber('-j', flags.jobs, 1),
    }
    const run = runInChild<PreprocessResult>({ kind: 'preprocess', options })
    const result = await followPreparation(run, context)
    json?.write({ type: 'preprocessed', ...result })
    for (const { configuration, folder } of result.folders)
      view.message(`  ${configuration}: ${result.cases} cases in ${folder}`)
    const first = result.folders[0]?.configuration ?? '3d_fullres'
    view.message(`Next: voxgrad train ${dataset} ${first} 0${flags.plans ? ` --plans ${flags.plans}` : ''}`)
  })
}
