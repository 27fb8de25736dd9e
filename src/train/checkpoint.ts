// What a checkpoint holds besides weights and optimizer: nnU-Net's keys, and voxgrad's own state under one key.
import { z } from 'zod'
import { VoxgradError } from '../errors.js'
import type { EpochCurve, EpochLine } from './events.js'
import { finiteOrNull, initialState, type PolicyState } from './policy.js'

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

/** Adds an epoch to the lists themselves: a copy of them every epoch would be garbage that grows with the run. */
export function logEpoch(logging: Logging, line: EpochLine, startedAt: number, endedAt: number): void {
  // Python has NaN where JSON has null.
  const number = (value: number | null) => value ?? Number.NaN
  logging.mean_fg_dice.push(number(line.mean_fg_dice))
  logging.ema_fg_dice.push(number(line.ema_fg_dice))
  logging.dice_per_class_or_region.push(line.dice_per_class.map(number))
  logging.train_losses.push(number(line.train_loss))
  logging.val_losses.push(number(line.val_loss))
  logging.lrs.push(line.lr)
  logging.epoch_start_timestamps.push(startedAt)
  logging.epoch_end_timestamps.push(endedAt)
}

/** What nnU-Net needs to build the network and to continue the training. */
export interface CheckpointContext {
  plans: object
  datasetJson: object
  configuration: string
  fold: number | 'all'
  device: string
  /** nnU-Net's class. */
  trainer: string
  mirrorAxes: number[]
  runId: string
  seed: string
  versions: Record<string, string>
}

const stateSchema = z.object({
  format: z.literal(1),
  runId: z.string(),
  seed: z.string(),
  state: z.object({
    epoch: z.int(),
    step: z.int(),
    partial: z.object({
      steps: z.int(),
      lossSum: z.number(),
      finiteSteps: z.int(),
      skippedSteps: z.int(),
      seconds: z.number(),
      stepMs: z.array(z.number()),
      dataMs: z.array(z.number()),
      startedAt: z.number().nullable(),
    }),
    best: z.object({
      ema: z.number().nullable(),
      labelEma: z.number().nullable(),
      best: z.number().nullable(),
      bestEpoch: z.int().nullable(),
    }),
    patience: z.object({ reference: z.number().nullable(), epochs: z.int() }),
    annealing: z.object({ from: z.int(), steps: z.int() }).nullable(),
    stoppedEarly: z.boolean(),
    nonFinite: z.object({ inARow: z.int(), redraws: z.int(), reloads: z.int(), failedAt: z.int() }),
    noted: z.array(z.enum(['rising_val_loss', 'growing_memory', 'slow_data'])),
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
  const { plans, datasetJson, configuration, fold, device, trainer, mirrorAxes, runId, seed, versions } = context
  return {
    grad_scaler_state: null,
    logging,
    _best_ema: bestEma(logging),
    current_epoch: state.epoch,
    init_args: { plans, configuration, fold, dataset_json: datasetJson, device },
    trainer_name: trainer,
    // nnU-Net takes None for "no mirroring" and fails on an empty tuple.
    inference_allowed_mirroring_axes: mirrorAxes.length > 0 ? mirrorAxes : null,
    voxgrad: JSON.stringify({ format: 1, runId, seed, versions, state }),
  }
}

/** Whatever the metric is, nnU-Net compares this one. */
function bestEma({ ema_fg_dice }: Logging): number | null {
  const known = ema_fg_dice.filter(Number.isFinite)
  return known.length === 0 ? null : Math.max(...known)
}

/** What a checkpoint says about the run. */
export interface CheckpointState {
  state: PolicyState
  logging: Logging
  /** null in a checkpoint of nnU-Net. */
  runId: string | null
}

/**
 * The way back from the entries that loading a checkpoint gives; also from nnU-Net's own, which know epochs only.
 * @param stepsPerEpoch of a run of nnU-Net
 * @throws VoxgradError ERR_CHECKPOINT if it is neither
 */
export function readCheckpointEntries(
  entries: Record<string, unknown>,
  file: string,
  stepsPerEpoch: number,
): CheckpointState {
  if (typeof entries.voxgrad !== 'string') return readNnunetEntries(entries, file, stepsPerEpoch)
  const parsed = stateSchema.safeParse(JSON.parse(entries.voxgrad))
  if (!parsed.success) {
    const fields = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`)
    throw new VoxgradError('ERR_CHECKPOINT', {
      where: file,
      required: 'a readable state under the key "voxgrad"',
      found: fields.join('; '),
    })
  }
  return { state: parsed.data.state, logging: entries.logging as Logging, runId: parsed.data.runId }
}

const nnunetSchema = z.object({
  current_epoch: z.int(),
  _best_ema: z.number().nullable(),
  logging: z.object(
    Object.fromEntries(Object.keys(emptyLogging()).map((name) => [name, z.array(z.unknown())])) as Record<
      keyof Logging,
      z.ZodArray<z.ZodUnknown>
    >,
  ),
})

/** A run of nnU-Net as far as its checkpoint knows it (nnUNetTrainer.load_checkpoint). */
function readNnunetEntries(entries: Record<string, unknown>, file: string, stepsPerEpoch: number): CheckpointState {
  const parsed = nnunetSchema.safeParse(entries)
  if (!parsed.success) {
    throw new VoxgradError('ERR_CHECKPOINT', {
      where: file,
      required: 'a checkpoint of voxgrad or nnU-Net (current_epoch, _best_ema, logging)',
      found: `only ${Object.keys(entries).join(', ')}`,
    })
  }
  const { current_epoch: epoch, _best_ema: best } = parsed.data
  const whole = parsed.data.logging as unknown as Logging
  // nnU-Net adds to some lists before an epoch ends; a save in between leaves them longer.
  const logging = Object.fromEntries(
    Object.entries(whole).map(([name, values]) => [name, values.slice(0, epoch)]),
  ) as unknown as Logging
  const ema = logging.ema_fg_dice.findLast(Number.isFinite) ?? null
  const bestEpoch = best === null ? null : logging.ema_fg_dice.findLastIndex((value) => value >= best)
  const state: PolicyState = {
    ...initialState,
    epoch,
    step: epoch * stepsPerEpoch,
    best: { ema, labelEma: null, best, bestEpoch: bestEpoch === -1 ? null : bestEpoch },
    savedEpoch: epoch,
  }
  return { state, logging, runId: null }
}

/** Epoch lines as the logging of a checkpoint tells them, for a run whose metrics.jsonl does not have them. */
export function epochCurveOf(logging: Logging, stepsPerEpoch: number): EpochCurve[] {
  return logging.train_losses.map((loss, epoch) => {
    const at = (values: number[]) => finiteOrNull(values[epoch] as number)
    return {
      type: 'epoch',
      epoch,
      step: (epoch + 1) * stepsPerEpoch,
      lr: logging.lrs[epoch] as number,
      train_loss: finiteOrNull(loss),
      val_loss: at(logging.val_losses),
      dice_per_class: (logging.dice_per_class_or_region[epoch] as number[]).map(finiteOrNull),
      mean_fg_dice: at(logging.mean_fg_dice),
      ema_fg_dice: at(logging.ema_fg_dice),
      seconds: (logging.epoch_end_timestamps[epoch] as number) - (logging.epoch_start_timestamps[epoch] as number),
    }
  })
}
