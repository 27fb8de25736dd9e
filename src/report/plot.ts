// The progress chart of a run: nnU-Net's three panels (losses and pseudo-Dice, epoch duration, learning rate).
import path from 'node:path'
import { writeFileAtomically } from '../files.js'
import { type Box, drawAxes, drawLegend, drawSeries, drawTitle, finite, makeScale, type Series } from './axes.js'
import { type Context, drawBitmap, drawSvg, font } from './canvas.js'
import { formatDuration } from './format.js'

/** The fields of an epoch line of metrics.jsonl that the chart shows; null is a gap. */
export interface PlottedEpoch {
  /** From 0. */
  epoch: number
  step: number
  lr: number
  train_loss: number | null
  val_loss: number | null
  mean_fg_dice: number | null
  ema_fg_dice: number | null
  seconds: number
}

const width = 1200
const height = 1240
const panel = (y: number, panelHeight: number): Box => ({ x: 100, y, width: width - 100 - 84, height: panelHeight })

/**
 * Writes progress.svg and progress.png into a folder, each replaced at once.
 * After nnU-Net, training/logging/nnunet_logger.py, plot_progress_png.
 * @param epochs in order; may be empty
 * @throws VoxgradError ERR_DISK
 */
export async function writeProgress(folder: string, epochs: readonly PlottedEpoch[]): Promise<void> {
  const draw = (context: Context) => drawProgress(context, epochs)
  await writeFileAtomically(path.join(folder, 'progress.svg'), drawSvg(width, height, draw))
  await writeFileAtomically(path.join(folder, 'progress.png'), await drawBitmap(width, height, 1.5, draw).encode('png'))
}

/** More points than this cannot be told apart, and would make drawing slower the longer a run is. */
const mostPoints = 500

/** At most so many points: means over neighboring epochs, where there are more. */
function thinned(epochs: readonly PlottedEpoch[]): readonly PlottedEpoch[] {
  const size = Math.ceil(epochs.length / mostPoints)
  if (size <= 1) return epochs
  return Array.from({ length: Math.ceil(epochs.length / size) }, (_, i) => {
    const group = epochs.slice(i * size, (i + 1) * size)
    const mean = (values: readonly (number | null)[]) => {
      const known = finite(values)
      return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length
    }
    return {
      ...(group.at(-1) as PlottedEpoch),
      train_loss: mean(group.map((line) => line.train_loss)),
      val_loss: mean(group.map((line) => line.val_loss)),
      mean_fg_dice: mean(group.map((line) => line.mean_fg_dice)),
      seconds: mean(group.map((line) => line.seconds)) as number,
    }
  })
}

function drawProgress(context: Context, allEpochs: readonly PlottedEpoch[]): void {
  context.fillStyle = '#ffffff'
  context.fillRect(0, 0, width, height)
  drawHeading(context, allEpochs)
  const epochs = thinned(allEpochs)
  const positions = epochs.map((line) => line.epoch)
  const first = positions[0] ?? 0
  const last = positions.at(-1) ?? 0
  const room = first === last ? 0.5 : 0
  const x = makeScale(positions, 10, { low: first - room, high: last + room, integer: true })
  const show = (box: Box, series: Series[]) => {
    for (const entry of series) drawSeries(context, box, x, positions, entry)
  }
  const thin = epochs.length > 300

  const losses = panel(130, 470)
  const lossValues = [...finite(epochs.map((line) => line.train_loss)), ...finite(epochs.map((line) => line.val_loss))]
  const loss = makeScale(lossValues, 8)
  const dice = makeScale([], 5, { low: 0, high: 1 })
  const lines: Series[] = [
    { label: 'training loss', color: '#2563eb', values: epochs.map((e) => e.train_loss), scale: loss, width: 1.8 },
    { label: 'validation loss', color: '#dc2626', values: epochs.map((e) => e.val_loss), scale: loss, width: 1.8 },
    {
      label: 'pseudo-Dice',
      color: '#16a34a',
      values: epochs.map((e) => e.mean_fg_dice),
      scale: dice,
      width: 1.2,
      opacity: thin ? 0.45 : 0.8,
      ...(thin ? {} : { dash: [3, 3] }),
    },
    {
      label: 'pseudo-Dice, moving average',
      color: '#15803d',
      values: epochs.map((e) => e.ema_fg_dice),
      scale: dice,
      width: 2.6,
    },
  ]
  const axisTitle = { xTitle: 'epoch', leftTitle: 'loss' }
  drawAxes(context, losses, { x, left: loss, right: dice, ...axisTitle, rightTitle: 'mean foreground pseudo-Dice' })
  drawTitle(context, losses, 'Loss and pseudo-Dice')
  drawLegend(context, losses, lines)
  show(losses, lines)

  const durations = panel(708, 170)
  const seconds = makeScale(
    epochs.map((line) => line.seconds),
    4,
    { low: 0 },
  )
  drawAxes(context, durations, { x, left: seconds, xTitle: 'epoch', leftTitle: 'duration (s)' })
  drawTitle(context, durations, 'Duration of an epoch')
  show(durations, [{ label: '', color: '#7c3aed', values: epochs.map((e) => e.seconds), scale: seconds, width: 1.8 }])

  const rates = panel(988, 170)
  const rate = makeScale(
    epochs.map((line) => line.lr),
    4,
    { low: 0 },
  )
  drawAxes(context, rates, { x, left: rate, xTitle: 'epoch', leftTitle: 'learning rate' })
  drawTitle(context, rates, "Learning rate at the epoch's first step")
  show(rates, [{ label: '', color: '#b45309', values: epochs.map((e) => e.lr), scale: rate, width: 1.8 }])
}

function drawHeading(context: Context, epochs: readonly PlottedEpoch[]): void {
  context.textAlign = 'left'
  context.textBaseline = 'middle'
  context.fillStyle = '#111827'
  context.font = font(24, 'bold')
  context.fillText('Training progress', 100, 40)
  const last = epochs.at(-1)
  if (!last) return
  const seconds = epochs.reduce((sum, line) => sum + line.seconds, 0)
  let best: PlottedEpoch | undefined
  for (const line of epochs) {
    if (line.ema_fg_dice !== null && line.ema_fg_dice > (best?.ema_fg_dice ?? Number.NEGATIVE_INFINITY)) best = line
  }
  const done = `${epochs.length} epoch${epochs.length === 1 ? '' : 's'}, ${last.step.toLocaleString('en-US')} steps`
  const bestText = best ? `; best moving average ${best.ema_fg_dice?.toFixed(3)} in epoch ${best.epoch}` : ''
  context.fillStyle = '#6b7280'
  context.font = font(15)
  context.fillText(`${done} in ${formatDuration(seconds)}${bestText}`, 100, 72)
}
