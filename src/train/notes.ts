// Remarks that a run makes once, when its curves or its resources show something that people ask about.
import type { Logging } from './checkpoint.js'
import type { EpochLine } from './events.js'

/** A remark is made once a run; its name remembers that. */
export type NoteName = 'rising_val_loss' | 'growing_memory' | 'slow_data'

export interface Note {
  name: NoteName
  text: string
}

const smoothingEpochs = 5
const risingEpochs = 10
/** In units of the loss, whose range is about 2. */
const risenLoss = 0.02
const heldDice = 0.005

/**
 * Explains a validation loss that has risen since its lowest point while the pseudo-Dice holds. Both are means over
 * five epochs; the lowest point lies at least ten epochs back.
 */
export function noteRisingValLoss({ val_losses, ema_fg_dice }: Logging): Note | null {
  const losses = movingMean(val_losses, smoothingEpochs)
  const lowest = losses.lastIndexOf(Math.min(...losses))
  const now = losses.length - 1
  if (lowest < 0 || now - lowest < risingEpochs) return null
  const [lowestLoss, loss] = [losses[lowest] as number, losses[now] as number]
  const [diceThen, dice] = [ema_fg_dice[lowest + smoothingEpochs - 1] as number, ema_fg_dice.at(-1) as number]
  if (!(loss - lowestLoss >= risenLoss && dice >= diceThen - heldDice)) return null
  const at = (value: number) => value.toFixed(3)
  return {
    name: 'rising_val_loss',
    text:
      `The validation loss has risen from ${at(lowestLoss)} (around epoch ${lowest + smoothingEpochs}) to ${at(loss)}, while the pseudo-Dice ` +
      `holds (${at(diceThen)} then, ${at(dice)} now). The network grows surer of its errors, not worse at segmenting: ` +
      'checkpoint_best follows the Dice. To follow the loss instead, set bestModel.metric to val_loss.',
  }
}

/** Means over windows of a fixed length; entry i covers the values i to i + length - 1. */
function movingMean(values: readonly number[], length: number): number[] {
  const windows = Math.max(0, values.length - length + 1)
  return Array.from({ length: windows }, (_, i) => values.slice(i, i + length).reduce((sum, x) => sum + x, 0) / length)
}

const megabyte = 2 ** 20
/** Epochs that are looked at; resident memory settles in the first ones. */
export const resourceWindow = 60
const growth = { bytes: 300 * megabyte, share: 0.2 }

/**
 * Warns of resident memory that grows from third to third of the last 60 epochs, by more than 300 MiB and a fifth in all.
 * @param recent the last epoch lines of this process
 */
export function noteGrowingMemory(recent: readonly EpochLine[]): Note | null {
  if (recent.length < resourceWindow) return null
  const third = resourceWindow / 3
  const resident = recent.slice(-resourceWindow).map(({ memory }) => memory.resident_bytes)
  // The lowest of each third: what was only needed for a while does not count.
  const lows = [0, 1, 2].map((i) => Math.min(...resident.slice(i * third, (i + 1) * third))) as [number, number, number]
  const [first, middle, last] = lows
  if (!(middle > first && last > middle && last - first > Math.max(growth.bytes, growth.share * first))) return null
  const perEpoch = (last - first) / (2 * third)
  const inMegabytes = (bytes: number) => `${Math.round(bytes / megabyte)} MiB`
  const last_line = recent.at(-1) as EpochLine
  const others = `${last_line.threads} threads and ${last_line.file_descriptors} open files`
  return {
    name: 'growing_memory',
    text:
      `Resident memory grew from ${inMegabytes(first)} to ${inMegabytes(last)} in ${resourceWindow} epochs (${inMegabytes(perEpoch)} an epoch; ${others}). ` +
      'The cases are in memory from the start, so this is a leak: please report it. The run can be stopped and resumed, which frees the memory.',
  }
}

const slowShare = 0.5
const slowEpochs = 3

/** Warns where making the batch takes more than half of a step in three epochs in a row. */
export function noteSlowData(recent: readonly EpochLine[]): Note | null {
  const last = recent.slice(-slowEpochs)
  if (last.length < slowEpochs || last.some(({ data_ms, step_ms }) => data_ms.p50 <= slowShare * step_ms.p50))
    return null
  const { data_ms, step_ms } = last.at(-1) as EpochLine
  return {
    name: 'slow_data',
    text:
      `Drawing and augmenting a batch takes ${Math.round(data_ms.p50)} of the ${Math.round(step_ms.p50)} ms of a step: the network waits for its data. ` +
      'More threads (--threads), a smaller share of rotated and scaled patches (augmentation.rotationProbability, augmentation.scalingProbability) or a GPU shorten that.',
  }
}
