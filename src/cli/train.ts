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

interface TrainFlags extends RanksFlags, CommonFlags, BudgetFlags, WatchFlags {
  plans?: string
  device?: string
  seed?: string
  run?: string
  pretrained?: string
  previousStage?: string
  patience?: string
  onPlateau?: string
  continue?: boolean
  threads?: string
  deterministic?: boolean
  saveProbabilities?: boolean
  set?: string[]
  config?: string
  dryRun?: boolean
  devices?: string
}

/** Flags with the place of their value in the options; numbers are read as such. */
const textFlags: [keyof TrainFlags, string][] = [
  ['plans', 'plans'],
  ['device', 'device'],
  ['seed', 'seed'],
  ['run', 'run'],
  ['pretrained', 'pretrained'],
  ['previousStage', 'previousStage'],
  ['onPlateau', 'earlyStopping.onPlateau'],
]
const numberFlags: (readonly [keyof TrainFlags, string])[] = [
  ...budgetFlags,
  ['patience', 'earlyStopping.patience'],
  ['threads', 'threads'],
]

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
    .option('--plans <name>', 'The plans file, without .json (default: nnUNetPlans).')
    .option('--device <device>', 'cpu, cuda or cuda:N (default: cpu).')
    .option('--seed <number>', 'Seed of everything random (default: 12345).')
    .option('--run <folder>', 'The run folder, in place of the one below the results root.')
    .option('--pretrained <file>', "Start from a checkpoint's weights, all but the segmentation layers.")
    .option(
      '--previous-stage <folder>',
      "For a cascade: segmentations of the previous stage, in place of its model's predicted_next_stage.",
    )
    .option(
      '--patience <epochs>',
      'End after so many epochs without improvement: a number, short (10), medium (30) or long (50).',
    )
    .option('--on-plateau <what>', 'stop, or anneal: bring the learning rate down to 0 first (default: stop).')
    .option('--continue', 'Resume the run if its folder holds one, and start it otherwise.')
    .option('--threads <number>', 'Native threads (default: one for each processor that may be used).')
    .option('--deterministic', 'Make CUDA reproducible, at some cost in speed. The CPU always is.')
    .option('--save-probabilities', "Save the validation's probabilities (nnU-Net's --npz), which ensembles need.")
    .option('--set <key=value>', 'Set any other option, such as optimizer.initialLr=0.02. May be repeated.', collect)
    .option('--config <file>', 'A YAML file of options. --set wins over it, and flags win over both.')
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
  addBudgetFlags(command, { epochs: '1000', stepsPerEpoch: '250', valSteps: '50' })
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
  const tree: OptionTree = { dataset, configuration, fold: numberOrText(fold), folders: context.folderOptions }
  for (const [flag, place] of textFlags) setAt(tree, place, flags[flag])
  setNumbers(tree, flags, numberFlags)
  if (flags.continue) setAt(tree, 'continue', true)
  if (flags.saveProbabilities) setAt(tree, 'validation.saveProbabilities', true)
  if (flags.deterministic) setAt(tree, 'deterministic', true)
  const file = flags.config === undefined ? {} : await readConfigFile(flags.config)
  return overlay(overlay(file, readAssignments(flags.set ?? [])), tree) as unknown as TrainInput
}
