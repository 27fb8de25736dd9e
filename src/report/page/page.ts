// The report as one HTML page that needs nothing else: no script, no request, everything inline.
import { createHash } from 'node:crypto'
import { version } from '../../version.js'
import { formatBytes, formatDuration, formatFixed, formatPace, formatRate } from '../format.js'
import { axisStart, boxPlot } from './box-plot.js'
import type { ReportContent, ReportedEpoch, ReportedEvent, ReportedOption } from './content.js'
import { type LineChart, lineChart } from './line-chart.js'
import { html, Markup } from './markup.js'
import type { CasePicture, MissingPicture } from './pictures.js'
import { median, type Point, thinned } from './statistics.js'
import { style } from './style.js'

/** More labels than this have no line in the legend, and no column in the table of cases. */
const mostLabels = 12
const mostPoints = 400
const mostEvents = 200
const mostCases = 2000

/** Only the page's own style and pictures inside the page; no script, no form, no request. */
const policy = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'`,
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
].join('; ')

type Picture = CasePicture | MissingPicture

/** Color class of a label; on the dark ground of pictures, whatever the page's is, brighter ones. */
const colorOf = (index: number) => `c${(index % 8) + 1}`
const pictureColorOf = (index: number) => `s${(index % 8) + 1}`

/**
 * The whole page. Pure: the same content gives the same text.
 * @param pictures of cases, a list for each validation
 */
export function reportPage(content: ReportContent, pictures: readonly Picture[][] = []): string {
  const { overview } = content
  const title = `${overview.dataset} ${overview.configuration}, fold ${overview.fold}`
  const sections: [string, string, Markup | null][] = [
    ['validation', 'Validation', validations(content)],
    ['pictures', 'Worst and best cases', pictureSection(content, pictures)],
    ['curves', 'Curves', curves(content)],
    ['cases', 'All cases', caseTables(content)],
    ['time', 'Time and memory', timeAndMemory(content)],
    ['advice', 'Advice', advice(content)],
    ['events', 'Events', events(content)],
    ['configuration', 'Configuration', configuration(content)],
    ['versions', 'Versions', versions(content)],
  ]
  const shown = sections.filter((section): section is [string, string, Markup] => section[2] !== null)
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="generator" content="voxgrad ${version}">
<title>${title} - voxgrad report</title>
<style>${new Markup(style)}</style>
</head>
<body>
<main>
${heading(content)}
<nav aria-label="Parts of the report">${shown.map(([id, name]) => html`<a href="#${id}">${name}</a>`)}</nav>
${figures(content)}
${shown.map(([id, name, body]) => html`<section id="${id}"><h2>${name}</h2>${body}</section>\n`)}
<footer>Written by voxgrad ${version} from ${overview.folder}. Epochs count from 1.</footer>
</main>
</body>
</html>
`
  return page.text
}

function heading({ overview, record }: ReportContent): Markup {
  const state = overview.reason === null ? overview.status : `${overview.status}: ${overview.reason.replace('_', ' ')}`
  return html`<header>
<div class="head"><h1>${overview.dataset}</h1><span class="badge ${overview.status}">${state}</span></div>
<p class="sub">${overview.configuration}, ${overview.plans}, fold ${overview.fold}; ${record.device}, ${record.threads} thread${record.threads === 1 ? '' : 's'}, seed ${record.seed}; started ${timeText(record.startedAt)}</p>
${
  overview.error !== null &&
  html`<div class="card fault"><strong>The run failed.</strong><pre>${overview.error}</pre></div>`
}
</header>`
}

/** "2026-11-22 07:22 UTC" */
const timeText = (iso: string) => `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC`

function figures({ overview, validations: found, best, epochs }: ReportContent): Markup {
  const seconds = epochs.reduce((sum, epoch) => sum + epoch.seconds, 0)
  const entries: [string, string, string][] = [
    ...found.map(({ checkpoint, foregroundDice, cases }): [string, string, string] => [
      `Dice, ${checkpoint} weights`,
      formatFixed(foregroundDice, 4),
      `foreground mean, ${counted(cases.length, 'validation case')}`,
    ]),
    [
      'Best pseudo-Dice',
      formatFixed(best?.value, 4),
      best ? `moving average, epoch ${best.epoch + 1}` : 'no epoch has one',
    ],
    [
      'Epochs',
      `${overview.epoch} of ${overview.epochs}`,
      `${grouped(overview.step)} of ${grouped(overview.totalSteps)} steps`,
    ],
    [
      'Training time',
      formatDuration(epochs.length === 0 ? null : seconds),
      overview.secondsLeft === null ? 'epochs with their validation' : `${formatDuration(overview.secondsLeft)} left`,
    ],
  ]
  return html`<dl class="figures">${entries.map(([name, value, note]) => html`<div><dt>${name}</dt><dd>${value}<small>${note}</small></dd></div>`)}</dl>`
}

const grouped = (value: number) => value.toLocaleString('en-US')
const counted = (count: number, what: string) => `${grouped(count)} ${what}${count === 1 ? '' : 's'}`

function validations({ validations: found, targets, overview }: ReportContent): Markup {
  if (found.length === 0) {
    const reason =
      overview.fold === 'all'
        ? 'Fold all trains on every case; no validation of it has been finished.'
        : `No validation has been finished. It follows the training, or comes by: voxgrad validate ${overview.folder}`
    return html`<p class="card">${reason}</p>`
  }
  const rows = found.map(({ cases }) =>
    targets.map(({ name }, index) => ({
      label: name,
      color: colorOf(index),
      values: cases.map(({ caseId, dice }) => ({ name: caseId, value: dice[index] ?? null })),
    })),
  )
  const start = axisStart(rows.flat())
  const header = found.map(({ checkpoint }) => html`<th class="n">${checkpoint}</th>`)
  const difference = (values: (number | null)[]) =>
    found.length === 2 && html`<td class="n">${signed(values[1] ?? null, values[0] ?? null)}</td>`
  const row = (name: Markup | string, values: (number | null)[]) =>
    html`<tr><td class="text">${name}</td>${values.map((value) => html`<td class="n">${formatFixed(value, 4)}</td>`)}${difference(values)}</tr>`
  return html`<div class="card wide"><table>
<thead><tr><th>mean Dice</th>${header}${found.length === 2 && html`<th class="n">difference</th>`}</tr></thead>
<tbody>
${row(
  html`<strong>mean foreground</strong>`,
  found.map((validation) => validation.foregroundDice),
)}
${targets.map(({ name }, index) =>
  row(
    name,
    found.map((validation) => validation.dice[index] ?? null),
  ),
)}
</tbody></table></div>
<div class="grid2">${found.map(
    ({ checkpoint, cases }, index) =>
      html`<div${found.length === 1 ? new Markup(' class="whole"') : ''}><h3>Dice over ${counted(cases.length, 'case')}, ${checkpoint} weights</h3>
<div class="card">${boxPlot(rows[index] ?? [], start)}</div></div>`,
  )}</div>
<p class="note">Box: quartiles; line: median; diamond: mean; whiskers: furthest case within 1.5 boxes; dots: cases. Cases with the label in neither reference nor prediction do not count.</p>`
}

function pictureSection({ validations: found, targets }: ReportContent, pictures: readonly Picture[][]): Markup | null {
  if (pictures.flat().length === 0) return null
  const shown = [
    ...new Set(
      pictures
        .flat()
        .flatMap((one) => ('outlines' in one ? one.outlines : []))
        .map(({ target }) => target),
    ),
  ]
  const isIgnored = pictures.flat().some((one) => 'ignored' in one && one.ignored !== '')
  shown.sort((a, b) => a - b)
  return html`${shown.length > 0 && html`<p class="note">Filled: reference. Line: prediction. Outlines are smoothed for display; the Dice is that of the whole case.</p>`}
<ul class="keys">${shown.map((index) => html`<li class="${pictureColorOf(index)}"><i></i>${targets[index]?.name}</li>`)}${
    isIgnored && html`<li class="veil"><i></i>not annotated</li>`
  }</ul>
${pictures.map(
  (list, validation) =>
    html`${pictures.length > 1 && html`<h3>${found[validation]?.checkpoint} weights</h3>`}${
      list.length === 0 &&
      html`<p class="note">Every case has the Dice that it has above: the weights are the same.</p>`
    }<div class="pictures">${list.map((picture, index) => figureOf(picture, `picture-${validation}-${index}`, targets))}</div>`,
)}`
}

function figureOf(picture: Picture, id: string, targets: readonly { name: string }[]): Markup {
  const { reportedCase, rank } = picture
  const inPicture = new Set('outlines' in picture ? picture.outlines.map(({ target }) => target) : [])
  const dice = reportedCase.dice
    .map((value, index) => ({ value, index }))
    .filter(({ value, index }) => value !== null && (targets.length <= mostLabels || inPicture.has(index)))
  return html`<figure class="picture">
${'outlines' in picture && drawing(picture, id)}
<figcaption><strong>${reportedCase.caseId}</strong> <span class="rank">${rank}</span><br>
Dice ${formatFixed(reportedCase.mean, 4)}${dice.length > 1 && html`: ${dice.map(({ value, index }) => html`<span class="dice ${pictureColorOf(index)}">${targets[index]?.name} ${formatFixed(value, 3)}</span> `)}`}<br>
${'reason' in picture ? `No picture: ${picture.reason}` : picture.caption}</figcaption>
</figure>
`
}

/** The image alone, and beside it with reference and prediction. */
function drawing({ image, width, height, spacing, outlines, ignored }: CasePicture, id: string): Markup {
  const extents = [width * spacing[1], height * spacing[0]].map((extent) => Number(extent.toPrecision(6)))
  const frame = `0 0 ${extents.join(' ')}`
  return html`<div class="pair${(extents[0] as number) > 2.2 * (extents[1] as number) ? ' stacked' : ''}">
${
  image &&
  html`<svg viewBox="${frame}" role="img" aria-label="image"><image id="${id}" width="${image.width}" height="${image.height}" preserveAspectRatio="none" href="data:image/png;base64,${image.png}"/></svg>`
}
<svg viewBox="${frame}" role="img" aria-label="image with reference and prediction">${image && html`<use href="#${id}"/>`}
<g transform="scale(${spacing[1]} ${spacing[0]})">
${ignored !== '' && html`<path class="ignored" fill-rule="evenodd" d="${ignored}"/>`}
${outlines.map(({ target, truth }) => truth !== '' && html`<path class="truth ${pictureColorOf(target)}" fill-rule="evenodd" d="${truth}"/>`)}
${outlines.map(({ target, prediction }) => prediction !== '' && html`<path class="predicted ${pictureColorOf(target)}" d="${prediction}"/>`)}
</g></svg>
</div>`
}

function signed(value: number | null, from: number | null): string {
  if (value === null || from === null) return '-'
  const text = formatFixed(value - from, 4)
  return value > from ? `+${text}` : text
}

function curves({ epochs, targets, best, events: happened }: ReportContent): Markup {
  const [first, last] = [epochs[0], epochs.at(-1)]
  if (!first || !last) return html`<p class="card">No epoch is finished yet.</p>`
  const range = { first: first.epoch + 1, last: last.epoch + 1 }
  const most = targets.length > mostLabels ? mostPoints / 4 : mostPoints
  const points = (value: (epoch: ReportedEpoch) => number | null | undefined, count = mostPoints): Point[] =>
    thinned(
      epochs.map((epoch) => ({ x: epoch.epoch + 1, y: value(epoch) ?? null })),
      count,
    )
  const breaks = happened
    .filter(({ type, epoch }) => type === 'resume' && epoch >= range.first && epoch < range.last)
    .map(({ epoch }) => epoch)
  const isMany = targets.length > mostLabels
  const size = Math.ceil(epochs.length / mostPoints)
  const charts: (LineChart | null)[] = [
    {
      title: 'Loss',
      lines: [
        { label: 'training', color: 'c6', points: points((epoch) => epoch.train_loss) },
        { label: 'validation', color: 'c7', points: points((epoch) => epoch.val_loss) },
      ],
      breaks,
    },
    {
      title: 'Pseudo-Dice on validation patches',
      lines: [
        ...targets.map(({ name }, index) => ({
          label: isMany ? '' : name,
          color: colorOf(index),
          points: points((epoch) => epoch.dice_per_class[index], most),
          isFaint: true,
        })),
        { label: 'moving average of the mean', color: 'ink', points: points((epoch) => epoch.ema_fg_dice) },
      ],
      low: 0,
      high: 1,
      mark: best && { x: best.epoch + 1, y: best.value, text: `best ${formatFixed(best.value, 4)}` },
      breaks,
      ...(isMany ? { note: `One thin line for each of ${targets.length} labels.` } : {}),
    },
    {
      title: "Learning rate at an epoch's first step",
      lines: [{ label: '', color: 'c5', points: points((epoch) => epoch.lr) }],
      low: 0,
      format: formatRate,
      breaks,
    },
    hasValues(epochs, (epoch) => epoch.step_ms?.p50) && {
      title: 'Time of a step (ms)',
      lines: [
        { label: 'median', color: 'c4', points: points((epoch) => epoch.step_ms?.p50) },
        { label: '95th percentile', color: 'c4', points: points((epoch) => epoch.step_ms?.p95), isFaint: true },
        { label: 'of it the batch, median', color: 'c8', points: points((epoch) => epoch.data_ms?.p50) },
      ],
      low: 0,
      breaks,
    },
    hasValues(epochs, (epoch) => epoch.memory?.resident_bytes) && {
      title: 'Memory (GiB)',
      lines: [
        { label: 'of the process', color: 'c2', points: points((epoch) => gibibytes(epoch.memory?.resident_bytes)) },
        ...(hasValues(epochs, (epoch) => epoch.memory?.device_bytes)
          ? [
              {
                label: 'on the device',
                color: 'c3',
                points: points((epoch) => gibibytes(epoch.memory?.device_bytes)),
              },
            ]
          : []),
      ],
      low: 0,
      breaks,
    },
    {
      title: 'Duration of an epoch (s)',
      lines: [{ label: '', color: 'c8', points: points((epoch) => epoch.seconds) }],
      low: 0,
      breaks,
    },
  ]
  const shown = charts.filter((chart): chart is LineChart => typeof chart === 'object' && chart !== null)
  return html`${
    size > 1 &&
    html`<p class="note">Each point is the mean of ${size} epochs, so that the page stays small; metrics.jsonl has all.</p>`
  }<div class="grid2">${shown.map((chart) => lineChart(chart, range))}</div>${
    breaks.length > 0 && html`<p class="note">Dashed lines: the run was resumed.</p>`
  }`
}

const hasValues = (epochs: readonly ReportedEpoch[], value: (epoch: ReportedEpoch) => number | null | undefined) =>
  epochs.some((epoch) => typeof value(epoch) === 'number') || null

const gibibytes = (bytes: number | null | undefined) => (typeof bytes === 'number' ? bytes / 2 ** 30 : null)

function caseTables({ validations: found, targets }: ReportContent): Markup | null {
  if (found.length === 0) return null
  const isMany = targets.length > mostLabels
  const columns = isMany ? [] : targets.map(({ name }, index) => ({ name, index }))
  return html`${found.map((validation) => {
    const shown = validation.cases.slice(0, mostCases)
    return html`<details class="prints"${shown.length <= 60 && found[0] === validation ? new Markup(' open') : ''}>
<summary>${counted(validation.cases.length, 'case')}, ${validation.checkpoint} weights, the worst first</summary>
<div class="card wide"><table>
<thead><tr><th>case</th><th class="n">mean Dice</th>${columns.map(({ name }) => html`<th class="n">${name}</th>`)}${isMany && html`<th>lowest labels</th>`}</tr></thead>
<tbody>
${shown.map(
  ({ caseId, dice, mean }) =>
    html`<tr><td class="text">${caseId}</td><td class="n">${formatFixed(mean, 4)}</td>${columns.map(
      ({ index }) => html`<td class="n">${formatFixed(dice[index], 4)}</td>`,
    )}${isMany && html`<td class="text">${lowest(dice, targets)}</td>`}</tr>\n`,
)}</tbody></table>${
      shown.length < validation.cases.length &&
      html`<p class="note">${counted(validation.cases.length - shown.length, 'better case')} in summary.json.</p>`
    }</div></details>`
  })}`
}

function lowest(dice: readonly (number | null)[], targets: readonly { name: string }[]): string {
  const known = dice.flatMap((value, index) => (value === null ? [] : [{ value, name: targets[index]?.name ?? '' }]))
  known.sort((a, b) => a.value - b.value)
  return known
    .slice(0, 3)
    .map(({ name, value }) => `${name} ${formatFixed(value, 3)}`)
    .join(', ')
}

function timeAndMemory({ epochs, checkpoints, overview, record }: ReportContent): Markup | null {
  if (epochs.length === 0) return null
  const seconds = epochs.map((epoch) => epoch.seconds)
  const most = (values: (number | null | undefined)[]) => {
    const known = values.filter((value) => typeof value === 'number')
    return known.length === 0 ? null : Math.max(...known)
  }
  const step = median(epochs.map((epoch) => epoch.step_ms?.p50))
  const data = median(epochs.map((epoch) => epoch.data_ms?.p50))
  const host = most(epochs.map((epoch) => epoch.memory?.peak_resident_bytes))
  const device = most(epochs.map((epoch) => epoch.memory?.peak_device_bytes))
  const skipped = epochs.reduce((sum, epoch) => sum + (epoch.skipped_steps ?? 0), 0)
  const rows: [string, string | null][] = [
    ['Training, all epochs', formatDuration(seconds.reduce((sum, value) => sum + value, 0))],
    [
      'From start to last change',
      formatDuration((Date.parse(overview.updatedAt) - Date.parse(record.startedAt)) / 1000),
    ],
    ['An epoch, median', `${formatFixed(median(seconds), 2)} s`],
    ['A step, median', step === null ? null : `${formatFixed(step, 1)} ms (${formatPace(1000 / step, 'step')})`],
    ['Making a batch, median', data === null ? null : `${formatFixed(data, 1)} ms`],
    ['Steps skipped as not finite', skipped === 0 ? null : grouped(skipped)],
    ['Peak memory of the process', host === null ? null : formatBytes(host)],
    ['Peak memory on the device', device === null ? null : formatBytes(device)],
    ['Checkpoints written', checkpoints.count === 0 ? null : grouped(checkpoints.count)],
    [
      'Training waited for a checkpoint, median',
      checkpoints.count === 0 ? null : `${formatFixed(median(checkpoints.stallMs), 0)} ms`,
    ],
    [
      'Writing one beside it, median',
      checkpoints.count === 0 ? null : `${formatFixed(median(checkpoints.writeMs), 0)} ms`,
    ],
  ]
  return pairs(rows)
}

const pairs = (rows: readonly [string, string | null][]): Markup =>
  html`<div class="card wide"><table><tbody>${rows.map(([name, value]) => value !== null && html`<tr><td>${name}</td><td class="text">${value}</td></tr>\n`)}</tbody></table></div>`

function advice({ advice: found }: ReportContent): Markup {
  // Ways to train longer say nothing about a run that has hardly begun.
  const lines = found.verdict === 'too_few' ? found.lines.slice(0, 1) : found.lines
  return html`<div class="card"><pre>${lines.join('\n')}</pre></div>`
}

const eventNames: Record<ReportedEvent['type'], string> = {
  resume: 'resumed',
  warning: 'warning',
  annealing: 'annealing',
  stop: 'ended',
  checkpoint: 'checkpoint',
  new_best: 'new best',
}

function events({ events: happened }: ReportContent): Markup {
  const isNotable = ({ type }: ReportedEvent) => type !== 'checkpoint' && type !== 'new_best'
  const table = (list: readonly ReportedEvent[]) =>
    html`<div class="card wide"><table><thead><tr><th>after epoch</th><th></th><th></th></tr></thead><tbody>${list
      .slice(-mostEvents)
      .map(
        ({ type, epoch, text }) =>
          html`<tr><td>${epoch}</td><td>${eventNames[type]}</td><td class="text">${text}</td></tr>\n`,
      )}</tbody></table>${
      list.length > mostEvents &&
      html`<p class="note">The last ${mostEvents} of ${list.length}; metrics.jsonl has all.</p>`
    }</div>`
  const notable = happened.filter(isNotable)
  const others = happened.filter((event) => !isNotable(event))
  return html`${
    notable.length === 0 ? html`<p class="card">No warning, and the run was never interrupted.</p>` : table(notable)
  }${
    others.length > 0 &&
    html`<details><summary>${counted(others.length, 'checkpoint')} and new best values</summary>${table(others)}</details>`
  }`
}

function configuration({ options, record }: ReportContent): Markup {
  const changed = options.filter(({ isChanged }) => isChanged)
  const { resolved } = record
  const { network } = resolved
  const rows: [string, string][] = [
    ['Batch', `${resolved.batchSize} patches of ${resolved.patchSize.join(' x ')}`],
    ['Network', `${network.architecture}, ${network.dimensions}D, features ${network.featuresPerStage.join(', ')}`],
    ['Channels', `${network.inputChannels} in, ${network.outputChannels} out`],
    ['Precision', resolved.precision],
  ]
  return html`<h3>What differs from the defaults</h3>
${changed.length === 0 ? html`<p class="card">Nothing: every option has its default.</p>` : optionTable(changed, true)}
<h3>What came of it</h3>
${pairs(rows)}
<details><summary>All ${options.length} options</summary>${optionTable(options, false)}</details>
<details><summary>The engine's numbers</summary><div class="card"><pre>${JSON.stringify(resolved, null, 1).replace(/\n\s+(?=[-\d\]])/g, ' ')}</pre></div></details>`
}

function optionTable(options: readonly ReportedOption[], withDefault: boolean): Markup {
  return html`<div class="card wide"><table><thead><tr><th>option</th><th>value</th>${withDefault && html`<th>default</th>`}</tr></thead><tbody>${options.map(
    ({ name, value, standard }) =>
      html`<tr><td class="text">${name}</td><td class="text">${valueText(value)}</td>${
        withDefault && html`<td class="text same">${valueText(standard)}</td>`
      }</tr>\n`,
  )}</tbody></table></div>`
}

const valueText = (value: unknown): string =>
  value === undefined || value === null ? 'none' : typeof value === 'string' ? value : JSON.stringify(value)

function versions({ record }: ReportContent): Markup {
  return pairs(Object.entries(record.versions))
}
