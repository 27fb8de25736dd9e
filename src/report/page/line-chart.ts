// A chart of lines over epochs as SVG that stretches with its frame: lines scale, text and line widths do not. Colors are
// classes, so that the page's style decides on light and dark.
import { finite, makeScale, type Scale } from '../axes.js'
import { html, type Markup } from './markup.js'
import type { Point } from './statistics.js'

export interface Line {
  label: string
  /** Class of its color, `c1` and so on. */
  color: string
  points: readonly Point[]
  /** Drawn thin, behind the others. */
  isFaint?: boolean
}

export interface LineChart {
  title: string
  lines: readonly Line[]
  /** Ends of the vertical axis that do not follow from the values. */
  low?: number
  high?: number
  format?: (value: number) => string
  /** A point that is marked, with its words. */
  mark?: { x: number; y: number; text: string } | null
  /** Positions of dashed vertical lines, such as where a run was resumed. */
  breaks?: readonly number[]
  note?: string
}

const height = 220
/** Units of the stretched part. */
const extent = 1000

/** @param range of the horizontal axis, in epochs counted from 1 */
export function lineChart(chart: LineChart, range: { first: number; last: number }): Markup {
  const room = range.first === range.last ? 0.5 : 0
  const x = makeScale([], 6, { low: range.first - room, high: range.last + room, integer: true })
  const values = chart.lines.flatMap(({ points }) => finite(points.map((point) => point.y)))
  const ends = {
    ...(chart.low === undefined ? {} : { low: chart.low }),
    ...(chart.high === undefined ? {} : { high: chart.high }),
  }
  const y = makeScale(values, 5, ends)
  const format = chart.format ?? y.format
  const percent = (value: number) => `${round((100 * (value - x.low)) / (x.high - x.low), 2)}%`
  const pixel = (value: number) => round(height * (1 - share(y, value)), 1)
  return html`<figure class="chart">
<figcaption>${chart.title}</figcaption>
${legend(chart)}
<div class="plot">
<svg class="values" width="56" height="${height + 26}" aria-hidden="true">${y.ticks.map(
    (tick) => html`<text x="50" y="${pixel(tick)}" dy="0.35em" text-anchor="end">${format(tick)}</text>`,
  )}</svg>
<svg class="lines" width="100%" height="${height + 26}" role="img" aria-label="${describe(chart, y.format)}">
<svg width="100%" height="${height}" viewBox="0 0 ${extent} ${height}" preserveAspectRatio="none">
${y.ticks.map((tick) => html`<path class="grid" d="M0 ${pixel(tick)}H${extent}"/>`)}
${(chart.breaks ?? []).map((at) => html`<path class="break" d="M${across(x, at)} 0V${height}"/>`)}
${[...chart.lines]
  .sort((a, b) => Number(b.isFaint ?? false) - Number(a.isFaint ?? false))
  .map(
    (line) =>
      html`<path class="line ${line.color}${line.isFaint ? ' faint' : ''}" d="${pathOf(line.points, x, pixel)}"/>`,
  )}
</svg>
${chart.lines.flatMap((line) => lonePoints(line.points).map((point) => html`<circle class="${line.color}" cx="${percent(point.x)}" cy="${pixel(point.y as number)}" r="2.5"/>`))}
${
  chart.mark &&
  html`<circle class="mark" cx="${percent(chart.mark.x)}" cy="${pixel(chart.mark.y)}" r="4.5"/>
<text class="mark-text" x="${percent(chart.mark.x)}" y="${markTextAt(pixel(chart.mark.y))}" text-anchor="${anchor((chart.mark.x - x.low) / (x.high - x.low))}">${chart.mark.text}</text>`
}
${x.ticks.map((tick) => html`<text x="${percent(tick)}" y="${height + 17}" text-anchor="${anchor((tick - x.low) / (x.high - x.low))}">${x.format(tick)}</text>`)}
</svg>
</div>
${chart.note && html`<p class="note">${chart.note}</p>`}
</figure>
`
}

const round = (value: number, decimals: number): number => Number(value.toFixed(decimals))
const share = (scale: Scale, value: number) =>
  (Math.min(scale.high, Math.max(scale.low, value)) - scale.low) / (scale.high - scale.low)
const across = (scale: Scale, value: number) => round(extent * share(scale, value), 1)
/** Text at an end must not leave the chart. */
const anchor = (place: number) => (place < 0.12 ? 'start' : place > 0.88 ? 'end' : 'middle')
const markTextAt = (y: number) => (y < 24 ? y + 20 : y - 10)

const isKnown = (point: Point | undefined): boolean =>
  point !== undefined && point.y !== null && Number.isFinite(point.y)

function pathOf(points: readonly Point[], x: Scale, pixel: (value: number) => number): string {
  let isDrawing = false
  return points
    .map((point) => {
      if (!isKnown(point)) {
        isDrawing = false
        return ''
      }
      const step = `${isDrawing ? 'L' : 'M'}${across(x, point.x)} ${pixel(point.y as number)}`
      isDrawing = true
      return step
    })
    .join('')
}

/** Points between two gaps, which a line does not show. */
function lonePoints(points: readonly Point[]): Point[] {
  return points.filter((point, index) => isKnown(point) && !isKnown(points[index - 1]) && !isKnown(points[index + 1]))
}

function legend({ lines }: LineChart): Markup | null {
  const named = lines.filter(({ label }) => label !== '')
  if (named.length === 0) return null
  return html`<ul class="legend">${named.map(
    ({ label, color, isFaint }) =>
      html`<li><svg width="18" height="10" aria-hidden="true"><path class="line ${color}${isFaint ? ' faint' : ''}" d="M0 5H18"/></svg>${label}</li>`,
  )}</ul>`
}

/** The chart in a sentence, for who cannot see it. */
function describe({ title, lines }: LineChart, format: (value: number) => string): string {
  const ends = lines.flatMap(({ label, points }) => {
    const last = points.findLast(isKnown)
    return last ? [`${label || 'value'} ends at ${format(last.y as number)}`] : []
  })
  return `${title}: ${ends.slice(0, 8).join(', ') || 'no values yet'}`
}
