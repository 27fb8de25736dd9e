// The proof on real data: trains the `tiny` preset on a dataset for 20 epochs of 100 steps (10 validation steps, fold 0)
// with voxgrad and with the real nnU-Net, seed by seed in turn, and appends a line a run to bench/results/DATE-real-run.jsonl.
//   node bench/real-run.mjs DECATHLON_TASK PEER_KIT WORK_FOLDER [--seeds 1,2,3] [--sides voxgrad,nnunet] [--epochs 20]
//   node bench/real-run.mjs DECATHLON_TASK PEER_KIT WORK_FOLDER --timing      seconds a step alone: 3 epochs, no end validation
//   node bench/real-run.mjs --summary FILE...
// PEER_KIT is the folder of scripts that install and run nnU-Net; each side preprocesses the data itself. Runs may be spread
// over days: every call adds its lines, and --summary compares all lines of the given files.
import { execFileSync } from 'node:child_process'
import { appendFileSync, existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { measured } from './measured.mjs'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')
const program = path.join(root, 'dist/cli/main.js')
const STEPS = 100
const VALIDATION_STEPS = 10
const DATASET = 'Dataset004_Hippocampus'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seeds: { type: 'string', default: '1,2,3' },
    sides: { type: 'string', default: 'voxgrad,nnunet' },
    epochs: { type: 'string', default: '20' },
    summary: { type: 'boolean', default: false },
    timing: { type: 'boolean', default: false },
  },
})
const epochs = Number(values.epochs)
const trainedEpochs = values.timing ? 3 : epochs

const mean = (list) => list.reduce((sum, x) => sum + x, 0) / list.length
const readLines = (text) =>
  text
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))

/** The median epoch, with its validation: neither the first one's warm-up nor a disturbed one counts. */
const secondsPerStep = (seconds) => seconds.toSorted((a, b) => a - b)[Math.floor(seconds.length / 2)] / STEPS

const folders = (base) => ({
  nnUNet_raw: path.join(base, 'raw'),
  nnUNet_preprocessed: path.join(base, 'preprocessed'),
  nnUNet_results: path.join(base, 'results'),
})

const timingOnly = (seconds) => ({ secondsPerStep: seconds, peakBytes: null, dice: null, dicePerClass: null })

async function runVoxgrad(base, seed) {
  const run = path.join(base, 'results', `seed_${seed}_${Date.now()}`)
  const budget = ['--epochs', trainedEpochs, '--steps-per-epoch', STEPS, '--val-steps', VALIDATION_STEPS]
  const { peakBytes } = await measured(
    process.execPath,
    [
      program,
      'train',
      '4',
      '3d_fullres',
      '0',
      '--plans',
      'nnUNetPlansTiny',
      '--seed',
      seed,
      ...budget,
      '--run',
      run,
      '--json',
      ...(values.timing ? ['--set', 'validateAtEnd=false'] : []),
    ].map(String),
    folders(base),
  )
  const lines = readLines(readFileSync(path.join(run, 'metrics.jsonl'), 'utf8')).filter((line) => line.type === 'epoch')
  const seconds = secondsPerStep(lines.map((line) => line.seconds))
  if (values.timing) return timingOnly(seconds)
  const summary = JSON.parse(readFileSync(path.join(run, 'validation/summary.json'), 'utf8'))
  const dicePerClass = Object.fromEntries(Object.entries(summary.mean).map(([label, metrics]) => [label, metrics.Dice]))
  return {
    secondsPerStep: seconds,
    peakBytes,
    dice: summary.foreground_mean.Dice,
    dicePerClass,
  }
}

async function runPeer(kit, python, base, seed) {
  const budget = ['--epochs', trainedEpochs, '--iterations', STEPS, '--val-iterations', VALIDATION_STEPS]
  const rest = values.timing ? ['--no-validation'] : []
  const { output, peakBytes } = await measured(
    python,
    [path.join(kit, 'train_tiny.py'), base, '4', ...budget, ...rest, '--seed', seed].map(String),
    {},
  )
  const lines = readLines(output)
  const last = lines.at(-1)
  const seconds = lines.filter((line) => 'epoch' in line).map((line) => line.seconds)
  if (values.timing) return timingOnly(secondsPerStep(seconds))
  return {
    secondsPerStep: secondsPerStep(seconds),
    peakBytes,
    dice: last.foreground_mean_dice,
    dicePerClass: last.validation_dice,
  }
}

function prepare(task, kit, work) {
  const [ours, peer] = [path.join(work, 'voxgrad'), path.join(work, 'nnunet')]
  for (const base of [ours, peer])
    for (const folder of Object.values(folders(base))) mkdirSync(folder, { recursive: true })
  const voxgrad = (...args) =>
    execFileSync(process.execPath, [program, ...args], { env: { ...process.env, ...folders(ours) }, stdio: 'inherit' })
  if (!existsSync(path.join(ours, 'raw', DATASET))) voxgrad('import', task, '--id', '4')
  if (!existsSync(path.join(ours, 'preprocessed', DATASET, 'nnUNetPlansTiny.json'))) {
    voxgrad('plan', '4')
    voxgrad('plan', '4', '--preset', 'tiny')
  }
  if (!existsSync(path.join(ours, 'preprocessed', DATASET, 'nnUNetPlans_3d_fullres')))
    voxgrad('preprocess', '4', '-c', '3d_fullres')
  const python = execFileSync('bash', [path.join(kit, 'setup.sh')], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .at(-1)
  if (!existsSync(path.join(peer, 'raw', DATASET)))
    symlinkSync(path.join(ours, 'raw', DATASET), path.join(peer, 'raw', DATASET))
  if (!existsSync(path.join(peer, 'preprocessed', DATASET, 'nnUNetPlans_3d_fullres'))) {
    execFileSync('bash', [path.join(kit, 'run_plan_and_preprocess.sh'), peer, '4', '-c', '3d_fullres'], {
      stdio: 'inherit',
    })
  }
  return { ours, peer, python }
}

function summarize(files) {
  const lines = files
    .flatMap((file) => readLines(readFileSync(file, 'utf8')))
    .filter((line) => line.epochs === epochs || line.dice === null)
  // A figure that was not measured under equal conditions is null.
  const of = (side, key) => lines.filter((line) => line.side === side && line[key] !== null).map((line) => line[key])
  const deviation = (list) => Math.sqrt(list.reduce((sum, x) => sum + (x - mean(list)) ** 2, 0) / (list.length - 1))
  for (const side of ['voxgrad', 'nnunet']) {
    const dice = of(side, 'dice')
    const memory = (mean(of(side, 'peakBytes')) / 2 ** 20).toFixed(0)
    console.log(
      `${side.padEnd(8)} ${dice.length} seeds  Dice ${mean(dice).toFixed(4)} +- ${deviation(dice).toFixed(4)}  ` +
        `${mean(of(side, 'secondsPerStep')).toFixed(3)} s a step  peak ${memory} MiB`,
    )
  }
  const [ours, theirs] = [of('voxgrad', 'dice'), of('nnunet', 'dice')]
  const standardError = Math.sqrt(deviation(ours) ** 2 / ours.length + deviation(theirs) ** 2 / theirs.length)
  const ratio = (key) => (mean(of('voxgrad', key)) / mean(of('nnunet', key))).toFixed(3)
  const allowed = Math.max(0.02, 2 * standardError || 0).toFixed(4)
  console.log(`difference of Dice ${(mean(ours) - mean(theirs)).toFixed(4)} (allowed: -${allowed})`)
  console.log(
    `ratio of seconds a step ${ratio('secondsPerStep')} (at most 0.7), of peak memory ${ratio('peakBytes')} (at most 0.5)`,
  )
}

if (values.summary) {
  summarize(positionals)
} else {
  const [task, kit, work] = positionals.map((folder) => path.resolve(folder))
  if (!task || !kit || !work) {
    console.error('usage: node bench/real-run.mjs DECATHLON_TASK PEER_KIT WORK_FOLDER [--seeds 1,2,3]')
    process.exit(2)
  }
  const { ours, peer, python } = prepare(task, kit, work)
  const file = path.join(root, 'bench/results', `${new Date().toISOString().slice(0, 10)}-real-run.jsonl`)
  for (const seed of values.seeds.split(',')) {
    for (const side of values.sides.split(',')) {
      const load = os.loadavg()[0]
      const result = side === 'voxgrad' ? await runVoxgrad(ours, seed) : await runPeer(kit, python, peer, seed)
      const machine = { cpu: os.cpus()[0]?.model, cores: os.cpus().length, loadBefore: load }
      const line = JSON.stringify({
        side,
        seed: Number(seed),
        epochs: trainedEpochs,
        ...result,
        date: new Date().toISOString(),
        ...machine,
      })
      appendFileSync(file, `${line}\n`)
      console.log(line)
    }
  }
  summarize([file])
}
