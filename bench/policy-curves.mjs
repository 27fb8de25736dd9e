// Curves of short real runs under different policies, for the documentation.
//   nnUNet_raw=... nnUNet_preprocessed=... nnUNet_results=... node bench/policy-curves.mjs train DATASET [--only NAME,NAME]
//   node bench/policy-curves.mjs draw bench/results/DATE-policy-curves.jsonl          docs/images/policy-*.svg
// The dataset is any that is planned with --preset tiny, such as that of examples/make-dataset.mjs. Same seed and fold in all
// runs. Training writes a line a run to bench/results/DATE-policy-curves.jsonl.
import { spawnSync } from 'node:child_process'
import { appendFileSync, cpSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { createCanvas, SvgExportFlag } from '@napi-rs/canvas'
import { drawAxes, drawLegend, drawSeries, drawTitle, finite, makeScale } from '../dist/report/axes.js'
import { drawBitmap } from '../dist/report/canvas.js'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')
const epochs = 30
const stepsPerEpoch = 15
const longer = 45

const set = (options) => Object.entries(options).flatMap(([key, value]) => ['--set', `${key}=${value}`])
const patience = {
  'bestModel.metric': 'val_loss',
  'earlyStopping.patience': 3,
  'earlyStopping.minDelta': 0.02,
  'earlyStopping.warmupEpochs': 8,
}

/** Options of each run; `extends` resumes a copy of another one. */
const runs = {
  whole: {},
  stop: { options: patience },
  anneal: { options: { ...patience, 'earlyStopping.onPlateau': 'anneal', 'earlyStopping.annealSteps': 90 } },
  stretch: { extends: 'whole', flags: ['--epochs', String(longer), '--schedule', 'stretch'] },
  restart: { extends: 'whole', flags: ['--epochs', String(longer), '--schedule', 'restart'] },
}

function train(dataset, only) {
  const results = process.env.nnUNet_results
  const folder = (name) => path.join(results, `policy-curves-${name}`)
  const file = path.join(root, 'bench/results', `${new Date().toISOString().slice(0, 10)}-policy-curves.jsonl`)
  for (const name of only ?? Object.keys(runs)) {
    const { options = {}, flags = [], extends: other } = runs[name]
    if (other) cpSync(folder(other), folder(name), { recursive: true })
    const begin = ['train', dataset, '3d_fullres', '0', '--plans', 'nnUNetPlansTiny', '--seed', '1', '--threads', '1']
    const length = ['--epochs', String(epochs), '--steps-per-epoch', String(stepsPerEpoch), '--val-steps', '5']
    const kept = set({ validateAtEnd: false, 'checkpoint.everyEpochs': 5, ...options })
    const command = other ? ['resume', folder(name), ...flags] : [...begin, ...length, ...kept, '--run', folder(name)]
    const { status } = spawnSync(process.execPath, [path.join(root, 'dist/cli/main.js'), ...command], {
      stdio: 'inherit',
    })
    const lines = readFileSync(path.join(folder(name), 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((text) => JSON.parse(text))
    const line = {
      name,
      command: command.slice(other ? 2 : 4).filter((word) => !word.startsWith('/') && word !== '--run'),
      exitCode: status,
      epochs: lines
        .filter((entry) => entry.type === 'epoch')
        .map((entry) => ({
          ...Object.fromEntries(['epoch', 'step', 'lr', 'seconds', 'skipped_steps'].map((key) => [key, entry[key]])),
          ...Object.fromEntries(
            ['train_loss', 'val_loss', 'mean_fg_dice', 'ema_fg_dice'].map((key) => [key, rounded(entry[key])]),
          ),
        })),
      best: lines.filter((entry) => entry.type === 'new_best').map((entry) => entry.epoch),
      saves: lines
        .filter((entry) => entry.type === 'checkpoint')
        .map(({ step, stall_ms, write_ms }) => ({ step, stall_ms, write_ms })),
      said: lines.filter((entry) => ['annealing', 'stop', 'warning'].includes(entry.type)).map((entry) => entry.text),
      date: new Date().toISOString(),
    }
    appendFileSync(file, `${JSON.stringify(line)}\n`)
  }
}

const rounded = (value) => (typeof value === 'number' ? Number(value.toPrecision(6)) : value)

// ----------------------------------------------------------------------------------------------------------------- pictures

/** Each point so often, because the chart marks up to 40 points by dots, which are large in SVG. */
const repeats = 3
const colors = ['#2563eb', '#dc2626', '#059669', '#d97706']
const width = 880
const panelWidth = width - 100 - 40

/**
 * One picture of panels below each other.
 * @param panels title, title of the left axis, pinned ends of its scale, and lines: label, epochs of a run, field, dash
 */
function picture(name, panels) {
  const height = 60 + panels.length * 250
  const draw = (context) => {
    context.fillStyle = '#ffffff'
    context.fillRect(0, 0, width, height)
    panels.forEach(({ title, unit, low, high, lines }, index) => {
      const box = { x: 100, y: 40 + index * 250, width: panelWidth, height: 175 }
      const last = Math.max(...lines.flatMap(({ run }) => run.map((entry) => entry.epoch + 1)))
      const x = makeScale([1, last], 10, { low: 0, high: last, integer: true })
      const values = lines.flatMap(({ run, field }) => finite(run.map((entry) => entry[field])))
      const scale = makeScale(values, 5, { ...(low !== undefined && { low }), ...(high !== undefined && { high }) })
      drawAxes(context, box, { x, left: scale, xTitle: index === panels.length - 1 ? 'epoch' : '', leftTitle: unit })
      drawTitle(context, box, title)
      const series = lines.map(({ label, run, field, dash, color }, i) => ({
        label,
        color: colors[color ?? i],
        values: run.flatMap((entry) => Array(repeats).fill(entry[field])),
        scale,
        width: 2 + 2 * (lines.length - 1 - i), // so that those below others show
        ...(dash && { dash: [6, 4] }),
      }))
      lines.forEach(({ run }, i) => {
        const positions = run.flatMap((entry) => Array(repeats).fill(entry.epoch + 1))
        drawSeries(context, box, x, positions, series[i])
      })
      drawLegend(context, box, series)
    })
  }
  writeFileSync(path.join(root, 'docs/images', `policy-${name}.svg`), smallSvg(width, height, draw))
}

/** A drawing as SVG with letters as text: paths of every letter would be twenty times as large. */
function smallSvg(svgWidth, svgHeight, draw) {
  drawBitmap(1, 1, 1, () => {}) // registers the font
  const canvas = createCanvas(svgWidth, svgHeight, SvgExportFlag.RelativePathEncoding)
  draw(canvas.getContext('2d'))
  return canvas
    .getContent()
    .toString('utf8')
    .replace('<svg ', `<svg viewBox="0 0 ${svgWidth} ${svgHeight}" `)
    .replace(/font-family="[^"]*"/g, 'font-family="DejaVu Sans, Verdana, sans-serif"')
    .replace(/ (x|y)="(-?[\d.]+),[^"]*"/g, ' $1="$2"')
}

function drawAll(file) {
  const lines = readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((text) => JSON.parse(text))
  const run = Object.fromEntries(lines.map((line) => [line.name, line.epochs]))
  const rates = (names) => names.map((label) => ({ label, run: run[label], field: 'lr' }))
  picture('run', [
    {
      title: 'Losses',
      unit: 'loss',
      lines: [
        { label: 'training', run: run.whole, field: 'train_loss' },
        { label: 'validation', run: run.whole, field: 'val_loss' },
      ],
    },
    {
      title: 'Pseudo-Dice',
      unit: 'Dice',
      low: 0,
      high: 1,
      lines: [
        { label: 'of the epoch', run: run.whole, field: 'mean_fg_dice', dash: true },
        { label: 'moving average', run: run.whole, field: 'ema_fg_dice', color: 2 },
      ],
    },
  ])
  picture('plateau', [
    { title: 'Learning rate', unit: 'rate', low: 0, lines: rates(['whole', 'stop', 'anneal']) },
    {
      title: 'Validation loss',
      unit: 'loss',
      lines: ['whole', 'stop', 'anneal'].map((label) => ({ label, run: run[label], field: 'val_loss' })),
    },
  ])
  picture('extend', [
    { title: 'Learning rate', unit: 'rate', low: 0, lines: rates(['stretch', 'restart']) },
    {
      title: 'Mean pseudo-Dice of the epoch',
      unit: 'Dice',
      low: 0,
      high: 1,
      lines: ['stretch', 'restart'].map((label) => ({ label, run: run[label], field: 'mean_fg_dice' })),
    },
  ])
}

const { values, positionals } = parseArgs({ allowPositionals: true, options: { only: { type: 'string' } } })
const [verb, what] = positionals
if (verb === 'train' && what && process.env.nnUNet_results) train(what, values.only?.split(','))
else if (verb === 'draw' && what) drawAll(what)
else {
  console.error('usage: node bench/policy-curves.mjs train DATASET [--only NAMES] | draw POLICY-CURVES.jsonl')
  process.exit(2)
}
