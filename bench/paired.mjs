// Pairs voxgrad with the real nnU-Net: the same step, its parts and the augmentation, in turn (A B A B ...) on one core with
// one thread each, and prints the ratios of their times with their spread.
//   node bench/paired.mjs PEER_KIT [--shape hippocampus] [--batch 2] [--alternations 7] [--runs 7] [--core 0]
//                         [--parts step,network,loss,...] [--python FILE] [--note TEXT] [--print-only]
// PEER_KIT is the folder of scripts that run nnU-Net, with time_step.py; --python (or VOXGRAD_PEER_PYTHON) has nnunetv2.
// Appends a line to bench/results/DATE-paired.jsonl, unless other work took part of a core meanwhile: such a line is only
// printed, as with --print-only.
import { execFileSync } from 'node:child_process'
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { ratioOf } from '../dist/bench/result.js'
import { namedShapes } from '../dist/bench/shapes.js'
import { quantile } from '../dist/bench/statistics.js'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')
const program = path.join(root, 'dist/cli/main.js')

/** What is compared: how to read milliseconds from each side's output; nnU-Net's name of the part. */
const parts = {
  step: { peer: 'train_step', ours: ({ step }) => step.p50_ms },
  network: { peer: 'network', ours: ({ step }) => step.alone.network.p50_ms },
  loss: { peer: 'loss', ours: ({ step }) => step.alone.loss.p50_ms },
  optimizer: { peer: 'optimizer', ours: ({ step }) => step.alone.optimizer.p50_ms },
  pseudo_dice: { peer: 'pseudo_dice', ours: ({ step }) => step.alone.pseudo_dice.p50_ms },
  // Of the first stage; nnU-Net's by peer_parts.py.
  norm: { ours: ({ step }) => step.alone.norm.p50_ms },
  // Processor time of a patch. Ours also draws the case and cuts it out; nnU-Net's starts from the patch that was cut.
  augmentation: { peer: 'augmentation', ours: ({ data }) => 1e3 / data.patches_per_second_per_core },
  // A network of next to no arithmetic.
  host_overhead: { peer: 'host_overhead', ours: ({ overhead }) => overhead.p50_ms },
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    shape: { type: 'string', default: 'hippocampus' },
    batch: { type: 'string', default: '2' },
    alternations: { type: 'string', default: '7' },
    runs: { type: 'string', default: '7' },
    core: { type: 'string', default: '0' },
    parts: { type: 'string', default: Object.keys(parts).join(',') },
    python: { type: 'string', default: process.env.VOXGRAD_PEER_PYTHON ?? '' },
    note: { type: 'string', default: '' },
    'print-only': { type: 'boolean', default: false },
  },
})
const timeStep = path.join(positionals[0] ?? '', 'time_step.py')
const shape = namedShapes[values.shape]
const wanted = values.parts.split(',')
const fault =
  (positionals.length !== 1 &&
    'usage: node bench/paired.mjs PEER_KIT [--shape hippocampus] [--batch 2] [--parts ...]') ||
  (!existsSync(timeStep) && `${timeStep}: expected the peer kit's timing script, found nothing`) ||
  (!existsSync(values.python) && '--python: expected a Python that has nnunetv2 (or VOXGRAD_PEER_PYTHON)') ||
  (!shape && `--shape: expected one of ${Object.keys(namedShapes).join(', ')}, found ${values.shape}`) ||
  (wanted.some((part) => !(part in parts)) && `--parts: expected some of ${Object.keys(parts).join(', ')}`) ||
  // nnU-Net's null network has as many stages as the shape; ours has four.
  (wanted.includes('host_overhead') &&
    shape.features.length !== namedShapes.null.features.length &&
    `--parts: host_overhead is compared at shapes of ${namedShapes.null.features.length} stages; leave it out here`)
if (fault) {
  console.error(fault)
  process.exit(2)
}

/** Runs a program on one core with one thread; returns the JSON object that it prints last. */
function onOneCore(command, args) {
  const output = execFileSync('taskset', ['-c', values.core, command, ...args], {
    encoding: 'utf8',
    env: { ...process.env, OMP_NUM_THREADS: '1' },
    maxBuffer: 2 ** 26,
    stdio: ['ignore', 'pipe', 'pipe'], // what it says beside is shown if it fails
  })
  return JSON.parse(output.trim().split('\n').at(-1))
}

const has = (...names) => names.some((name) => wanted.includes(name))
const bench = (...args) => onOneCore(process.execPath, [program, 'bench', ...args, '--threads', '1', '--json'])

function timeOurs() {
  const steps = ['--batch', values.batch, '--repeat', values.runs, '--without-data']
  return {
    step:
      has('step', 'network', 'loss', 'optimizer', 'pseudo_dice', 'norm') &&
      bench('step', values.shape, ...steps, '--warmup', '2', '--parts'),
    data: has('augmentation') && bench('data', values.shape, '--batch', values.batch, '--repeat', '60'),
    overhead: has('host_overhead') && bench('step', 'null', '--without-data', '--warmup', '5', '--repeat', '30'),
  }
}

function timePeer() {
  const common = [
    '--threads',
    '1',
    '--patch',
    shape.patchSize.join(','),
    '--batch',
    values.batch,
    '--runs',
    values.runs,
  ]
  const names = wanted.map((part) => parts[part].peer).filter(Boolean)
  const residual = shape.network === 'ResidualEncoderUNet' ? ['--residual'] : []
  const features = ['--features', shape.features.join(',')]
  const times = onOneCore(values.python, [timeStep, ...common, ...features, ...residual, '--parts', ...names])
  const norm = ['--features', String(shape.features[0])]
  if (has('norm'))
    Object.assign(times, onOneCore(values.python, [path.join(root, 'bench/peer_parts.py'), ...common, ...norm]))
  return times
}

const peerMs = (times, part) =>
  part === 'augmentation' ? times.augmentation.mean_cpu_ms : times[parts[part].peer ?? part].median_ms

/** Cores that others keep busy, over a second in which this process waits. */
async function busyCores() {
  const read = () => readFileSync('/proc/stat', 'utf8').split('\n')[0].trim().split(/\s+/).slice(1, 9).map(Number)
  const before = read()
  await sleep(1000)
  const delta = read().map((value, index) => value - before[index])
  const total = delta.reduce((sum, value) => sum + value, 0)
  const idle = delta[3] + delta[4]
  return ((total - idle) / total) * os.cpus().length
}
const quietCores = 0.2

const times = Object.fromEntries(wanted.map((part) => [part, { ours: [], nnunet: [] }]))
const busy = []
let versions = {}
for (let round = 0; round < Number(values.alternations); round++) {
  busy.push(await busyCores())
  const ours = timeOurs()
  busy.push(await busyCores())
  const peer = timePeer()
  for (const part of wanted) {
    times[part].ours.push(parts[part].ours(ours))
    times[part].nnunet.push(peerMs(peer, part))
  }
  const { versions: own } = ours.step || ours.data || ours.overhead
  versions = { ...own, torch: peer.torch }
  console.error(
    `${round + 1}/${values.alternations}: ${wanted.map((part) => `${part} ${(times[part].ours.at(-1) / times[part].nnunet.at(-1)).toFixed(3)}`).join(', ')}`,
  )
}

const isQuiet = Math.max(...busy) < quietCores
const line = {
  shape: values.shape,
  patch: shape.patchSize,
  batch: Number(values.batch),
  alternations: Number(values.alternations),
  runs: Number(values.runs),
  parts: Object.fromEntries(
    wanted.map((part) => [part, { ...ratioOf(times[part].ours, times[part].nnunet), ...times[part] }]),
  ),
  busyCores: busy.map((value) => Number(value.toFixed(2))),
  cpu: os.cpus()[0].model,
  cores: os.cpus().length,
  load: os.loadavg(),
  commit: execFileSync('git', ['-C', root, 'rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim(),
  versions,
  note: values.note,
  date: new Date().toISOString(),
}
console.log(
  `${'part'.padEnd(14)} ${'voxgrad ms'.padStart(11)} ${'nnU-Net ms'.padStart(11)}  ratio (middle half of the alternations)`,
)
for (const part of wanted) {
  const { ours, nnunet, ratio, low, high } = line.parts[part]
  const cells = [quantile(ours, 0.5), quantile(nnunet, 0.5)].map((ms) => ms.toPrecision(4).padStart(11))
  console.log(`${part.padEnd(14)} ${cells.join(' ')}  ${ratio.toFixed(3)} (${low.toFixed(3)} to ${high.toFixed(3)})`)
}
if (!isQuiet) {
  console.log(`Not recorded: other work kept up to ${Math.max(...busy).toFixed(1)} cores busy between the runs.`)
} else if (!values['print-only']) {
  const file = path.join(root, 'bench/results', `${line.date.slice(0, 10)}-paired.jsonl`)
  appendFileSync(file, `${JSON.stringify(line)}\n`)
  console.log(`Appended to ${file}`)
}
if (isQuiet && values['print-only']) console.log(JSON.stringify(line))
