// A trained model folder, of voxgrad or nnU-Net: plans, dataset.json, and the checkpoints of the folds to use.
import { existsSync } from 'node:fs'
import path from 'node:path'
import { networkOfTrainer } from '../config/nnunet-trainer.js'
import type { CheckpointName, Fold, TrainOptions } from '../config/schema.js'
import { type DatasetJson, readDatasetJson } from '../dataset/dataset-json.js'
import type { ReaderName } from '../dataset/readers.js'
import { VoxgradError } from '../errors.js'
import { native } from '../native/load.js'
import { type Configuration, type Plans, readPlans, resolveConfiguration } from '../plan/plans.js'

export interface Model {
  /** Holds dataset.json and plans.json. */
  folder: string
  dataset: DatasetJson
  plans: Plans
  configuration: Configuration
  /** The plans' image_reader_writer. */
  reader: ReaderName
  /** One checkpoint file a fold. */
  checkpoints: string[]
  /** Axes that training mirrored. */
  mirrorAxes: number[]
  /** What the trainer changed of the plans' network. */
  network: TrainOptions['network']
}

/** Where dataset.json and plans.json lie: beside a folder fold_N, as nnU-Net has it, else in the run folder itself. */
export function modelFolderOf(runFolder: string): string {
  return /^fold_(\d+|all)$/.test(path.basename(runFolder)) ? path.dirname(runFolder) : runFolder
}

/**
 * Opens a trained model.
 * @param run a fold folder, or its parent together with `folds`
 * @throws VoxgradError ERR_RUN naming every checkpoint that is missing; ERR_CHECKPOINT, ERR_FORMAT
 */
export async function openModel(run: string, folds: Fold[] | undefined, checkpoint: CheckpointName): Promise<Model> {
  const resolved = path.resolve(run)
  const runFolders = folds ? folds.map((fold) => path.join(resolved, `fold_${fold}`)) : [resolved]
  const checkpoints = runFolders.map((folder) => path.join(folder, `checkpoint_${checkpoint}.pth`))
  const missing = checkpoints.filter((file) => !existsSync(file))
  if (missing.length > 0) {
    throw new VoxgradError('ERR_RUN', {
      required: 'a trained fold folder for --run, or its parent together with --folds',
      found: `that these files are missing:\n${missing.map((file) => `  ${file}`).join('\n')}`,
      remedy: 'Finish the training with `voxgrad resume`, or choose another --checkpoint (final, best, latest).',
    })
  }
  const folder = folds ? resolved : modelFolderOf(resolved)
  const plans = await readPlans(path.join(folder, 'plans.json'))
  const dataset = await readDatasetJson(path.join(folder, 'dataset.json'))
  const entries = (await native().readTorchFile(checkpoints[0] as string)) as {
    init_args: { configuration: string }
    inference_allowed_mirroring_axes?: number[] | null
    trainer_name?: string
  }
  return {
    folder,
    dataset,
    plans,
    configuration: resolveConfiguration(plans, entries.init_args.configuration),
    reader: plans.image_reader_writer as ReaderName,
    checkpoints,
    mirrorAxes: entries.inference_allowed_mirroring_axes ?? [],
    network: networkOfTrainer(entries.trainer_name),
  }
}
