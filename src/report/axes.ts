// One chart panel: scales with round tick values, grid, axis titles, lines with gaps, and a legend.
import { type Context, font } from './canvas.js'

const ink = '#1f2937'
const muted = '#6b7280'
const grid = '#e5e7eb'

export interface Box {
  x: number
  y: number
  width: number
  height: number
}

export interface Scale {
  low: number
  high: number
  ticks: number[]
  format: (value: number) => string
}

export interface Series {
  label: string
  color: string
  /** null breaks the line. */
  values: (number | null)[]
  scale: Scale
  width: number
  dash?: number[]
  opacity?: number
}

/** The finite ones of some numbers. */
export const finite = (values: readonly (number | null)[]): number[] =>
  values.filter((value): value is number => value !== null && Number.isFinite(value))

/**
 * A scale that covers the values with about `count` round ticks (1, 2, 2.5 or 5 times a power of ten).
 * `low` and `high` pin an end.
 */
export function makeScale(
  values: number[],
  count: number,
  options: { low?: number; high?: number; integer?: boolean } = {},
): Scale {
  let low = options.low ?? Math.min(...(values.length > 0 ? values : [0]))
  let high = options.high ?? Math.max(...(values.length > 0 ? values : [1]))
  if (high - low < 1e-12) {
    const room = Math.max(Math.abs(high) * 0.1, options.integer ? 1 : 1e-6)
    if (options.high === undefined) high += room
    if (options.low === undefined) low -= room
  }
  const rough = (high - low) / count
  const power = 10 ** Math.floor(Math.log10(rough))
  const factor = [1, 2, 2.5, 5, 10].find((candidate) => candidate * power >= rough * 0.999) ?? 10
  const step = options.integer ? Math.max(1, Math.round(factor * power)) : factor * power
  if (options.low === undefined) low = Math.floor(low / step + 1e-9) * step
  if (options.high === undefined) high = Math.ceil(high / step - 1e-9) * step
  const ticks: number[] = []
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high + step * 1e-6; index++) {
    // + 0 makes 0 of -0.
    ticks.push(index * step + 0)
  }
  let decimals = 0
  while (decimals < 10 && Math.abs(step * 10 ** decimals - Math.round(step * 10 ** decimals)) > 1e-6) decimals++
  const format = (value: number) => {
    const text = value.toFixed(decimals)
    return Number(text) === 0 ? text.replace('-', '') : text
  }
  return { low, high, ticks, format }
}

const place = (scale: Scale, value: number, from: number, to: number): number =>
  from + ((value - scale.low) / (scale.high - scale.low)) * (to - from)

/** Draws grid, ticks and titles of the horizontal axis, the left axis and, if given, the right one. */
export function drawAxes(
  context: Context,
  box: Box,
  axes: { x: Scale; left: Scale; right?: Scale; xTitle: string; leftTitle: string; rightTitle?: string },
): void {
  const bottom = box.y + box.height
  const right = box.x + box.width
  context.lineWidth = 1
  context.strokeStyle = grid
  for (const tick of axes.left.ticks) line(context, box.x, place(axes.left, tick, bottom, box.y), right, undefined)
  for (const tick of axes.x.ticks) line(context, place(axes.x, tick, box.x, right), box.y, undefined, bottom)
  context.strokeStyle = '#9ca3af'
  context.strokeRect(box.x, box.y, box.width, box.height)

  context.font = font(13)
  context.fillStyle = muted
  context.textBaseline = 'middle'
  context.textAlign = 'right'
  for (const tick of axes.left.ticks) {
    context.fillText(axes.left.format(tick), box.x - 8, place(axes.left, tick, bottom, box.y))
  }
  context.textAlign = 'left'
  for (const tick of axes.right?.ticks ?? []) {
    context.fillText((axes.right as Scale).format(tick), right + 8, place(axes.right as Scale, tick, bottom, box.y))
  }
  context.textAlign = 'center'
  context.textBaseline = 'top'
  for (const tick of axes.x.ticks) context.fillText(axes.x.format(tick), place(axes.x, tick, box.x, right), bottom + 8)

  context.fillStyle = ink
  context.font = font(14)
  context.fillText(axes.xTitle, box.x + box.width / 2, bottom + 29)
  turnedText(context, axes.leftTitle, box.x - 74, box.y + box.height / 2)
  if (axes.rightTitle) turnedText(context, axes.rightTitle, right + 50, box.y + box.height / 2)
}

function line(context: Context, x: number, y: number, toX: number | undefined, toY: number | undefined): void {
  context.beginPath()
  context.moveTo(x, y)
  context.lineTo(toX ?? x, toY ?? y)
  context.stroke()
}

function turnedText(context: Context, text: string, x: number, y: number): void {
  context.save()
  context.translate(x, y)
  context.rotate(-Math.PI / 2)
  context.textBaseline = 'middle'
  context.fillText(text, 0, 0)
  context.restore()
}

/** Draws a line for each stretch of values without a gap; few or lone points are marked by dots. */
export function drawSeries(context: Context, box: Box, x: Scale, positions: number[], series: Series): void {
  const bottom = box.y + box.height
  const at = (index: number, value: number): [number, number] => [
    place(x, positions[index] ?? 0, box.x, box.x + box.width),
    place(series.scale, Math.min(series.scale.high, Math.max(series.scale.low, value)), bottom, box.y),
  ]
  context.save()
  context.globalAlpha = series.opacity ?? 1
  context.strokeStyle = series.color
  context.fillStyle = series.color
  context.lineWidth = series.width
  context.lineJoin = 'round'
  context.setLineDash(series.dash ?? [])
  const points = series.values.map((value, index) =>
    value === null || !Number.isFinite(value) ? undefined : at(index, value),
  )
  context.beginPath()
  points.forEach((point, index) => {
    if (!point) return
    if (index > 0 && points[index - 1]) context.lineTo(...point)
    else context.moveTo(...point)
  })
  context.stroke()
  context.setLineDash([])
  points.forEach((point, index) => {
    const alone = !points[index - 1] && !points[index + 1]
    if (!point || (!alone && positions.length > 40)) return
    context.beginPath()
    context.arc(point[0], point[1], series.width + 1.2, 0, 2 * Math.PI)
    context.fill()
  })
  context.restore()
}

/** Draws the legend in one row above the panel, ending at its right edge. */
export function drawLegend(context: Context, box: Box, series: Series[]): void {
  context.font = font(13)
  context.textBaseline = 'middle'
  context.textAlign = 'left'
  let x = box.x + box.width
  for (const entry of [...series].reverse()) {
    x -= context.measureText(entry.label).width
    context.fillStyle = ink
    context.fillText(entry.label, x, box.y - 14)
    x -= 36
    context.save()
    context.globalAlpha = Math.max(entry.opacity ?? 1, 0.75)
    context.strokeStyle = entry.color
    context.lineWidth = entry.width + 0.5
    context.setLineDash(entry.dash ?? [])
    line(context, x, box.y - 14, x + 28, undefined)
    context.restore()
    x -= 20
  }
}

/** Panel title above its left edge. */
export function drawTitle(context: Context, box: Box, text: string): void {
  context.font = font(15, 'bold')
  context.fillStyle = ink
  context.textAlign = 'left'
  context.textBaseline = 'middle'
  context.fillText(text, box.x, box.y - 14)
}
