// Box plots of Dice over cases as SVG: one row a label, side by side for several validations.
import { html, type Markup } from './markup.js'
import { boxNumbers } from './statistics.js'

export interface BoxRow {
  label: string
  /** Class of its color. */
  color: string
  values: readonly { name: string; value: number | null }[]
}

const rowHeight = 34
const ticks = [0, 0.2, 0.4, 0.6, 0.8, 1]
const percent = (value: number) => `${Number((value * 100).toFixed(2))}%`

/** Dice from 0 to 1; box: quartiles, line: median, diamond: mean, whiskers: 1.5 times the box at most, dots: cases. */
export function boxPlot(rows: readonly BoxRow[]): Markup {
  const height = rows.length * rowHeight
  return html`<div class="boxes">
<div class="box-labels">${rows.map(({ label }) => html`<span title="${label}">${label}</span>`)}</div>
<svg class="box-area" width="100%" height="${height + 24}" role="img" aria-label="${rows.map(describe).join('; ')}">
${ticks.map((tick) => html`<line class="grid" x1="${percent(tick)}" x2="${percent(tick)}" y1="0" y2="${height}"/><text x="${percent(tick)}" y="${height + 17}" text-anchor="middle">${tick.toFixed(1)}</text>`)}
${rows.map((row, index) => box(row, index * rowHeight + rowHeight / 2))}
</svg>
</div>
`
}

function box({ color, values }: BoxRow, y: number): Markup {
  const numbers = boxNumbers(values.map(({ value }) => value))
  if (numbers === null)
    return html`<text class="note" x="50%" y="${y}" dy="0.35em" text-anchor="middle">no value</text>`
  const { lowerWhisker, lowerQuartile, median, mean, upperQuartile, upperWhisker } = numbers
  return html`<g class="box ${color}">
<line class="whisker" x1="${percent(lowerWhisker)}" x2="${percent(lowerQuartile)}" y1="${y}" y2="${y}"/>
<line class="whisker" x1="${percent(upperQuartile)}" x2="${percent(upperWhisker)}" y1="${y}" y2="${y}"/>
<rect x="${percent(lowerQuartile)}" width="${percent(upperQuartile - lowerQuartile)}" y="${y - 9}" height="18"/>
<line class="median" x1="${percent(median)}" x2="${percent(median)}" y1="${y - 9}" y2="${y + 9}"/>
${values.map(
  ({ name, value }, index) =>
    value !== null &&
    html`<circle cx="${percent(value)}" cy="${y + jitter(index)}" r="2.2"><title>${name}: ${value.toFixed(4)}</title></circle>`,
)}
<svg x="${percent(mean)}" y="${y}" overflow="visible"><path class="mean" d="M0-5L5 0L0 5L-5 0Z"/></svg>
</g>`
}

/** Dots of equal Dice beside each other. */
const jitter = (index: number) => ((index * 5) % 13) - 6

function describe({ label, values }: BoxRow): string {
  const numbers = boxNumbers(values.map(({ value }) => value))
  if (numbers === null) return `${label}: no value`
  return `${label}: median ${numbers.median.toFixed(3)}, quartiles ${numbers.lowerQuartile.toFixed(3)} and ${numbers.upperQuartile.toFixed(3)}`
}
