// voxgrad predict: segments a folder of images with a trained run.
import type { Command } from 'commander'
import { type PredictInput, parseOptions, predictOptionsSchema } from '../config/schema.js'
import { runInChild } from '../train/supervisor.js'
import { addCommonFlags, type CommonFlags, makeContext } from './context.js'
import { follow } from './follow.js'
import { numberOrText } from './options.js'
import { addDevicesFlag, contextOfRank, type RanksFlags, ranksOf } from './ranks.js'

interface PredictFlags extends RanksFlags, CommonFlags {
  input: string
  output: string
  run: string
  folds?: string
  checkpoint?: string
  previousStage?: string
  stepSize?: string
  mirroring: boolean
  saveProbabilities?: boolean
  continue?: boolean
  numParts?: string
  partId?: string
  device?: string
  threads?: string
}

export function addPredict(program: Command): void {
  const command = program
    .command('predict')
    .summary('Segment a folder of images.')
    .description(
      'Segments every case of a folder of images, named as nnU-Net has it (CASE_0000.nii.gz and so on), with the model ' +
        "of one fold or the mean of several, and writes CASE.nii.gz (or the images' own file type) on the original grid.",
    )
    .requiredOption('-i, --input <folder>', 'The folder of images.')
    .requiredOption('-o, --output <folder>', 'The folder for the segmentations; it is made if missing.')
    .requiredOption('--run <folder>', 'A run folder, .../fold_0, or its parent together with --folds.')
    .option('--folds <list>', 'Folds whose predictions are averaged, such as 0,1,2,3,4.')
    .option('--checkpoint <name>', 'final, best or latest (default: final).')
    .option('--previous-stage <folder>', "For a cascade: the previous stage's segmentations of the same cases.")
    .option('--step-size <share>', 'Distance of neighboring tiles as a share of the tile (default: 0.5).')
    .option('--no-mirroring', 'Predict once instead of averaging over mirrored images: faster, somewhat worse.')
    .option('--save-probabilities', 'Also write CASE.npz and CASE.pkl, which `voxgrad ensemble` needs.')
    .option('--continue', 'Leave out the cases whose files are there already.')
    .option('--num-parts <number>', 'How many processes share the cases (default: 1).')
    .option('--part-id <number>', 'Which of them this is, from 0 (default: 0).')
    .option('--device <device>', 'cpu, cuda or cuda:N (default: cpu).')
    .option('--threads <number>', 'Native threads (default: one for each processor that may be used).')
    .addHelpText(
      'after',
      `
Examples:
  voxgrad predict -i images -o predictions --run results/Dataset004_Hippocampus/voxgrad__nnUNetPlans__3d_fullres/fold_0
  voxgrad predict -i images -o predictions --run results/Dataset004_Hippocampus/voxgrad__nnUNetPlans__3d_fullres --folds 0,1,2
  CUDA_VISIBLE_DEVICES=1 voxgrad predict -i images -o predictions --run ... --device cuda --num-parts 2 --part-id 1`,
    )
  addDevicesFlag(command)
  addCommonFlags(command, []).action(async (flags: PredictFlags) => {
    const context = makeContext(flags)
    const numeric = (text: string | undefined) => (text === undefined ? undefined : numberOrText(text))
    const input = {
      input: flags.input,
      output: flags.output,
      run: flags.run,
      folds: flags.folds?.split(',').map((fold) => numberOrText(fold.trim())),
      checkpoint: flags.checkpoint,
      previousStage: flags.previousStage,
      stepSize: numeric(flags.stepSize),
      mirroring: flags.mirroring,
      saveProbabilities: flags.saveProbabilities,
      continue: flags.continue,
      numParts: numeric(flags.numParts),
      partId: numeric(flags.partId),
      device: flags.device,
      threads: numeric(flags.threads),
    } as PredictInput
    const { device } = parseOptions(predictOptionsSchema, input, 'options of predict')
    const ranks = ranksOf(flags, device)
    await follow(runInChild({ kind: 'predict', options: input }, { ranks }), contextOfRank(ranks, context))
  })
}
