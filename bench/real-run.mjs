// The proof on real data: trains the `tiny` preset on a dataset for 20 epochs of 100 steps (10 validation steps) with voxgrad
// and with the real nnU-Net, fold by fold and seed by seed in turn, and appends a line a run to
// bench/results/DATE-real-run.jsonl.
//   node bench/real-run.mjs DECATHLON_TASK PEER_KIT WORK_FOLDER [--folds 0] [--seeds 1,2,3] [--sides voxgrad,nnunet]
//                           [--epochs 20] [--threads 2] [--without-figures]    the last: other work runs beside, so no timing
//   node bench/real-run.mjs DECATHLON_TASK PEER_KIT WORK_FOLDER --timing      seconds a step alone: 3 epochs, no end validation
//   node bench/real-run.mjs --summary FILE...           the seeds of fold 0
//   node bench/real-run.mjs --cross-validation FILE...  all folds; a fold counts by the mean of its seeds
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
    folds: { type: 'string', default: '0' },
    threads: { type: 'string' },
    sides: { type: 'string', default: 'voxgrad,nnunet' },
    epochs: { type: 'string', default: '20' },
    summary: { type: 'boolean', default: false },
    timing: { type: 'boolean', default: false },
    'cross-validation': { type: 'boolean', default: false },
    'without-figures': { type: 'boolean', default: false },
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

const deviation = (list) => Math.sqrt(list.reduce((sum, x) => sum + (x - mean(list)) ** 2, 0) / (list.length - 1))

/** The lines of result files; the first ones did not name their fold, which was 0. */
const readFiles = (files) =>
  files.flatMap((file) => readLines(readFileSync(file, 'utf8'))).map((line) => ({ fold: 0, ...line }))

/** The median epoch, with its validation: neither the first one's warm-up nor a disturbed one counts. */
const secondsPerStep = (seconds) => seconds.toSorted((a, b) => a - b)[Math.floor(seconds.length / 2)] / STEPS

const folders = (base) => ({
  nnUNet_raw: path.join(base, 'raw'),
  nnUNet_preprocessed: path.join(base, 'preprocessed'),
  nnUNet_results: path.join(base, 'results'),
})

const timingOnly = (seconds) => ({ secondsPerStep: seconds, peakBytes: null, dice: null, dicePerClass: null })

async function runVoxgrad(base, fold, seed) {
  const run = path.join(base, 'results', `fold_${fold}_seed_${seed}_${Date.now()}`)
  const budget = ['--epochs', trainedEpochs, '--steps-per-epoch', STEPS, '--val-steps', VALIDATION_STEPS]
  const { peakBytes } = await measured(
    process.execPath,
    [
      program,
      'train',
      '4',
      '3d_fullres',
      fold,
      '--plans',
      'nnUNetPlansTiny',
      '--seed',
      seed,
      ...budget,
      '--run',
      run,
      '--json',
      ...(values.threads ? ['--threads', values.threads] : []),
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

async function runPeer(kit, python, base, fold, seed) {
  const budget = ['--epochs', trainedEpochs, '--iterations', STEPS, '--val-iterations', VALIDATION_STEPS]
  const rest = values.timing ? ['--no-validation'] : []
  const { output, peakBytes } = await measured(
    python,
    [path.join(kit, 'train_tiny.py'), base, '4', ...budget, ...rest, '--fold', fold, '--seed', seed].map(String),
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
  const lines = readFiles(files).filter((line) => line.fold === 0 && (line.epochs === epochs || line.dice === null))
  // A figure that was not measured under equal conditions is null.
  const of = (side, key) => lines.filter((line) => line.side === side && line[key] !== null).map((line) => line[key])
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

/** Dice of every class over the folds, of both sides, with the standard error of the folds' differences. */
function summarizeCrossValidation(files) {
  const lines = readFiles(files).filter((line) => line.dice !== null)
  const folds = [...new Set(lines.map((line) => line.fold))].sort()
  const ofFold = (side, fold) => lines.filter((line) => line.side === side && line.fold === fold)
  for (const fold of folds) {
    const text = ['voxgrad', 'nnunet'].map((side) => {
      const runs = ofFold(side, fold)
      return `${side} ${mean(runs.map((run) => run.dice)).toFixed(4)} (seeds ${runs.map((run) => run.seed).join(', ')})`
    })
    console.log(`fold ${fold}   ${text.join('   ')}`)
  }
  for (const label of Object.keys(lines[0].dicePerClass)) {
    const perFold = (side) => folds.map((fold) => mean(ofFold(side, fold).map((run) => run.dicePerClass[label])))
    const [ours, theirs] = [perFold('voxgrad'), perFold('nnunet')]
    const differences = ours.map((dice, i) => dice - theirs[i])
    const standardError = deviation(differences) / Math.sqrt(folds.length)
    const allowed = Math.max(0.02, 2 * standardError)
    console.log(
      `class ${label}   voxgrad ${mean(ours).toFixed(4)}   nnunet ${mean(theirs).toFixed(4)}   ` +
        `difference ${mean(differences).toFixed(4)} +- ${standardError.toFixed(4)} (allowed: -${allowed.toFixed(4)})`,
    )
  }
}

if (values['cross-validation']) {
  summarizeCrossValidation(positionals)
} else if (values.summary) {
  summarize(positionals)
} else {
  const [task, kit, work] = positionals.map((folder) => path.resolve(folder))
  if (!task || !kit || !work) {
    console.error('usage: node bench/real-run.mjs DECATHLON_TASK PEER_KIT WORK_FOLDER [--seeds 1,2,3]')
    process.exit(2)
  }
  const { ours, peer, python } = prepare(task, kit, work)
  const file = path.join(root, 'bench/results', `${new Date().toISOString().slice(0, 10)}-real-run.jsonl`)
  for (const fold of values.folds.split(',')) {
    for (const seed of values.seeds.split(',')) {
      for (const side of values.sides.split(',')) {
        const load = os.loadavg()[0]
        const result =
          side === 'voxgrad' ? await runVoxgrad(ours, fold, seed) : await runPeer(kit, python, peer, fold, seed)
        if (values['without-figures']) Object.assign(result, { secondsPerStep: null, peakBytes: null })
        const machine = { cpu: os.cpus()[0]?.model, cores: os.cpus().length, loadBefore: load }
        const line = JSON.stringify({
          side,
          fold: Number(fold),
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
  }
  summarize([file])
}
