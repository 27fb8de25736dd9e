// Preprocesses a dataset with voxgrad and with the real nnU-Net in turn, both from the same plans on the same cores, and
// appends a line a run to bench/results/DATE-preprocess.jsonl.
//   node bench/preprocess.mjs DECATHLON_TASK PEER_PYTHON WORK_FOLDER [--repeat 3] [--jobs 2] [--note TEXT]
//   node bench/preprocess.mjs --summary FILE...
// PEER_PYTHON has nnunetv2. Seconds are of the whole command, start included; --note goes into every line (for example that
// the machine was not idle).
import { execFileSync } from 'node:child_process'
import { appendFileSync, copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { measured } from './measured.mjs'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')
const program = path.join(root, 'dist/cli/main.js')
const dataset = 'Dataset004_Hippocampus'
const configurations = ['2d', '3d_fullres']

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    repeat: { type: 'string', default: '3' },
    jobs: { type: 'string', default: '2' },
    note: { type: 'string', default: '' },
    summary: { type: 'boolean', default: false },
  },
})

const folders = (base) => ({
  nnUNet_raw: path.join(base, 'raw'),
  nnUNet_preprocessed: path.join(base, 'preprocessed'),
  nnUNet_results: path.join(base, 'results'),
})

/** Imports and plans once; nnU-Net gets the same images, fingerprint and plans. */
function prepare(task, work) {
  const [ours, peer] = [path.join(work, 'voxgrad'), path.join(work, 'nnunet')]
  for (const folder of [ours, peer].flatMap((base) => Object.values(folders(base))))
    mkdirSync(folder, { recursive: true })
  const voxgrad = (...args) =>
    execFileSync(process.execPath, [program, ...args], { env: { ...process.env, ...folders(ours) }, stdio: 'inherit' })
  if (!existsSync(path.join(ours, 'raw', dataset))) voxgrad('import', task, '--id', '4')
  const planned = path.join(ours, 'preprocessed', dataset)
  if (!existsSync(path.join(planned, 'nnUNetPlans.json'))) voxgrad('plan', '4')
  const copy = path.join(peer, 'preprocessed', dataset)
  mkdirSync(copy, { recursive: true })
  for (const file of ['dataset.json', 'dataset_fingerprint.json', 'nnUNetPlans.json'])
    copyFileSync(path.join(planned, file), path.join(copy, file))
  if (!existsSync(path.join(peer, 'raw', dataset)))
    symlinkSync(path.join(ours, 'raw', dataset), path.join(peer, 'raw', dataset))
  return { ours, peer }
}

function run(side, base, python) {
  // Every run writes all files anew.
  for (const part of ['nnUNetPlans_2d', 'nnUNetPlans_3d_fullres', 'gt_segmentations'])
    rmSync(path.join(base, 'preprocessed', dataset, part), { recursive: true, force: true })
  if (side === 'voxgrad') {
    const args = ['preprocess', '4', '-c', ...configurations, '-j', values.jobs]
    return measured(process.execPath, [program, ...args], folders(base))
  }
  const jobs = configurations.map(() => values.jobs)
  const args = ['-d', '4', '-c', ...configurations, '-np', ...jobs]
  const command = path.join(path.dirname(python), 'nnUNetv2_preprocess')
  // One thread a process, as nnU-Net asks for.
  return measured(python, [command, ...args], { ...folders(base), OMP_NUM_THREADS: '1' })
}

const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)]

function summarize(files) {
  const lines = files
    .flatMap((file) => readFileSync(file, 'utf8').split('\n'))
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
  const of = (side, key) => median(lines.filter((line) => line.side === side).map((line) => line[key]))
  for (const side of ['voxgrad', 'nnunet']) {
    const memory = (of(side, 'peakBytes') / 2 ** 20).toFixed(0)
    console.log(`${side.padEnd(8)} median ${of(side, 'seconds').toFixed(1)} s, peak ${memory} MiB`)
  }
  const ratio = (key) => (of('nnunet', key) / of('voxgrad', key)).toFixed(2)
  console.log(`nnU-Net takes ${ratio('seconds')} times as long and ${ratio('peakBytes')} times the memory`)
}

if (values.summary) {
  summarize(positionals)
} else {
  const [task, python, work] = positionals.map((item) => path.resolve(item))
  if (!task || !python || !work) {
    console.error(
      'usage: node bench/preprocess.mjs DECATHLON_TASK PEER_PYTHON WORK_FOLDER [--repeat 3] [--jobs 2] [--note TEXT]',
    )
    process.exit(2)
  }
  const { ours, peer } = prepare(task, work)
  const file = path.join(root, 'bench/results', `${new Date().toISOString().slice(0, 10)}-preprocess.jsonl`)
  for (let repeat = 0; repeat < Number(values.repeat); repeat += 1) {
    for (const [side, base] of [
      ['voxgrad', ours],
      ['nnunet', peer],
    ]) {
      const loadBefore = os.loadavg()[0]
      const { seconds, peakBytes } = await run(side, base, python)
      const machine = { cpu: os.cpus()[0]?.model, cores: os.cpus().length, loadBefore, loadAfter: os.loadavg()[0] }
      const settings = { dataset, configurations, jobs: Number(values.jobs), note: values.note }
      const line = JSON.stringify({ side, seconds, peakBytes, ...settings, date: new Date().toISOString(), ...machine })
      appendFileSync(file, `${line}\n`)
      console.log(line)
    }
  }
  summarize([file])
}
