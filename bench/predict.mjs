// Predicts all cases of a dataset, and validates a fold, with voxgrad and with the real nnU-Net in turn on the same cores, and
// appends a line a run to bench/results/DATE-predict.jsonl.
//   node bench/predict.mjs RUN PEER_FOLDER PEER_PYTHON [--repeat 3] [--work prediction,validation] [--note TEXT]
//   node bench/predict.mjs --summary FILE...
// RUN is a run of voxgrad (.../fold_N); PEER_FOLDER holds raw, preprocessed and results of nnU-Net with a model of the same
// plans and fold, as bench/real-run.mjs leaves both. Seconds are of the whole command, start included.
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { measured } from './measured.mjs'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')
const program = path.join(root, 'dist/cli/main.js')

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    repeat: { type: 'string', default: '3' },
    work: { type: 'string', default: 'prediction,validation' },
    note: { type: 'string', default: '' },
    summary: { type: 'boolean', default: false },
  },
})

const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'))

/** Commands of both sides by kind of work; `out` is a folder for predictions. */
function commandsOf(runFolder, peerFolder, python, out) {
  const { dataset, configuration, plans, fold } = readJson(path.join(runFolder, 'run.json')).options
  const raw = path.join(peerFolder, 'raw')
  const name = readdirSync(raw).find((entry) =>
    entry.startsWith(`Dataset${String(dataset).replace(/\D/g, '').padStart(3, '0')}_`),
  )
  const images = path.join(raw, name, 'imagesTr')
  const env = {
    nnUNet_raw: raw,
    nnUNet_preprocessed: path.join(peerFolder, 'preprocessed'),
    nnUNet_results: path.join(peerFolder, 'results'),
  }
  const voxgrad = (...args) => [process.execPath, [program, ...args], env]
  const nnunet = (command, ...args) => [python, [path.join(path.dirname(python), command), ...args], env]
  const model = ['-p', plans, '-device', 'cpu']
  return {
    prediction: {
      cases: readdirSync(images).length,
      voxgrad: voxgrad('predict', '-i', images, '-o', out, '--run', runFolder),
      nnunet: nnunet(
        'nnUNetv2_predict',
        '-i',
        images,
        '-o',
        out,
        '-d',
        name,
        '-c',
        configuration,
        '-f',
        String(fold),
        ...model,
      ),
    },
    validation: {
      cases: readdirSync(path.join(runFolder, 'validation')).filter((file) => !file.endsWith('.json')).length,
      voxgrad: voxgrad('validate', runFolder),
      nnunet: nnunet('nnUNetv2_train', name, configuration, String(fold), ...model, '--val'),
    },
  }
}

const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)]

function summarize(files) {
  const lines = files
    .flatMap((file) => readFileSync(file, 'utf8').split('\n'))
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
  for (const work of new Set(lines.map((line) => line.work))) {
    const of = (side, key) =>
      median(lines.filter((line) => line.side === side && line.work === work).map((line) => line[key]))
    const [ours, theirs] = [of('voxgrad', 'seconds'), of('nnunet', 'seconds')]
    const mebibytes = (side) => (of(side, 'peakBytes') / 2 ** 20).toFixed(0)
    console.log(
      `${work}: ${ours.toFixed(1)} s and ${mebibytes('voxgrad')} MiB against nnU-Net's ${theirs.toFixed(1)} s and ${mebibytes('nnunet')} MiB, ${(ours / theirs).toFixed(3)} of its time`,
    )
  }
}

if (values.summary) {
  summarize(positionals)
} else if (positionals.length !== 3) {
  console.error('usage: node bench/predict.mjs RUN PEER_FOLDER PEER_PYTHON [--repeat 3] [--work prediction,validation]')
  process.exitCode = 2
} else {
  const [runFolder, peerFolder, python] = positionals.map((item) => path.resolve(item))
  const file = path.join(root, 'bench/results', `${new Date().toISOString().slice(0, 10)}-predict.jsonl`)
  for (let repeat = 0; repeat < Number(values.repeat); repeat += 1) {
    for (const work of values.work.split(',')) {
      for (const side of ['voxgrad', 'nnunet']) {
        const out = mkdtempSync(path.join(os.tmpdir(), 'voxgrad-predict-'))
        const commands = commandsOf(runFolder, peerFolder, python, out)[work]
        const loadBefore = os.loadavg()[0]
        const { seconds, peakBytes } = await measured(...commands[side])
        rmSync(out, { recursive: true })
        const machine = { cpu: os.cpus()[0]?.model, cores: os.cpus().length, loadBefore }
        const { cases } = commands
        const line = {
          side,
          work,
          cases,
          seconds,
          peakBytes,
          note: values.note,
          date: new Date().toISOString(),
          ...machine,
        }
        appendFileSync(file, `${JSON.stringify(line)}\n`)
        console.log(JSON.stringify(line))
      }
    }
  }
}
