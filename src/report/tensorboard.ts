// A run's curves as TensorBoard reads them: a file of records (TFRecord), each a tensorflow.Event that holds scalars.
// Formats: tensorflow/core/lib/io/record_writer.h, core/util/event.proto, core/framework/summary.proto.

import { open } from 'node:fs/promises'
import path from 'node:path'
import { diskFailure } from '../files.js'
import type { PlottedEpoch } from './plot.js'

/** The fields of an epoch line of metrics.jsonl that become scalars. */
export interface LoggedEpoch extends PlottedEpoch {
  dice_per_class: readonly (number | null)[]
  step_ms?: { p50: number; p95: number }
  memory?: { resident_bytes: number; device_bytes: number | null }
}

interface Scalars {
  /** Seconds since 1970. */
  wallTime: number
  step: number
  /** By tag; what is null or not finite has no value at this step. */
  values: Record<string, number | null | undefined>
}

// ---- a run's scalars

/**
 * One entry an epoch, at its last step.
 * @param startedAt when the run started, in seconds since 1970; epochs follow by their durations
 * @param labels names of the foreground labels or regions, in the order of dice_per_class
 */
export function scalarsOf(epochs: readonly LoggedEpoch[], startedAt: number, labels: readonly string[]): Scalars[] {
  let wallTime = startedAt
  return epochs.map((epoch) => {
    wallTime += epoch.seconds
    const dice = epoch.dice_per_class.map((value, index) => [`dice/${labels[index] ?? index + 1}`, value])
    return {
      wallTime,
      step: epoch.step,
      values: {
        'loss/training': epoch.train_loss,
        'loss/validation': epoch.val_loss,
        'dice/mean_foreground': epoch.mean_fg_dice,
        'dice/moving_average': epoch.ema_fg_dice,
        ...Object.fromEntries(dice),
        'training/learning_rate': epoch.lr,
        'training/epoch': epoch.epoch,
        'time/epoch_seconds': epoch.seconds,
        'time/step_ms_p50': epoch.step_ms?.p50,
        'time/step_ms_p95': epoch.step_ms?.p95,
        'memory/resident_bytes': epoch.memory?.resident_bytes,
        'memory/device_bytes': epoch.memory?.device_bytes,
      },
    }
  })
}

/** The whole file; that of more epochs begins with that of fewer. */
export function encodeEvents(startedAt: number, scalars: readonly Scalars[]): Buffer {
  const version = Buffer.concat([doubleField(1, startedAt), bytesField(3, Buffer.from('brain.Event:2'))])
  return Buffer.concat([record(version), ...scalars.map((entry) => record(encodeEvent(entry)))])
}

/**
 * Appends to a run's event file what it does not have yet. A file that is not the beginning of the curve (the run was
 * resumed from before its end) is written anew.
 * @throws VoxgradError ERR_DISK
 */
export async function writeEvents(
  runFolder: string,
  startedAt: number,
  epochs: readonly LoggedEpoch[],
  labels: readonly string[],
): Promise<void> {
  // TensorBoard looks for this word in the name, and takes files in the order of the number behind it.
  const file = path.join(runFolder, `events.out.tfevents.${Math.floor(startedAt)}.voxgrad`)
  const events = encodeEvents(startedAt, scalarsOf(epochs, startedAt, labels))
  try {
    const handle = await open(file, 'a+')
    try {
      const present = await handle.readFile()
      const goesOn = present.length <= events.length && present.equals(events.subarray(0, present.length))
      // Truncated and not replaced: a TensorBoard that has it open goes on reading this file.
      if (!goesOn) await handle.truncate(0)
      await handle.appendFile(events.subarray(goesOn ? present.length : 0))
    } finally {
      await handle.close()
    }
  } catch (error) {
    throw diskFailure(file, error)
  }
}

// ---- records and messages

function encodeEvent({ wallTime, step, values }: Scalars): Buffer {
  const summary = Object.entries(values).flatMap(([tag, value]) =>
    value === null || value === undefined || !Number.isFinite(value)
      ? []
      : [bytesField(1, Buffer.concat([bytesField(1, Buffer.from(tag)), floatField(2, value)]))],
  )
  return Buffer.concat([doubleField(1, wallTime), numberField(2, step), bytesField(5, Buffer.concat(summary))])
}

/** Length, its checksum, data, its checksum. */
function record(data: Buffer): Buffer {
  const header = Buffer.alloc(12)
  header.writeBigUInt64LE(BigInt(data.length))
  header.writeUInt32LE(maskedChecksum(header.subarray(0, 8)), 8)
  const footer = Buffer.alloc(4)
  footer.writeUInt32LE(maskedChecksum(data))
  return Buffer.concat([header, data, footer])
}

// Protocol buffers: a field's number and kind (0 number, 1 eight bytes, 2 bytes, 5 four bytes), then its value.
const key = (field: number, kind: number) => varint((field << 3) | kind)
const numberField = (field: number, value: number) => Buffer.concat([key(field, 0), varint(value)])
const bytesField = (field: number, value: Buffer) => Buffer.concat([key(field, 2), varint(value.length), value])

function doubleField(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleLE(value)
  return Buffer.concat([key(field, 1), bytes])
}

function floatField(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(value)
  return Buffer.concat([key(field, 5), bytes])
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128)
  return Buffer.from([...bytes, rest])
}

const checksums = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1
  return value
})

/** CRC-32C (Castagnoli), rotated and offset as TFRecord has it. */
function maskedChecksum(data: Buffer): number {
  let sum = 0xffffffff
  for (const byte of data) sum = (checksums[(sum ^ byte) & 255] as number) ^ (sum >>> 8)
  sum = ~sum >>> 0
  return (((sum >>> 15) | (sum << 17)) + 0xa282ead8) >>> 0
}
