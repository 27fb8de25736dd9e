// voxgrad train: flags to options, a dry run, or the run itself in a child process.
import type { Command } from 'commander'
import { findDataset } from '../config/folders.js'
import { parseOptions, type TrainInput, trainOptionsSchema } from '../config/schema.js'
import type { RunResult } from '../train/events.js'
import { runInChild } from '../train/supervisor.js'
import { addCommonFlags, type CommonFlags, type Context, makeContext } from './context.js'
import { addWatchFlags, followWatched, type WatchFlags } from './dashboard.js'
import { showDryRun } from './dry-run.js'
import { exitCodeOf } from './follow.js'
import {
  addBudgetFlags,
  type BudgetFlags,
  budgetFlags,
  collect,
  numberOrText,
  type OptionTree,
  overlay,
  readAssignments,
  readConfigFile,
  setAt,
  setNumbers,
} from './options.js'
import { addDevicesFlag, contextOfRank, type RanksFlags, ranksOf } from './ranks.js'

/** What a training is: flags of `train`, and of `sweep` for each of its runs. */
export interface TrainingFlags extends BudgetFlags {
  plans?: string
  seed?: string
  pretrained?: string
  patience?: string
  onPlateau?: string
  threads?: string
  deterministic?: boolean
  saveProbabilities?: boolean
  set?: string[]
  config?: string
  dryRun?: boolean
}

interface TrainFlags extends TrainingFlags, RanksFlags, CommonFlags, WatchFlags {
  device?: string
  run?: string
  previousStage?: string
  continue?: boolean
}

/** Flags with the place of their value in the options; numbers are read as such. */
const textFlags: [keyof TrainingFlags, string][] = [
  ['plans', 'plans'],
  ['seed', 'seed'],
  ['pretrained', 'pretrained'],
  ['onPlateau', 'earlyStopping.onPlateau'],
]
const numberFlags: (readonly [keyof TrainingFlags, string])[] = [
  ...budgetFlags,
  ['patience', 'earlyStopping.patience'],
  ['threads', 'threads'],
]

/** Adds the flags of a training; `threads` says how many there are without the flag. */
export function addTrainingFlags(command: Command, threads: string): Command {
  command
    .option('--plans <name>', 'The plans file, without .json (default: nnUNetPlans).')
    .option('--seed <number>', 'Seed of everything random (default: 12345).')
    .option('--pretrained <file>', "Start from a checkpoint's weights, all but the segmentation layers.")
    .option(
      '--patience <epochs>',
      'End after so many epochs without improvement: a number, short (10), medium (30) or long (50).',
    )
    .option('--on-plateau <what>', 'stop, or anneal: bring the learning rate down to 0 first (default: stop).')
    .option('--threads <number>', `Native threads (default: ${threads}).`)
    .option('--deterministic', 'Make CUDA reproducible, at some cost in speed. The CPU always is.')
    .option('--save-probabilities', "Save the validation's probabilities (nnU-Net's --npz), which ensembles need.")
    .option('--set <key=value>', 'Set any other option, such as optimizer.initialLr=0.02. May be repeated.', collect)
    .option('--config <file>', 'A YAML file of options. --set wins over it, and flags win over both.')
  return addBudgetFlags(command, { epochs: '1000', stepsPerEpoch: '250', valSteps: '50' })
}

/**
 * Options of a training from its file, its assignments and its flags.
 * @param ignored keys of the file that the verb has another say in
 */
export async function trainingOptions(
  flags: TrainingFlags,
  context: Context,
  ignored: readonly string[] = [],
): Promise<OptionTree> {
  const tree: OptionTree = { folders: context.folderOptions }
  for (const [flag, place] of textFlags) setAt(tree, place, flags[flag])
  setNumbers(tree, flags, numberFlags)
  if (flags.saveProbabilities) setAt(tree, 'validation.saveProbabilities', true)
  if (flags.deterministic) setAt(tree, 'deterministic', true)
  const file = flags.config === undefined ? {} : await readConfigFile(flags.config)
  for (const key of ignored) delete file[key]
  return overlay(overlay(file, readAssignments(flags.set ?? [])), tree)
}

export function addTrain(program: Command): void {
  const command = program
    .command('train')
    .summary('Train one fold of a configuration.')
    .description(
      'Trains one fold of a configuration, validates it on the held-out cases, and writes a run folder that nnU-Net ' +
        'can predict with. A dataset that is not planned or preprocessed yet is so first.',
    )
    .argument('<dataset>', 'Id (4) or name (Dataset004_Hippocampus) of the dataset.')
    .argument('<configuration>', '2d, 3d_fullres, or another configuration of the plans.')
    .argument('<fold>', '0 to 4, or all for training on every case.')
    .option('--device <device>', 'cpu, cuda or cuda:N (default: cpu).')
    .option('--run <folder>', 'The run folder, in place of the one below the results root.')
    .option(
      '--previous-stage <folder>',
      "For a cascade: segmentations of the previous stage, in place of its model's predicted_next_stage.",
    )
    .option('--continue', 'Resume the run if its folder holds one, and start it otherwise.')
    .option('--dry-run', 'Print the resolved options, the budget and the learning rate; write nothing.')
    .addHelpText(
      'after',
      `
Examples:
  voxgrad train 4 3d_fullres 0
  voxgrad train Dataset004_Hippocampus 3d_fullres 0 --plans nnUNetPlansTiny --steps 2000 --steps-per-epoch 100
  voxgrad train 4 3d_fullres 0 --patience 30 --on-plateau anneal --time 12h
  voxgrad train 4 2d all --epochs 200 --set optimizer.initialLr=0.005 --run runs/slow
  voxgrad train 4 3d_fullres 0 --config options.yaml --dry-run`,
    )
  addTrainingFlags(command, 'one for each processor that may be used')
  addDevicesFlag(command)
  addWatchFlags(command)
  addCommonFlags(command, ['raw', 'preprocessed', 'results']).action(
    async (dataset: string, configuration: string, fold: string, flags: TrainFlags) => {
      const context = makeContext(flags)
      const input = await trainInput(dataset, configuration, fold, flags, context)
      const options = parseOptions(trainOptionsSchema, input, 'options of train')
      findDataset(context.folders, options.dataset)
      if (flags.dryRun) {
        await showDryRun(options, context)
        return
      }
      const ranks = ranksOf(flags, options.device)
      const job = { kind: 'train' as const, options: input }
      const result = await followWatched(
        () => runInChild<RunResult>(job, { ranks }),
        options.run,
        flags,
        contextOfRank(ranks, context),
      )
      process.exitCode = exitCodeOf(result)
    },
  )
}

async function trainInput(
  dataset: string,
  configuration: string,
  fold: string,
  flags: TrainFlags,
  context: Context,
): Promise<TrainInput> {
  const tree = await trainingOptions(flags, context)
  const named = { dataset, configuration, fold: numberOrText(fold) }
  const { device, run, previousStage } = flags
  for (const [key, value] of Object.entries({ ...named, device, run, previousStage })) setAt(tree, key, value)
  if (flags.continue) setAt(tree, 'continue', true)
  return tree as unknown as TrainInput
}
