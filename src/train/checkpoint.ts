// What a checkpoint holds besides weights and optimizer: nnU-Net's keys, and voxgrad's own state under one key.
import { z } from 'zod'
import { VoxgradError } from '../errors.js'
import type { EpochLine } from './events.js'
import type { PolicyState } from './policy.js'

/** nnU-Net's logger: one entry per finished epoch in each list. */
export interface Logging {
  mean_fg_dice: number[]
  ema_fg_dice: number[]
  dice_per_class_or_region: number[][]
  train_losses: number[]
  val_losses: number[]
  lrs: number[]
  epoch_start_timestamps: number[]
  epoch_end_timestamps: number[]
}

export const emptyLogging = (): Logging => ({
  mean_fg_dice: [],
  ema_fg_dice: [],
  dice_per_class_or_region: [],
  train_losses: [],
  val_losses: [],
  lrs: [],
  epoch_start_timestamps: [],
  epoch_end_timestamps: [],
})

/** Adds an epoch. Python has NaN, so null becomes NaN again. */
export function logEpoch(logging: Logging, line: EpochLine, startedAt: number, endedAt: number): Logging {
  const number = (value: number | null) => value ?? Number.NaN
  return {
    mean_fg_dice: [...logging.mean_fg_dice, number(line.mean_fg_dice)],
    ema_fg_dice: [...logging.ema_fg_dice, number(line.ema_fg_dice)],
    dice_per_class_or_region: [...logging.dice_per_class_or_region, line.dice_per_class.map(number)],
    train_losses: [...logging.train_losses, number(line.train_loss)],
    val_losses: [...logging.val_losses, number(line.val_loss)],
    lrs: [...logging.lrs, line.lr],
    epoch_start_timestamps: [...logging.epoch_start_timestamps, startedAt],
    epoch_end_timestamps: [...logging.epoch_end_timestamps, endedAt],
  }
}

/** What nnU-Net needs to build the network and to continue the training. */
export interface CheckpointContext {
  plans: object
  datasetJson: object
  configuration: string
  fold: number | 'all'
  device: string
  mirrorAxes: number[]
  seed: string
  versions: Record<string, string>
}

const stateSchema = z.object({
  format: z.literal(1),
  seed: z.string(),
  state: z.object({
    epoch: z.int(),
    step: z.int(),
    partial: z.object({
      steps: z.int(),
      lossSum: z
        .number()
        .nullable()
        .transform((sum) => sum ?? Number.NaN),
      seconds: z.number(),
      stepMs: z.array(z.number()),
      startedAt: z.number().nullable(),
    }),
    best: z.object({ ema: z.number().nullable(), best: z.number().nullable() }),
    savedEpoch: z.int(),
  }),
})

/**
 * All entries but network_weights and optimizer_state (nnUNetTrainer.save_checkpoint). voxgrad's state is JSON text, so
 * that Python reads the file with nothing of voxgrad installed.
 */
export function checkpointEntries(
  context: CheckpointContext,
  state: PolicyState,
  logging: Logging,
): Record<string, unknown> {
  const { plans, datasetJson, configuration, fold, device, mirrorAxes, seed, versions } = context
  return {
    grad_scaler_state: null,
    logging,
    _best_ema: state.best.best,
    current_epoch: state.epoch,
    init_args: { plans, configuration, fold, dataset_json: datasetJson, device },
    trainer_name: 'nnUNetTrainer',
    // nnU-Net takes None for "no mirroring" and fails on an empty tuple.
    inference_allowed_mirroring_axes: mirrorAxes.length > 0 ? mirrorAxes : null,
    voxgrad: JSON.stringify({ format: 1, seed, versions, state }),
  }
}

/**
 * The way back from the entries that loading a checkpoint gives.
 * @throws VoxgradError ERR_CHECKPOINT if voxgrad's own state is not in it
 */
export function readCheckpointEntries(
  entries: Record<string, unknown>,
  file: string,
): { state: PolicyState; logging: Logging } {
  if (typeof entries.voxgrad !== 'string') {
    throw new VoxgradError(
      'ERR_CHECKPOINT',
      `${file}: expected a checkpoint of voxgrad with the key "voxgrad"; found only ${Object.keys(entries).join(', ')}`,
    )
  }
  const parsed = stateSchema.safeParse(JSON.parse(entries.voxgrad))
  if (!parsed.success) {
    const fields = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`)
    throw new VoxgradError(
      'ERR_CHECKPOINT',
      `${file}: the state under the key "voxgrad" is not readable: ${fields.join('; ')}`,
    )
  }
  return { state: parsed.data.state, logging: entries.logging as Logging }
}
