// How a step grows with the patch, the batch and the classes, and a run's start with the number of cases: measures the first
// three, takes the last from bench/many-cases.mjs, and draws all four.
//   node bench/scale.mjs measure [--rounds 3] [--threads 1] [--note TEXT]    a line a measurement in bench/results/DATE-scale.jsonl
//   node bench/scale.mjs draw SCALE.jsonl MANY-CASES.jsonl [OUT.png]         docs/images/scale.png; prints growth as exponents
// The network has the features of the preset tiny, and its patch, batch and classes where these do not vary.
import { execFileSync } from 'node:child_process'
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { quantile } from '../dist/bench/statistics.js'
import { makeArchitecture } from '../dist/plan/architecture.js'
import { drawAxes, drawLegend, drawSeries, drawTitle, makeScale } from '../dist/report/axes.js'
import { drawBitmap } from '../dist/report/canvas.js'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')
const features = [8, 16, 32, 64]
const usual = { patch: [40, 56, 40], batch: 2, classes: 3 }
const cube = (extent) => [extent, extent, extent]
const variations = {
  patch: [16, 24, 32, 40, 48, 64, 80].map((extent) => ({ ...usual, patch: cube(extent) })),
  batch: [1, 2, 4, 8, 16].map((batch) => ({ ...usual, batch })),
  classes: [2, 3, 6, 12, 25, 50, 117].map((classes) => ({ ...usual, classes })),
}

/** Plans of one configuration, with nothing that a benchmark does not read. */
function plansOf({ patch, batch }) {
  const cubes = (extent) => features.map(() => cube(extent))
  const architecture = makeArchitecture('PlainConvUNet', {
    featuresPerStage: features,
    kernelSizes: cubes(3),
    strides: [cube(1), ...cubes(2).slice(1)],
    depths: features.map(() => 2),
    convsPerStageDecoder: features.slice(1).map(() => 2),
  })
  const configuration = {
    data_identifier: '',
    batch_size: batch,
    patch_size: patch,
    spacing: cube(1),
    normalization_schemes: ['ZScoreNormalization'],
    use_mask_for_norm: [false],
    resampling_fn_data_kwargs: {},
    resampling_fn_seg_kwargs: {},
    resampling_fn_probabilities_kwargs: {},
    batch_dice: false,
    architecture,
  }
  return {
    dataset_name: 'scale',
    plans_name: 'scale',
    image_reader_writer: 'SimpleITKIO',
    transpose_forward: [0, 1, 2],
    transpose_backward: [0, 1, 2],
    configurations: { '3d_fullres': configuration },
  }
}

function measure({ rounds, threads, note }) {
  const scratch = mkdtempSync(path.join(os.tmpdir(), 'voxgrad-scale-'))
  const date = new Date().toISOString()
  const results = path.join(root, 'bench/results', `${date.slice(0, 10)}-scale.jsonl`)
  try {
    for (let round = 0; round < Number(rounds); round++) {
      for (const [varied, points] of Object.entries(variations)) {
        for (const point of points) {
          const plans = path.join(scratch, 'plans.json')
          writeFileSync(plans, JSON.stringify(plansOf(point)))
          const args = [
            'bench',
            'step',
            plans,
            '--classes',
            point.classes,
            '--threads',
            threads,
            '--repeat',
            5,
            '--json',
          ]
          const program = path.join(root, 'dist/cli/main.js')
          const output = execFileSync(process.execPath, [program, ...args.map(String)], { encoding: 'utf8' })
          const { p50_ms, cpu_ms, counts, load } = JSON.parse(output)
          const step = { p50_ms, cpu_ms, peak_bytes: counts.peak_bytes }
          const line = { varied, ...point, round, threads: Number(threads), ...step, load, note, date }
          console.log(JSON.stringify(line))
          appendFileSync(results, `${JSON.stringify(line)}\n`)
        }
      }
    }
  } finally {
    rmSync(scratch, { recursive: true })
  }
}

const linesOf = (file) =>
  readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))

/** Medians over the rounds, by what varied: [{ x, time, memory }] in the order of x. */
function curve(lines, position, time, memory) {
  const groups = new Map()
  for (const line of lines) groups.set(position(line), [...(groups.get(position(line)) ?? []), line])
  const middle = (group, value) =>
    quantile(
      group.map(value).sort((a, b) => a - b),
      0.5,
    )
  return [...groups]
    .map(([x, group]) => ({ x, time: middle(group, time), memory: middle(group, memory) }))
    .sort((a, b) => a.x - b.x)
}

const width = 1240
const height = 900

function draw(scaleFile, casesFile, target = path.join(root, 'docs/images/scale.png')) {
  const lines = linesOf(scaleFile)
  const steps = (varied, position) =>
    curve(
      lines.filter((line) => line.varied === varied),
      position,
      ({ p50_ms }) => p50_ms,
      ({ peak_bytes }) => peak_bytes / 2 ** 20,
    )
  const inStep = { unit: 'ms a step', memory: 'peak memory of a step (MiB)' }
  const panels = [
    {
      title: 'Patch',
      xTitle: 'thousand voxels',
      points: steps('patch', ({ patch }) => patch[0] ** 3 / 1000),
      ...inStep,
    },
    { title: 'Batch', xTitle: 'patches in a batch', points: steps('batch', ({ batch }) => batch), ...inStep },
    {
      title: 'Classes',
      xTitle: 'classes with the background',
      points: steps('classes', ({ classes }) => classes),
      ...inStep,
    },
    {
      title: 'Cases',
      xTitle: 'training cases on disk',
      points: curve(
        linesOf(casesFile).filter(({ place }) => place === 'disk'),
        ({ cases }) => cases,
        ({ firstStep }) => firstStep,
        ({ peakBytes }) => peakBytes / 2 ** 20,
      ),
      unit: 'seconds to the first step',
      memory: 'peak memory of the process (MiB)',
    },
  ]
  const drawPanels = (context) => {
    context.fillStyle = '#ffffff'
    context.fillRect(0, 0, width, height)
    for (const [index, { title, xTitle, points, unit, memory }] of panels.entries()) {
      const box = { x: 95 + (index % 2) * 625, y: 50 + Math.floor(index / 2) * 450, width: 425, height: 320 }
      const positions = points.map(({ x }) => x)
      const scales = { x: makeScale(positions, 6, { low: 0 }) }
      const series = [
        { label: 'time', color: '#2563eb', values: points.map(({ time }) => time), width: 2 },
        { label: 'memory', color: '#b45309', values: points.map((point) => point.memory), width: 2, dash: [5, 4] },
      ].map((one) => ({ ...one, scale: makeScale(one.values, 5, { low: 0 }) }))
      const [left, right] = series.map(({ scale }) => scale)
      drawAxes(context, box, { ...scales, left, right, xTitle, leftTitle: unit, rightTitle: memory })
      drawTitle(context, box, title)
      for (const one of series) drawSeries(context, box, scales.x, positions, one)
      drawLegend(context, box, series)
    }
  }
  writeFileSync(target, drawBitmap(width, height, 1.5, drawPanels).toBuffer('image/png'))
  for (const { title, points } of panels) {
    const [first, last] = [points[0], points.at(-1)]
    const exponent = (value) => (Math.log(last[value] / first[value]) / Math.log(last.x / first.x)).toFixed(2)
    console.log(
      `${title}: ${first.x} to ${last.x}: time grows with the power ${exponent('time')}, memory ${exponent('memory')}`,
    )
  }
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '3' },
    threads: { type: 'string', default: '1' },
    note: { type: 'string', default: '' },
  },
})
const [verb, ...files] = positionals
if (verb === 'measure' && files.length === 0) measure(values)
else if (verb === 'draw' && files.length >= 2) draw(...files)
else {
  console.error('usage: node bench/scale.mjs measure [--rounds 3] | draw SCALE.jsonl MANY-CASES.jsonl [OUT.png]')
  process.exitCode = 2
}
