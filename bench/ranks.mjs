// Step time of several ranks over Gloo, on networks of known rates, against the model of docs/scaling.md; and what the model
// says of many GPUs.
//   node bench/ranks.mjs measure PREPROCESSED_FOLDER DATASET [--note TEXT]  as root: two hosts (network namespaces) whose link is
//                                               held to rates; a line a run in bench/results/DATE-ranks.jsonl
//   node bench/ranks.mjs check RANKS.jsonl      the model's step times beside the measured ones
//   node bench/ranks.mjs predict                step times of plans on 8 GPUs of a box, and on 8 such boxes
// Each rank has one thread and a processor of its own; the plans are nnUNetPlansTiny's of DATASET.
import { execFileSync, spawn } from 'node:child_process'
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { native } from '../dist/native/load.js'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')
const main = path.join(root, 'dist/cli/main.js')
const hosts = ['voxgrad-a', 'voxgrad-b']

/**
 * Seconds of a step that ranks share.
 * @param compute seconds of this rank's part without exchange
 * @param bytes of all gradients; each rank sends and receives 2 (ranks - 1) / ranks of them in a ring
 * @param rate bytes a second, each way
 * @param latency seconds of each of the 2 (ranks - 1) turns of the ring
 * A third of a step is the second half of its backward pass, in which most gradients, those of the deepest stages, are on their
 * way already (docs/scaling.md).
 */
function stepSeconds({ compute, bytes, ranks, rate, latency }) {
  if (ranks === 1) return compute
  const turns = 2 * (ranks - 1)
  const exchange = (turns / ranks) * (bytes / rate) + turns * latency
  return compute + Math.max(0, exchange - compute / 3)
}

const ip = (...args) => execFileSync('ip', args)

/** Two hosts with a link of so many megabits a second between them. */
async function withHosts(megabits, deed) {
  try {
    for (const host of hosts) ip('netns', 'add', host)
    ip('link', 'add', 'v0', 'netns', hosts[0], 'type', 'veth', 'peer', 'name', 'v1', 'netns', hosts[1])
    for (const [i, host] of hosts.entries()) {
      ip('-n', host, 'address', 'add', `10.77.0.${i + 1}/24`, 'dev', `v${i}`)
      for (const device of ['lo', `v${i}`]) ip('-n', host, 'link', 'set', device, 'up')
      const limit = ['rate', `${megabits}mbit`, 'burst', '128kb', 'latency', '50ms']
      execFileSync('ip', ['netns', 'exec', host, 'tc', 'qdisc', 'add', 'dev', `v${i}`, 'root', 'tbf', ...limit])
    }
    return await deed()
  } finally {
    for (const host of hosts) ip('netns', 'delete', host)
  }
}

function trainOnHosts({ folder, dataset, work, ranks, batch, name }) {
  const run = path.join(work, name)
  const args = [
    ...['train', dataset, '3d_fullres', '0', '--plans', 'nnUNetPlansTiny', '--preprocessed', folder, '--run', run],
    ...['--raw', folder, '--results', work, '--epochs', '7', '--steps-per-epoch', '12', '--val-steps', '1'],
    ...['--threads', '1', '--set', 'validateAtEnd=false', '--set', `batchSize=${batch}`],
  ]
  const ended = Array.from({ length: ranks }, (_, rank) => {
    const environment = {
      ...{ RANK: String(rank), WORLD_SIZE: String(ranks), LOCAL_RANK: '0' },
      ...{ MASTER_ADDR: '10.77.0.1', MASTER_PORT: '29700' },
    }
    const command = ['netns', 'exec', hosts[rank], 'taskset', '-c', String(rank), process.execPath, main, ...args]
    const child = spawn('ip', command, {
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    return new Promise((resolve, reject) =>
      child.on('close', (code) => (code === 0 ? resolve() : reject(new Error(`rank ${rank} ended with ${code}`)))),
    )
  })
  return Promise.all(ended).then(async () => {
    const lines = readFileSync(path.join(run, 'metrics.jsonl'), 'utf8').trim().split('\n')
    // The first epoch warms up.
    const epochs = lines.map((line) => JSON.parse(line)).filter(({ type }) => type === 'epoch')
    const { network_weights: weights } = await native().readTorchFile(path.join(run, 'checkpoint_final.pth'))
    // nnU-Net's checkpoints name some parameters twice.
    const once = Object.entries(weights).filter(([key]) => !/^decoder\.encoder\.|all_modules/.test(key))
    const bytes = once.reduce((sum, [, { data }]) => sum + data.byteLength, 0)
    return { stepMs: Math.min(...epochs.slice(1).map(({ step_ms: step }) => step.p50)), bytes }
  })
}

async function measure(folder, dataset, note) {
  const work = mkdtempSync(path.join(os.tmpdir(), 'voxgrad-ranks-'))
  const date = new Date().toISOString()
  const file = path.join(root, 'bench/results', `${date.slice(0, 10)}-ranks.jsonl`)
  const points = [
    ...[2, 4].map((batch) => ({ ranks: 1, batch, megabits: 10_000 })),
    ...[10_000, 1000, 400, 200, 100, 50].map((megabits) => ({ ranks: 2, batch: 4, megabits })),
  ]
  try {
    for (const [index, point] of points.entries()) {
      const job = { folder, dataset, work, name: `run-${index}`, ...point }
      const found = await withHosts(point.megabits, () => trainOnHosts(job))
      const line = { ...point, ...found, date, machine: os.cpus()[0]?.model, note }
      console.log(JSON.stringify(line))
      appendFileSync(file, `${JSON.stringify(line)}\n`)
    }
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** Latency of a small message between the hosts, which are namespaces of one machine. */
const localLatency = 100e-6

function check(file) {
  const lines = readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  const date = lines.at(-1).date
  const latest = lines.filter((line) => line.date === date)
  const alone = Object.fromEntries(
    latest.filter(({ ranks }) => ranks === 1).map(({ batch, stepMs }) => [batch, stepMs]),
  )
  const rows = latest
    .filter(({ ranks }) => ranks > 1)
    .map(({ ranks, batch, megabits, bytes, stepMs }) => {
      const rate = (megabits * 1e6) / 8
      const compute = alone[batch / ranks] / 1000
      const model = 1000 * stepSeconds({ compute, bytes, ranks, rate, latency: localLatency })
      return {
        'Mbit/s': megabits,
        'measured ms': round(stepMs),
        'model ms': round(model),
        ratio: round(model / stepMs, 2),
      }
    })
  console.log(
    `one rank: ${Object.entries(alone)
      .map(([batch, ms]) => `batch ${batch} ${round(ms)} ms`)
      .join(', ')}`,
  )
  console.table(rows)
}

const round = (value, digits = 1) => Number(value.toFixed(digits))

/**
 * One H100 by its published 14.1 ms a patch of 128^3 (MLPerf Training 3.1, 3D U-Net), the others by their arithmetic. The rates
 * are what rings of NCCL reach with messages of these sizes, about half of the makers' figures.
 */
const plans = [
  { plan: 'Hippocampus, 40x56x40', parameters: 5.6e6, sampleMs: 0.57 },
  { plan: '128x128x128', parameters: 31.2e6, sampleMs: 14.1 },
  { plan: 'ResEnc L, 160x224x192', parameters: 102.35e6, sampleMs: 69.6 },
]
const systems = [
  { system: '8 GPUs, NVLink', ranks: 8, rate: 200e9, latency: 5e-6 },
  { system: '8 GPUs, PCIe 4', ranks: 8, rate: 12e9, latency: 10e-6 },
  { system: '8 boxes, 8 x 400 Gbit/s', ranks: 64, rate: 150e9, latency: 8e-6 },
  { system: '8 boxes, 100 Gbit/s', ranks: 64, rate: 10e9, latency: 15e-6 },
]

function predict() {
  const rows = plans.flatMap(({ plan, parameters, sampleMs }) =>
    systems.map(({ system, ...network }) => {
      const row = { plan, system }
      for (const samples of [1, 2]) {
        const compute = (samples * sampleMs) / 1000
        const step = stepSeconds({ compute, bytes: 4 * parameters, ...network })
        row[`${samples} a GPU: ms, efficiency`] = `${round(1000 * step)}, ${round((100 * compute) / step, 0)} %`
      }
      return row
    }),
  )
  console.table(rows)
}

const { values, positionals } = parseArgs({ allowPositionals: true, options: { note: { type: 'string' } } })
const [verb, ...rest] = positionals
if (verb === 'measure' && rest.length === 2) await measure(rest[0], rest[1], values.note)
else if (verb === 'check' && rest.length === 1) check(rest[0])
else if (verb === 'predict') predict()
else {
  console.error('usage: ranks.mjs measure PREPROCESSED_FOLDER DATASET | check RANKS.jsonl | predict')
  process.exitCode = 2
}
