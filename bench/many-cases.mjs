// Start-up time and memory of a run by its number of cases: a folder of links to a few small preprocessed cases. Appends a
// line a run to bench/results/DATE-many-cases.jsonl.
//   node bench/many-cases.mjs PREPROCESSED_DATASET WORK_FOLDER [--counts 100,1000,10000] [--place disk] [--note TEXT]
// PREPROCESSED_DATASET has dataset.json, nnUNetPlansTiny.json and the cases of its 3d_fullres. Seconds are of the whole
// process: until the run has started, until its first step is done, and until its epoch of ten steps has ended.
import { spawnSync } from 'node:child_process'
import { appendFileSync, copyFileSync, linkSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')
const dataset = 'Dataset999_Many'
const plans = 'nnUNetPlansTiny'

/** Links cases until there are `count`; the links' names alone differ. */
function makeCases(source, target, count) {
  const description = JSON.parse(readFileSync(path.join(source, `${plans}.json`), 'utf8'))
  const folder = description.configurations['3d_fullres'].data_identifier
  rmSync(target, { recursive: true, force: true })
  mkdirSync(path.join(target, folder), { recursive: true })
  for (const file of ['dataset.json', `${plans}.json`]) copyFileSync(path.join(source, file), path.join(target, file))
  const cases = readdirSync(path.join(source, folder))
    .filter((name) => name.endsWith('.pkl'))
    .map((name) => name.slice(0, -4))
  for (let i = 0; i < count; i++) {
    for (const ending of ['.b2nd', '_seg.b2nd', '.pkl']) {
      const from = path.join(source, folder, cases[i % cases.length] + ending)
      linkSync(from, path.join(target, folder, `case_${String(i).padStart(6, '0')}${ending}`))
    }
  }
}

/** In a process of its own: trains an epoch and prints what it took as JSON. */
async function trainOnce(work, place) {
  const { train } = await import(pathToFileURL(path.join(root, 'dist/index.js')).href)
  const folders = { preprocessed: path.join(work, 'preprocessed'), results: path.join(work, 'results') }
  rmSync(folders.results, { recursive: true, force: true })
  const run = train({
    dataset: 999,
    configuration: '3d_fullres',
    fold: 0,
    plans,
    folders,
    threads: 1,
    budget: { epochs: 1, stepsPerEpoch: 10, valSteps: 2 },
    validateAtEnd: false,
    data: { place },
  })
  const seconds = () => Number((performance.now() / 1000).toFixed(3)) // performance counts from the start of the process
  const result = {}
  for await (const event of run) {
    if (event.type === 'run_started') result.started = seconds()
    if (event.type === 'progress' && event.done > 0) result.firstStep ??= seconds()
    if (event.type === 'log' && event.text.includes('Data:'))
      result.said = event.text.slice(event.text.indexOf('Data:'))
    if (event.type === 'epoch') Object.assign(result, { epoch: seconds(), peakBytes: event.memory.peak_resident_bytes })
  }
  await run.finished
  console.log(JSON.stringify(result))
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    counts: { type: 'string', default: '100,1000,10000' },
    place: { type: 'string', default: 'disk' },
    note: { type: 'string', default: '' },
    once: { type: 'boolean', default: false },
  },
})
const [source, work] = positionals
if (values.once) {
  await trainOnce(source, values.place)
} else {
  const date = new Date().toISOString()
  const results = path.join(root, 'bench/results', `${date.slice(0, 10)}-many-cases.jsonl`)
  for (const count of values.counts.split(',').map(Number)) {
    makeCases(source, path.join(work, 'preprocessed', dataset), count)
    const args = [fileURLToPath(import.meta.url), work, '--once', '--place', values.place]
    const { status, stdout } = spawnSync(process.execPath, args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    if (status !== 0) throw new Error(`a run with ${count} cases ended with code ${status}`)
    const machine = { cpu: os.cpus()[0]?.model, cores: os.cpus().length, load: Number(os.loadavg()[0]?.toFixed(2)) }
    const line = { cases: count, place: values.place, ...JSON.parse(stdout), note: values.note, date, ...machine }
    console.log(JSON.stringify(line))
    appendFileSync(results, `${JSON.stringify(line)}\n`)
  }
}
