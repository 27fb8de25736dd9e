// Box plots of Dice over cases as SVG: one row a label, side by side for several validations.
import { makeScale } from '../axes.js'
import { html, type Markup } from './markup.js'
import { boxNumbers } from './statistics.js'

export interface BoxRow {
  label: string
  /** Class of its color. */
  color: string
  values: readonly { name: string; value: number | null }[]
}

const rowHeight = 34
/** A place on the axis, or a length along it. */
type Along = (value: number) => string

/**
 * Where the axis begins: at 0, or at a round number below all values where they are all above one half.
 * Rows that are to be compared have one axis.
 */
export function axisStart(rows: readonly BoxRow[]): number {
  const least = Math.min(...rows.flatMap(({ values }) => values.map(({ value }) => value ?? 1)))
  return least < 0.5 ? 0 : Math.min(0.9, Math.floor(least * 10) / 10)
}

/** Dice up to 1; box: quartiles, line: median, diamond: mean, whiskers: 1.5 times the box at most, dots: cases. */
export function boxPlot(rows: readonly BoxRow[], start: number): Markup {
  const { ticks, format } = makeScale([], 5, { low: start, high: 1 })
  const length: Along = (value) => `${Number(((100 * value) / (1 - start)).toFixed(2))}%`
  const at: Along = (value) => length(value - start)
  const height = rows.length * rowHeight
  return html`<div class="boxes">
<div class="box-labels">${rows.map(({ label }) => html`<span title="${label}">${label}</span>`)}</div>
<svg class="box-area" width="100%" height="${height + 24}" role="img" aria-label="${rows.map(describe).join('; ')}">
${ticks.map((tick) => html`<line class="grid" x1="${at(tick)}" x2="${at(tick)}" y1="0" y2="${height}"/><text x="${at(tick)}" y="${height + 17}" text-anchor="middle">${format(tick)}</text>`)}
${rows.map((row, index) => box(row, index * rowHeight + rowHeight / 2, at, length))}
</svg>
</div>
`
}

function box({ color, values }: BoxRow, y: number, at: Along, length: Along): Markup {
  const numbers = boxNumbers(values.map(({ value }) => value))
  if (numbers === null)
    return html`<text class="note" x="50%" y="${y}" dy="0.35em" text-anchor="middle">no value</text>`
  const { lowerWhisker, lowerQuartile, median, mean, upperQuartile, upperWhisker } = numbers
  return html`<g class="box ${color}">
<line class="whisker" x1="${at(lowerWhisker)}" x2="${at(lowerQuartile)}" y1="${y}" y2="${y}"/>
<line class="whisker" x1="${at(upperQuartile)}" x2="${at(upperWhisker)}" y1="${y}" y2="${y}"/>
<rect x="${at(lowerQuartile)}" width="${length(upperQuartile - lowerQuartile)}" y="${y - 9}" height="18"/>
<line class="median" x1="${at(median)}" x2="${at(median)}" y1="${y - 9}" y2="${y + 9}"/>
${values.map(
  ({ name, value }, index) =>
    value !== null &&
    html`<circle cx="${at(value)}" cy="${y + jitter(index)}" r="2.2"><title>${name}: ${value.toFixed(4)}</title></circle>`,
)}
<svg x="${at(mean)}" y="${y}" overflow="visible"><path class="mean" d="M0-5L5 0L0 5L-5 0Z"/></svg>
</g>`
}

/** Dots of equal Dice beside each other. */
const jitter = (index: number) => ((index * 5) % 13) - 6

function describe({ label, values }: BoxRow): string {
  const numbers = boxNumbers(values.map(({ value }) => value))
  if (numbers === null) return `${label}: no value`
  return `${label}: median ${numbers.median.toFixed(3)}, quartiles ${numbers.lowerQuartile.toFixed(3)} and ${numbers.upperQuartile.toFixed(3)}`
}
