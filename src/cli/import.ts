// voxgrad import: a Medical Segmentation Decathlon task as an nnU-Net raw dataset.
import type { Command } from 'commander'
import { importDecathlon } from '../dataset/import.js'
import { caseProgress } from './case-progress.js'
import { addCommonFlags, addJobsFlag, type CommonFlags, makeContext, wholeNumber } from './context.js'
import { abortOnSignals } from './signals.js'

interface ImportFlags extends CommonFlags {
  id: string
  jobs?: string
}

export function addImport(program: Command): void {
  const command = program
    .command('import')
    .summary("Turn a Decathlon task into nnU-Net's raw layout.")
    .description(
      "Copies a task of the Medical Segmentation Decathlon into nnU-Net's raw layout, images with several channels " +
        'split into one file a channel. The task itself is left as it is.',
    )
    .argument('<folder>', 'The folder of the task, with dataset.json, imagesTr and labelsTr.')
    .requiredOption('--id <number>', 'The id of the new dataset, 1 to 999, which no other dataset has.')
    .addHelpText('after', '\nExample:\n  voxgrad import ./Task04_Hippocampus --id 4')
  addJobsFlag(command)
  addCommonFlags(command, ['raw']).action(async (folder: string, flags: ImportFlags) => {
    const { view, json, folders } = makeContext(flags)
    const jobs = flags.jobs === undefined ? undefined : wholeNumber('-j', flags.jobs, 1)
    const onProgress = caseProgress('import', view, json)
    const dataset = await importDecathlon(folder, wholeNumber('--id', flags.id, 1), folders, {
      jobs,
      onProgress,
      signal: abortOnSignals(view),
    })
    view.close()
    json?.write({ type: 'imported', ...dataset })
    view.message(
      `${dataset.name}: ${dataset.trainingCases} training and ${dataset.testCases} test cases in ${dataset.folder}`,
    )
    view.message(`Next: voxgrad plan ${dataset.id}`)
  })
}
