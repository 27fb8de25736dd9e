// A run's epochs as a table for spreadsheets and other tools: metrics.csv.
import path from 'node:path'
import { writeFileAtomically } from '../files.js'
import type { LoggedEpoch } from './tensorboard.js'

/**
 * Writes metrics.csv into a run's folder: a line an epoch, one column for each class; what has no value is empty.
 * @throws VoxgradError ERR_DISK
 */
export async function writeCsv(
  runFolder: string,
  epochs: readonly LoggedEpoch[],
  labels: readonly string[],
): Promise<void> {
  const columns: Record<string, (epoch: LoggedEpoch) => number | null | undefined> = {
    epoch: ({ epoch }) => epoch,
    step: ({ step }) => step,
    lr: ({ lr }) => lr,
    train_loss: ({ train_loss }) => train_loss,
    val_loss: ({ val_loss }) => val_loss,
    mean_fg_dice: ({ mean_fg_dice }) => mean_fg_dice,
    ema_fg_dice: ({ ema_fg_dice }) => ema_fg_dice,
    ...Object.fromEntries(
      labels.map((label, index) => [`dice ${label}`, ({ dice_per_class }: LoggedEpoch) => dice_per_class[index]]),
    ),
    seconds: ({ seconds }) => seconds,
    step_ms_p50: ({ step_ms }) => step_ms?.p50,
    step_ms_p95: ({ step_ms }) => step_ms?.p95,
    resident_bytes: ({ memory }) => memory?.resident_bytes,
    device_bytes: ({ memory }) => memory?.device_bytes,
  }
  const rows = epochs.map((epoch) => Object.values(columns).map((value) => value(epoch) ?? ''))
  const text = [Object.keys(columns).map(quoted), ...rows].map((row) => `${row.join(',')}\n`).join('')
  await writeFileAtomically(path.join(runFolder, 'metrics.csv'), text)
}

/** RFC 4180: quoted where a comma, a quote or a line break would be misread. */
const quoted = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)
