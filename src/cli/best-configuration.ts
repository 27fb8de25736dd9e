// voxgrad best-configuration: compares configurations and ensembles by cross-validation and chooses postprocessing.
import type { Command } from 'commander'
import type { BestConfigurationInput } from '../config/schema.js'
import { formatFixed } from '../report/format.js'
import { bestConfiguration, type Candidate } from '../select/best-configuration.js'
import { caseProgress } from './case-progress.js'
import { addCommonFlags, addJobsFlag, type CommonFlags, makeContext } from './context.js'
import { numberOrText } from './options.js'
import { abortOnSignals } from './signals.js'

interface BestConfigurationFlags extends CommonFlags {
  configurations?: string[]
  plans?: string[]
  trainers?: string[]
  folds?: string
  ensembles: boolean
  jobs?: string
}

export function addBestConfiguration(program: Command): void {
  const command = program
    .command('best-configuration')
    .summary('Find the best configuration or ensemble by cross-validation.')
    .description(
      'Gathers the validations of all folds, compares the mean Dice of every configuration and of every ensemble of two, ' +
        'finds out whether keeping only the largest component improves the best one, and writes the commands that ' +
        'predict with it to inference_instructions.txt.',
    )
    .argument('<dataset>', 'Id (4) or name (Dataset004_Hippocampus) of the dataset.')
    .option(
      '-c, --configurations <names...>',
      'Configurations to compare (default: those of 2d, 3d_fullres, 3d_lowres and 3d_cascade_fullres that the plans have).',
    )
    .option('--plans <names...>', 'Plans to compare, without .json (default: nnUNetPlans).')
    .option(
      '--trainers <names...>',
      'First parts of the names of run folders, such as nnUNetTrainer (default: voxgrad).',
    )
    .option('--folds <list>', 'Folds of the cross-validation (default: 0,1,2,3,4).')
    .option('--no-ensembles', 'Compare single configurations only, which needs no saved probabilities.')
    .addHelpText(
      'after',
      '\nExamples:\n  voxgrad best-configuration 4\n  voxgrad best-configuration 4 -c 2d 3d_fullres --plans nnUNetPlansTiny',
    )
  addJobsFlag(command)
  addCommonFlags(command, ['raw', 'preprocessed', 'results']).action(
    async (dataset: string, flags: BestConfigurationFlags) => {
      const { view, json, folderOptions } = makeContext(flags)
      const { configurations, plans, trainers, ensembles } = flags
      const folds = flags.folds?.split(',').map((fold) => numberOrText(fold.trim()))
      const jobs = flags.jobs === undefined ? undefined : numberOrText(flags.jobs)
      const input = { dataset, configurations, plans, trainers, folds, ensembles, jobs, folders: folderOptions }
      const show = ({ name, summary }: Candidate) => {
        const dice = summary.foregroundMean.Dice
        json?.write({ type: 'candidate', name, meanForegroundDice: dice })
        view.message(`Dice ${formatFixed(dice, 4)}  ${name}`)
      }
      const found = await bestConfiguration(input as BestConfigurationInput, {
        onCandidate: show,
        onProgress: (title, progress) => caseProgress(title, view, json)(progress),
        onNote: (text) => view.message(text),
        signal: abortOnSignals(view),
      })
      view.close()
      const { best, diceAfter, postprocessing, file, instructions } = found
      const before = best.summary.foregroundMean.Dice
      json?.write({ type: 'best_configuration', name: best.name, before, after: diceAfter, postprocessing, file })
      view.message(`Best: ${best.name}`)
      const steps = postprocessing.map(({ labels }) => `largest component of ${labels.join(' and ')}`).join(', then ')
      view.message(
        steps === ''
          ? 'Postprocessing: none improves it.'
          : `Postprocessing: ${steps}: Dice ${formatFixed(before, 4)} -> ${formatFixed(diceAfter, 4)}`,
      )
      for (const line of instructions.trimEnd().split('\n')) view.message(line)
    },
  )
}
