// Curves of short real runs under different policies, for the documentation.
//   nnUNet_raw=... nnUNet_preprocessed=... nnUNet_results=... \
//     node bench/policy-curves.mjs train DATASET [--other DATASET] [--only NAME,NAME]
//   node bench/policy-curves.mjs draw bench/results/DATE-policy-curves.jsonl          docs/images/policy-*.svg
// The dataset is any that is planned with --preset tiny, such as that of examples/make-dataset.mjs; the other one, for
// fine-tuning, has the same channels (8 cases of seed 2, say). Same seed and fold in all runs. Training writes a line a run to
// bench/results/DATE-policy-curves.jsonl.
import { spawn } from 'node:child_process'
import { appendFileSync, cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
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

function unclipped(initialLr) {
  return { 'optimizer.initialLr': initialLr, 'optimizer.clipNorm': 'off' }
}

const set = (options) => Object.entries(options).flatMap(([key, value]) => ['--set', `${key}=${value}`])
const patience = {
  'bestModel.metric': 'val_loss',
  'earlyStopping.patience': 3,
  'earlyStopping.minDelta': 0.02,
  'earlyStopping.warmupEpochs': 8,
}

/**
 * Options of each run, and flags in place of or beside the usual ones. `extends` resumes a copy of another run; `kills` ends the
 * run by SIGKILL after these epochs, and resumes it; `other` trains on the other dataset, `from` with weights of another run.
 */
const runs = {
  whole: {},
  cut: { flags: ['--epochs', '10', '--steps-per-epoch', '45'] },
  killed: { kills: [7, 19] },
  cosine: { options: { 'schedule.kind': 'cosine' } },
  constant: { options: { 'schedule.kind': 'constant' } },
  adamw: { options: { 'optimizer.kind': 'adamw', 'optimizer.initialLr': 1e-3 } },
  scratch: { other: true, flags: ['--epochs', '16'] },
  tuned: { other: true, flags: ['--epochs', '16'], from: 'whole' },
  fast: { flags: ['--epochs', '16'], options: unclipped(0.1) },
  diverging: { flags: ['--epochs', '16'], options: unclipped(10) },
  stop: { options: patience },
  anneal: { options: { ...patience, 'earlyStopping.onPlateau': 'anneal', 'earlyStopping.annealSteps': 90 } },
  stretch: { extends: 'whole', flags: ['--epochs', String(longer), '--schedule', 'stretch'] },
  restart: { extends: 'whole', flags: ['--epochs', String(longer), '--schedule', 'restart'] },
}

async function train(dataset, other, only) {
  const results = process.env.nnUNet_results
  const folder = (name) => path.join(results, `policy-curves-${name}`)
  const file = path.join(root, 'bench/results', `${new Date().toISOString().slice(0, 10)}-policy-curves.jsonl`)
  for (const name of only ?? Object.keys(runs)) {
    const { options = {}, flags = [], kills = [], extends: before, from, other: isOther } = runs[name]
    if (before) cpSync(folder(before), folder(name), { recursive: true })
    const plans = ['--plans', 'nnUNetPlansTiny', '--seed', '1', '--threads', '1']
    const begin = ['train', isOther ? other : dataset, '3d_fullres', '0', ...plans]
    const length = [
      '--epochs',
      String(epochs),
      '--steps-per-epoch',
      String(stepsPerEpoch),
      '--val-steps',
      '5',
      ...flags,
    ]
    const weights = from ? ['--pretrained', path.join(folder(from), 'checkpoint_final.pth')] : []
    const kept = set({ validateAtEnd: false, 'checkpoint.everyEpochs': 5, ...options })
    const command = before
      ? ['resume', folder(name), ...flags]
      : [...begin, ...length, ...weights, ...kept, '--run', folder(name)]
    let status = await voxgrad(command, kills[0] && { folder: folder(name), epoch: kills[0] })
    for (const [index] of kills.entries()) {
      const epoch = kills[index + 1]
      status = await voxgrad(['resume', folder(name)], epoch && { folder: folder(name), epoch })
    }
    const lines = readFileSync(path.join(folder(name), 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((text) => JSON.parse(text))
    const line = {
      name,
      command: command.slice(before ? 2 : 4).filter((word) => !word.startsWith('/') && word !== '--run'),
      ...(kills.length > 0 && { kills }),
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

/** Runs voxgrad to its end, or until an epoch's line is written, and then kills it with all its children. */
function voxgrad(command, killedAfter) {
  const child = spawn(process.execPath, [path.join(root, 'dist/cli/main.js'), ...command], {
    stdio: 'inherit',
    detached: true,
  })
  const written = () => {
    const metrics = path.join(killedAfter.folder, 'metrics.jsonl')
    return existsSync(metrics) && readFileSync(metrics, 'utf8').includes(`"epoch","epoch":${killedAfter.epoch - 1},`)
  }
  const timer = killedAfter && setInterval(() => written() && process.kill(-child.pid, 'SIGKILL'), 200)
  return new Promise((resolve) => {
    child.on('exit', (code) => {
      clearInterval(timer)
      resolve(code)
    })
  })
}

const rounded = (value) => (typeof value === 'number' ? Number(value.toPrecision(6)) : value)

// ----------------------------------------------------------------------------------------------------------------- pictures

/** Each point so often, because the chart marks up to 40 points by dots, which are large in SVG. */
const repeats = 3
const colors = ['#2563eb', '#dc2626', '#059669', '#d97706', '#7c3aed']
const width = 680
const panelWidth = width - 80 - 25

/**
 * One picture of panels below each other.
 * @param panels title, title of the left axis, pinned ends of its scale, and lines: label, epochs of a run, field, dash;
 *   where told, `show` of a value in place of it with `format` for the axis, and vertical `marks`
 * @param x what the horizontal axis is, and its value for an epoch
 */
function picture(name, panels, x = { title: 'epoch', of: (entry) => entry.epoch + 1 }) {
  const height = 60 + panels.length * 230
  const draw = (context) => {
    context.fillStyle = '#ffffff'
    context.fillRect(0, 0, width, height)
    panels.forEach(({ title, unit, low, high, show = (value) => value, format, marks = [], lines }, index) => {
      const box = { x: 80, y: 40 + index * 230, width: panelWidth, height: 160 }
      const last = Math.max(...lines.flatMap(({ run }) => run.map(x.of)))
      const across = makeScale([1, last], 10, { low: 0, high: last, integer: true })
      const shown = lines.map(({ run, field }) =>
        run.map((entry) => (entry[field] === null ? null : show(entry[field]))),
      )
      const pinned = { ...(low !== undefined && { low }), ...(high !== undefined && { high }) }
      const scale = makeScale(finite(shown.flat()), 5, pinned)
      if (format) scale.format = format
      drawAxes(context, box, {
        x: across,
        left: scale,
        xTitle: index === panels.length - 1 ? x.title : '',
        leftTitle: unit,
      })
      drawTitle(context, box, title)
      const placeOf = (value, { low: from, high: to }, begin, end) =>
        begin + ((value - from) / (to - from)) * (end - begin)
      for (const mark of marks) {
        context.fillStyle = '#6b7280'
        context.fillRect(placeOf(mark, across, box.x, box.x + box.width), box.y, 1.5, box.height)
      }
      const series = lines.map(({ label, dash, color }, i) => ({
        label,
        color: colors[color ?? i],
        values: shown[i].flatMap((value) => Array(repeats).fill(value)),
        scale,
        // So that those below others show.
        width: 2 + 2 * (lines.length - 1 - i),
        opacity: i === lines.length - 1 ? 1 : 0.6,
        ...(dash && { dash: [6, 4] }),
      }))
      lines.forEach(({ run }, i) => {
        const positions = run.flatMap((entry) => Array(repeats).fill(x.of(entry)))
        drawSeries(context, box, across, positions, series[i])
        // Where a run ended, which may lie under another line.
        const value = shown[i].at(-1)
        if (value === null) return
        const end = [
          placeOf(positions.at(-1), across, box.x, box.x + box.width),
          placeOf(value, scale, box.y + box.height, box.y),
        ]
        context.fillStyle = series[i].color
        context.fillRect(end[0] - 4, end[1] - 4, 8, 8)
      })
      drawLegend(
        context,
        box,
        series.map((one) => ({ ...one, width: 3 })),
      )
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
  const panelOf = (title, unit, field, names, more = {}) => ({
    title,
    unit,
    lines: names
      .filter((name) => run[name])
      .map((label) => ({ label: labels[label] ?? label, run: run[label], field })),
    ...more,
  })
  const rates = (names) => panelOf('Learning rate', 'rate', 'lr', names, { low: 0 })
  const dice = (names) => panelOf('Pseudo-Dice', 'Dice', 'mean_fg_dice', names, { low: 0, high: 1 })
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
  const plateau = ['whole', 'stop', 'anneal']
  picture('plateau', [rates(plateau), panelOf('Validation loss', 'loss', 'val_loss', plateau), dice(plateau)])
  picture('extend', [rates(['stretch', 'restart']), dice(['stretch', 'restart'])])
  picture('schedule', [rates(['whole', 'cosine', 'constant', 'adamw']), dice(['whole', 'cosine', 'constant', 'adamw'])])
  const bySteps = { title: 'step', of: (entry) => entry.step }
  const budget = dice(['whole', 'cut'])
  budget.lines[0].label = '30 epochs of 15 steps'
  picture('budget', [budget], bySteps)
  const kills = lines.find((line) => line.name === 'killed').kills
  picture('resume', [{ ...dice(['whole', 'killed']), marks: kills }])
  picture('finetune', [dice(['scratch', 'tuned'])])
  const logarithmic = { show: (value) => Math.log10(value + 2), format: (power) => (power === 0 ? '1' : `1e${power}`) }
  const diverging = ['whole', 'fast', 'diverging']
  picture('diverge', [panelOf('Training loss + 2', 'loss + 2', 'train_loss', diverging, logarithmic), dice(diverging)])
}

/** Runs as the pictures call them, where their names do not say enough. */
const labels = {
  whole: 'default',
  cut: '10 epochs of 45 steps',
  killed: 'killed twice',
  scratch: 'from scratch',
  tuned: 'fine-tuned',
  fast: 'rate 0.1',
  diverging: 'rate 10',
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { only: { type: 'string' }, other: { type: 'string' } },
})
const [verb, what] = positionals
if (verb === 'train' && what && process.env.nnUNet_results)
  await train(what, values.other ?? what, values.only?.split(','))
else if (verb === 'draw' && what) drawAll(what)
else {
  console.error(
    'usage: node bench/policy-curves.mjs train DATASET [--other DATASET] [--only NAMES] | draw POLICY-CURVES.jsonl',
  )
  process.exit(2)
}
