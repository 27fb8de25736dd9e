// A picture of predictions: one row a case with image, truth and prediction side by side, labels in color.
import { createCanvas } from '@napi-rs/canvas'
import { writeFileAtomically } from '../files.js'
import { type Context, drawBitmap, font } from './canvas.js'
import {
  cropTo,
  cutSlice,
  foregroundBox,
  grayWindow,
  type Slice,
  smoothLabels,
  viewingAxis,
  viewingSlice,
} from './slices.js'

export interface OverlayCase {
  title: string
  /** One channel, (z, y, x). */
  image: Float32Array
  /** Label values on the same grid; undefined where there is no reference. */
  truth: Uint8Array | undefined
  prediction: Uint8Array
  shape: [number, number, number]
  /** Millimeters, (z, y, x). */
  spacing: [number, number, number]
}

const background = '#0b0f19'
const palette = ['#f97316', '#22d3ee', '#a3e635', '#e879f9', '#facc15', '#60a5fa', '#f87171', '#34d399']
const margin = 28
const gap = 14
const titleHeight = 30
const captionHeight = 34
const tileWidth = 300
const headHeight = 78

const colorOf = (label: number): string => palette[(label - 1) % palette.length] ?? '#ffffff'

/**
 * Writes a PNG with the columns image, truth and prediction. All cases are cut along one axis, each at the slice that
 * shows most foreground, and shown in millimeters; label outlines are smoothed for display, the Dice is the volume's.
 * @param names label values and their names, for legend and captions; without it the values themselves
 * @throws VoxgradError ERR_DISK
 */
export async function writeOverlay(
  file: string,
  cases: readonly OverlayCase[],
  names: ReadonlyMap<number, string> = new Map(),
): Promise<void> {
  const axis = viewingAxis(cases)
  const rows = cases.map((entry) => makeRow(entry, axis))
  const labels = [...new Set(cases.flatMap((entry) => presentLabels(entry)))].sort((a, b) => a - b)
  const nameOf = (label: number) => names.get(label) ?? `label ${label}`
  const width = 2 * margin + 3 * tileWidth + 2 * gap
  const height = headHeight + rows.reduce((sum, row) => sum + titleHeight + row.tileHeight + captionHeight, 0) + margin
  const canvas = drawBitmap(width, height, 2, (context) => {
    context.fillStyle = background
    context.fillRect(0, 0, width, height)
    drawLegend(context, width, labels, nameOf)
    let y = headHeight
    for (const row of rows) {
      drawRow(context, row, y, labels, nameOf)
      y += titleHeight + row.tileHeight + captionHeight
    }
  })
  await writeFileAtomically(file, await canvas.encode('png'))
}

interface Row {
  entry: OverlayCase
  image: Slice
  truth: Slice | undefined
  prediction: Slice
  tileHeight: number
  text: string
}

function makeRow(entry: OverlayCase, axis: number): Row {
  const index = viewingSlice(entry, axis)
  const cut = (volume: ArrayLike<number>) => cutSlice(volume, entry.shape, entry.spacing, axis, index)
  const prediction = cut(entry.prediction)
  const truth = entry.truth && cut(entry.truth)
  const box = foregroundBox(truth ? [truth, prediction] : [prediction])
  const image = cropTo(cut(entry.image), box)
  const millimeters = { width: image.width * image.spacing[1], height: image.height * image.spacing[0] }
  return {
    entry,
    image,
    truth: truth && cropTo(truth, box),
    prediction: cropTo(prediction, box),
    tileHeight: Math.round(Math.min(1.25, Math.max(0.5, millimeters.height / millimeters.width)) * tileWidth),
    text: `slice ${index} of ${entry.shape[axis]} along ${'zyx'[axis]}`,
  }
}

const presentLabels = (entry: OverlayCase): number[] =>
  [...new Set([...new Set(entry.truth ?? []), ...new Set(entry.prediction)])].filter((label) => label > 0)

function drawLegend(context: Context, width: number, labels: number[], nameOf: (label: number) => string): void {
  context.textBaseline = 'middle'
  context.font = font(15, 'bold')
  context.fillStyle = '#e5e7eb'
  context.textAlign = 'center'
  const columns = ['image', 'truth', 'prediction']
  columns.forEach((name, column) => {
    context.fillText(name, margin + column * (tileWidth + gap) + tileWidth / 2, headHeight - 12)
  })
  context.font = font(13)
  const widths = labels.map((label) => context.measureText(nameOf(label)).width + 44)
  let x = (width - widths.reduce((sum, value) => sum + value, -20)) / 2
  context.textAlign = 'left'
  labels.forEach((label, index) => {
    context.fillStyle = colorOf(label)
    context.beginPath()
    context.roundRect(x, 21, 16, 12, 3)
    context.fill()
    context.fillStyle = '#d1d5db'
    context.fillText(nameOf(label), x + 24, 27)
    x += widths[index] ?? 0
  })
}

function drawRow(context: Context, row: Row, y: number, labels: number[], nameOf: (label: number) => string): void {
  const { entry, tileHeight } = row
  context.textBaseline = 'middle'
  context.textAlign = 'left'
  context.fillStyle = '#f9fafb'
  context.font = font(13, 'bold')
  context.fillText(entry.title, margin, y + titleHeight / 2)
  const titleWidth = context.measureText(entry.title).width
  context.fillStyle = '#9ca3af'
  context.font = font(12)
  context.fillText(row.text, margin + titleWidth + 12, y + titleHeight / 2)

  const top = y + titleHeight
  const at = (column: number) => margin + column * (tileWidth + gap)
  const tile = (column: number, segmentation: Slice | undefined) => {
    context.drawImage(
      paintTile(row.image, segmentation, tileWidth * 2, tileHeight * 2),
      at(column),
      top,
      tileWidth,
      tileHeight,
    )
  }
  tile(0, undefined)
  tile(2, row.prediction)
  if (row.truth) tile(1, row.truth)
  else {
    context.fillStyle = '#111827'
    context.fillRect(at(1), top, tileWidth, tileHeight)
    context.fillStyle = '#6b7280'
    context.textAlign = 'center'
    context.fillText('no reference', at(1) + tileWidth / 2, top + tileHeight / 2)
  }
  if (entry.truth) drawDice(context, at(2) + tileWidth, top + tileHeight + 15, entry, labels, nameOf)
}

/** The Dice of each label, right-aligned, in the label's color; from the right, as many as fit. */
function drawDice(
  context: Context,
  right: number,
  y: number,
  entry: OverlayCase,
  labels: number[],
  nameOf: (label: number) => string,
): void {
  context.font = font(12)
  context.textAlign = 'left'
  const parts = labels.map((label) => {
    const dice = diceOf(entry.truth ?? new Uint8Array(), entry.prediction, label)
    const text = `${nameOf(label)} ${dice === undefined ? '-' : dice.toFixed(3)}`
    return { label, text, width: context.measureText(text).width + 16 }
  })
  const head = 'Dice  '
  const headWidth = context.measureText(head).width
  let x = right - parts.reduce((sum, part) => sum + part.width, -16) - headWidth
  context.fillStyle = '#9ca3af'
  context.fillText(head, x, y)
  x += headWidth
  for (const part of parts) {
    context.fillStyle = colorOf(part.label)
    context.fillText(part.text, x, y)
    x += part.width
  }
}

/** 2 |A and B| / (|A| + |B|) over the whole volume; undefined where the label is in neither. */
function diceOf(truth: Uint8Array, prediction: Uint8Array, label: number): number | undefined {
  let both = 0
  let sum = 0
  for (let index = 0; index < truth.length; index++) {
    const inTruth = truth[index] === label
    const inPrediction = prediction[index] === label
    if (inTruth && inPrediction) both++
    sum += Number(inTruth) + Number(inPrediction)
  }
  return sum === 0 ? undefined : (2 * both) / sum
}

/** The slice in gray with the labels laid over it: a light fill and a strong outline. */
function paintTile(image: Slice, segmentation: Slice | undefined, width: number, height: number) {
  const { low, high } = grayWindow(image.values)
  const small = createCanvas(image.width, image.height)
  const grays = small.getContext('2d').createImageData(image.width, image.height)
  image.values.forEach((value, index) => {
    const gray = Math.max(0, Math.min(255, ((value - low) / (high - low)) * 255))
    grays.data.set([gray, gray, gray, 255], index * 4)
  })
  small.getContext('2d').putImageData(grays, 0, 0)
  const canvas = createCanvas(width, height)
  const context = canvas.getContext('2d')
  // The slice keeps its proportions in millimeters; the rest of the tile stays dark.
  const scale = Math.min(width / (image.width * image.spacing[1]), height / (image.height * image.spacing[0]))
  const shown = {
    width: Math.round(image.width * image.spacing[1] * scale),
    height: Math.round(image.height * image.spacing[0] * scale),
  }
  const left = Math.floor((width - shown.width) / 2)
  const top = Math.floor((height - shown.height) / 2)
  context.fillStyle = '#000000'
  context.fillRect(0, 0, width, height)
  context.imageSmoothingQuality = 'high'
  context.drawImage(small, left, top, shown.width, shown.height)
  if (!segmentation) return canvas

  const labels = smoothLabels(segmentation, shown.width, shown.height)
  const pixels = context.getImageData(left, top, shown.width, shown.height)
  const outline = 2
  for (let y = 0; y < shown.height; y++) {
    for (let x = 0; x < shown.width; x++) {
      const index = y * shown.width + x
      const label = labels[index] ?? 0
      if (label === 0) continue
      const differs = (dx: number, dy: number) => {
        const [nx, ny] = [x + dx, y + dy]
        return nx < 0 || ny < 0 || nx >= shown.width || ny >= shown.height || labels[ny * shown.width + nx] !== label
      }
      const edge = differs(-outline, 0) || differs(outline, 0) || differs(0, -outline) || differs(0, outline)
      const share = edge ? 0.95 : 0.28
      const color = Number.parseInt(colorOf(label).slice(1), 16)
      for (let channel = 0; channel < 3; channel++) {
        const tint = (color >> (16 - 8 * channel)) & 255
        const at = index * 4 + channel
        pixels.data[at] = (pixels.data[at] ?? 0) * (1 - share) + tint * share
      }
    }
  }
  context.putImageData(pixels, left, top)
  return canvas
}
