// voxgrad ensemble: the mean of several predictions' probabilities. voxgrad postprocess: applies chosen postprocessing.
import type { Command } from 'commander'
import type { EnsembleInput, PostprocessInput } from '../config/schema.js'
import { applyPostprocessing } from '../select/apply.js'
import { ensemble } from '../select/ensemble.js'
import { caseProgress } from './case-progress.js'
import { addCommonFlags, addJobsFlag, type CommonFlags, makeContext } from './context.js'
import { numberOrText } from './options.js'
import { abortOnSignals } from './signals.js'

interface EnsembleFlags extends CommonFlags {
  input: string[]
  output: string
  saveProbabilities?: boolean
  jobs?: string
}

const jobsOf = ({ jobs }: { jobs?: string }) => (jobs === undefined ? undefined : numberOrText(jobs))

export function addEnsemble(program: Command): void {
  const command = program
    .command('ensemble')
    .summary('Average the probabilities of several predictions.')
    .description(
      'Averages the probabilities that `voxgrad predict --save-probabilities` wrote into several folders, of voxgrad or ' +
        'nnU-Net, and writes the segmentations of the mean.',
    )
    .requiredOption('-i, --input <folders...>', 'The folders of predictions, two or more, with the same cases.')
    .requiredOption('-o, --output <folder>', 'The folder for the segmentations; it is made if missing.')
    .option('--save-probabilities', 'Also write the mean probabilities.')
    .addHelpText('after', '\nExample:\n  voxgrad ensemble -i predictions_2d predictions_3d -o predictions')
  addJobsFlag(command)
  addCommonFlags(command, []).action(async (flags: EnsembleFlags) => {
    const { view, json } = makeContext(flags)
    const { input: inputs, output, saveProbabilities } = flags
    const options = { inputs, output, saveProbabilities, jobs: jobsOf(flags) } as EnsembleInput
    const onProgress = caseProgress('ensemble', view, json)
    const cases = await ensemble(options, { onProgress, signal: abortOnSignals(view) })
    view.close()
    json?.write({ type: 'ensembled', cases, output })
    view.message(`${cases} cases ensembled into ${output}`)
  })
}

interface PostprocessFlags extends CommonFlags {
  input: string
  output: string
  steps: string
  datasetJson?: string
  plans?: string
  jobs?: string
}

export function addPostprocess(program: Command): void {
  const command = program
    .command('postprocess')
    .summary('Apply the postprocessing that best-configuration chose.')
    .description('Keeps the largest components that postprocessing.json names, in every segmentation of a folder.')
    .requiredOption('-i, --input <folder>', 'The folder of segmentations.')
    .requiredOption('-o, --output <folder>', 'The folder for the results; it is made if missing.')
    .requiredOption('--steps <file>', "postprocessing.json, voxgrad's or nnU-Net's.")
    .option('--dataset-json <file>', 'dataset.json (default: the one in the input folder).')
    .option('--plans <file>', 'plans.json (default: the one in the input folder).')
    .addHelpText('after', '\nExample:\n  voxgrad postprocess -i predictions -o final --steps postprocessing.json')
  addJobsFlag(command)
  addCommonFlags(command, []).action(async (flags: PostprocessFlags) => {
    const { view, json } = makeContext(flags)
    const { input, output, steps: file, datasetJson, plans } = flags
    const options = { input, output, steps: file, datasetJson, plans, jobs: jobsOf(flags) } as PostprocessInput
    const onProgress = caseProgress('postprocess', view, json)
    const { cases, steps } = await applyPostprocessing(options, { onProgress, signal: abortOnSignals(view) })
    view.close()
    json?.write({ type: 'postprocessed', cases, steps, output })
    view.message(`${cases} cases postprocessed into ${output}`)
  })
}
