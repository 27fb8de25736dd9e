// What stopping early costs, and what annealing gives back: three runs of the `tiny` preset on a preprocessed dataset, with
// the same seed and budget. One trains it all, one ends after its patience, one anneals first.
//   node bench/on-plateau.mjs DATASET [--epochs 80] [--steps-per-epoch 50] [--patience 5] [--min-delta 0.005] [--anneal-steps 300]
//     [--warmup-epochs 0] [--metric ema_fg_dice] [--kinds whole,stop,anneal]
// The folders come from nnUNet_raw, nnUNet_preprocessed and nnUNet_results. Appends a line a run to
// bench/results/DATE-on-plateau.jsonl.
import { spawnSync } from 'node:child_process'
import { appendFileSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    epochs: { type: 'string', default: '80' },
    'steps-per-epoch': { type: 'string', default: '50' },
    patience: { type: 'string', default: '5' },
    'min-delta': { type: 'string', default: '0.005' },
    'anneal-steps': { type: 'string', default: '300' },
    'warmup-epochs': { type: 'string', default: '0' },
    metric: { type: 'string', default: 'ema_fg_dice' },
    seed: { type: 'string', default: '1' },
    kinds: { type: 'string', default: 'whole,stop,anneal' },
  },
})
const [dataset] = positionals
const results = process.env.nnUNet_results
if (!dataset || !results) {
  console.error('usage: nnUNet_raw=... nnUNet_preprocessed=... nnUNet_results=... node bench/on-plateau.mjs DATASET')
  process.exit(2)
}
const patience = [
  ...['--patience', values.patience],
  ...['--set', `earlyStopping.minDelta=${values['min-delta']}`],
  ...['--set', `earlyStopping.warmupEpochs=${values['warmup-epochs']}`],
]
const kinds = {
  whole: [],
  stop: patience,
  anneal: [...patience, '--on-plateau', 'anneal', '--set', `earlyStopping.annealSteps=${values['anneal-steps']}`],
}
const file = path.join(root, 'bench/results', `${new Date().toISOString().slice(0, 10)}-on-plateau.jsonl`)
for (const kind of values.kinds.split(',')) {
  const run = path.join(results, `on-plateau-${kind}-${Date.now()}`)
  const common = ['--plans', 'nnUNetPlansTiny', '--seed', values.seed, '--epochs', values.epochs, '--val-steps', '20']
  const length = ['--steps-per-epoch', values['steps-per-epoch'], '--run', run]
  const metric = ['--set', `bestModel.metric=${values.metric}`]
  const program = [path.join(root, 'dist/cli/main.js'), 'train', dataset, '3d_fullres', '0']
  const { status } = spawnSync(process.execPath, [...program, ...common, ...length, ...metric, ...kinds[kind]], {
    stdio: 'inherit',
  })
  if (status !== 0) process.exit(1)
  const lines = readFileSync(path.join(run, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  const epochs = lines.filter((line) => line.type === 'epoch')
  const saves = lines.filter((line) => line.type === 'checkpoint')
  const sum = (list, value) => list.reduce((total, line) => total + value(line), 0)
  const summary = JSON.parse(readFileSync(path.join(run, 'validation/summary.json'), 'utf8'))
  const line = {
    kind,
    options: { ...values, dataset },
    epochs: epochs.length,
    steps: epochs.at(-1).step,
    rateOfLastEpoch: epochs.at(-1).lr,
    dice: summary.foreground_mean.Dice,
    // Saving: how long training stood still for it.
    saves: saves.length,
    stallShare: sum(saves, (save) => save.stall_ms / 1000) / sum(epochs, (epoch) => epoch.seconds),
    date: new Date().toISOString(),
  }
  appendFileSync(file, `${JSON.stringify(line)}\n`)
  console.log(JSON.stringify(line))
}
