// The whole job, each step the command that one would type: dataset, plan, preprocess, train, validate, predict.
//   npm run demo               makes a small dataset first (examples/make-dataset.mjs)
//   npm run demo -- FOLDER     takes a Medical Segmentation Decathlon task or a folder in nnU-Net's raw layout
// Everything is written to ./demo-data; a second call replaces what the first one made of the same dataset.
import { spawn } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')
const data = path.join(root, 'demo-data')
const voxgrad = path.join(root, 'dist/cli/main.js')
const folders = {
  nnUNet_raw: path.join(data, 'nnUNet_raw'),
  nnUNet_preprocessed: path.join(data, 'nnUNet_preprocessed'),
  nnUNet_results: path.join(data, 'nnUNet_results'),
}
const plans = 'nnUNetPlansTiny'
const schedule = ['--epochs', '24', '--steps-per-epoch', '50', '--val-steps', '5']
const picturedCases = 3

class DemoError extends Error {
  constructor(message, exitCode = 2) {
    super(message)
    this.exitCode = exitCode
  }
}

/** Runs a Node program with its output shown, and waits for it. */
function run(program, ...args) {
  const short = (text) => (text.startsWith(root + path.sep) ? path.relative(root, text) : text)
  console.log(`\n$ ${[program === voxgrad ? 'voxgrad' : `node ${short(program)}`, ...args.map(short)].join(' ')}`)
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program, ...args], {
      cwd: root,
      stdio: 'inherit',
      env: { ...process.env, ...folders },
    })
    // Ctrl-C goes to all processes of the terminal: the child decides when to end. SIGTERM is passed on.
    const wait = () => {}
    const pass = () => child.kill('SIGTERM')
    process.on('SIGINT', wait)
    process.on('SIGTERM', pass)
    child.on('error', reject)
    child.on('close', (code, signal) => {
      process.off('SIGINT', wait)
      process.off('SIGTERM', pass)
      const end = signal ?? `exit code ${code}`
      if (code === 0) resolve()
      else reject(new DemoError(`the demo ends here, because the command above ended with ${end}`, code ?? 130))
    })
  })
}

/** Makes, imports or finds the dataset. Returns its name, Dataset004_NAME. */
async function bringDataset(folder) {
  if (folder === undefined) {
    const name = 'Dataset501_Demo'
    clear(path.join(folders.nnUNet_raw, name))
    await run(path.join(root, 'examples/make-dataset.mjs'), folders.nnUNet_raw, '--seed', '1', '--cases', '24')
    return name
  }
  const from = path.resolve(process.env.INIT_CWD ?? process.cwd(), folder)
  if (!existsSync(path.join(from, 'dataset.json'))) {
    const found = existsSync(from) ? `${from} holds no dataset.json` : `there is no folder ${from}`
    throw new DemoError(`expected a Medical Segmentation Decathlon task or a raw nnU-Net dataset, but ${found}`)
  }
  const name = path.basename(from)
  if (/^Dataset\d{3}_./.test(name)) {
    folders.nnUNet_raw = path.dirname(from)
    return name
  }
  const id = /^Task0*(\d{1,3})_./.exec(name)?.[1]
  if (id === undefined) {
    throw new DemoError(`expected a folder named like Task04_Hippocampus or Dataset004_Hippocampus, found ${name}`)
  }
  const prefix = `Dataset${id.padStart(3, '0')}_`
  const withId = (root) => namesIn(root).filter((entry) => entry.startsWith(prefix))
  for (const root of Object.values(folders)) for (const earlier of withId(root)) clear(path.join(root, earlier))
  await run(voxgrad, 'import', from, '--id', id)
  return withId(folders.nnUNet_raw)[0]
}

const namesIn = (folder) => (existsSync(folder) ? readdirSync(folder) : [])
const readJson = (file) => JSON.parse(readFileSync(file, 'utf8').replace(/\bNaN\b/g, 'null'))

/** Removes what an earlier demo made, and nothing outside demo-data. */
function clear(folder) {
  if (path.relative(data, folder).startsWith('..')) throw new DemoError(`${folder} is not below ${data}`, 70)
  rmSync(folder, { recursive: true, force: true })
}

/** Files of one case, CASE_0000.nii.gz and so on, in channel order. */
const filesOf = (folder, name) =>
  readdirSync(folder)
    .filter((file) => file.startsWith(`${name}_`) && /^\d{4}\./.test(file.slice(name.length + 1)))
    .sort()
    .map((file) => path.join(folder, file))

/** Images that training has not seen, and their labels: imagesTs, or else some of the held-out cases in a folder of their own. */
function imagesToPredict(dataset, folder) {
  const raw = path.join(folders.nnUNet_raw, dataset)
  const truths = path.join(raw, 'labelsTs')
  if (existsSync(truths)) {
    const cases = namesIn(truths).map((file) => file.slice(0, file.indexOf('.')))
    return { images: path.join(raw, 'imagesTs'), truths, cases: cases.sort().slice(0, picturedCases) }
  }
  const cases = heldOutCases(dataset).slice(0, picturedCases)
  mkdirSync(folder, { recursive: true })
  for (const file of cases.flatMap((name) => filesOf(path.join(raw, 'imagesTr'), name))) {
    copyFileSync(file, path.join(folder, path.basename(file)))
  }
  return { images: folder, truths: path.join(raw, 'labelsTr'), cases }
}

/** The validation cases of fold 0. */
const heldOutCases = (dataset) => readJson(path.join(folders.nnUNet_preprocessed, dataset, 'splits_final.json'))[0].val

/** Draws the first channel, the truth and the prediction of some cases. */
async function drawPicture(dataset, { images, truths, cases }, predictions, file) {
  const load = (module) => import(path.join(root, 'dist', module))
  const { readCaseImages, readSegmentation } = await load('dataset/image.js')
  const { writeOverlay } = await load('report/overlay.js')
  const { labels, file_ending } = readJson(path.join(folders.nnUNet_raw, dataset, 'dataset.json'))
  const shown = []
  for (const name of cases) {
    const { image, spacing } = await readCaseImages(filesOf(images, name).slice(0, 1), name)
    const truth = await readSegmentation(path.join(truths, name + file_ending))
    const prediction = await readSegmentation(path.join(predictions, name + file_ending))
    shown.push({
      title: name,
      image: image.data,
      truth: Uint8Array.from(truth.labels),
      prediction: Uint8Array.from(prediction.labels),
      shape: truth.shape,
      spacing,
    })
  }
  await writeOverlay(file, shown, new Map(Object.entries(labels).map(([name, value]) => [value, name])))
}

async function main() {
  const started = performance.now()
  if (process.argv.length > 3) throw new DemoError('expected at most one folder: npm run demo -- FOLDER')
  const dataset = await bringDataset(process.argv[2])
  const own = path.join(data, dataset)
  for (const earlier of [
    path.join(folders.nnUNet_preprocessed, dataset),
    path.join(folders.nnUNet_results, dataset),
    own,
  ]) {
    clear(earlier)
  }

  await run(voxgrad, 'plan', dataset, '--preset', 'tiny')
  const { configurations } = readJson(path.join(folders.nnUNet_preprocessed, dataset, `${plans}.json`))
  const configuration = '3d_fullres' in configurations ? '3d_fullres' : '2d'
  await run(voxgrad, 'preprocess', dataset, '-c', configuration, '--plans', plans)
  // The validation is a command of its own here; training would end with it otherwise.
  const training = [dataset, configuration, '0', '--plans', plans, ...schedule, '--set', 'validateAtEnd=false']
  await run(voxgrad, 'train', ...training)
  const fold = path.join(folders.nnUNet_results, dataset, `voxgrad__${plans}__${configuration}`, 'fold_0')
  await run(voxgrad, 'validate', fold)

  const fresh = imagesToPredict(dataset, path.join(own, 'images'))
  const predictions = path.join(own, 'predictions')
  await run(voxgrad, 'predict', '-i', fresh.images, '-o', predictions, '--run', fold)
  const picture = path.join(own, 'predictions.png')
  await drawPicture(dataset, fresh, predictions, picture)

  const { labels } = readJson(path.join(folders.nnUNet_raw, dataset, 'dataset.json'))
  const summary = readJson(path.join(fold, 'validation/summary.json'))
  const show = (dice) => (dice === null ? 'none' : dice.toFixed(3))
  console.log(`\nDice on the ${heldOutCases(dataset).length} cases held out of training:`)
  for (const [name, value] of Object.entries(labels)) {
    if (summary.mean[value]) console.log(`  ${name.padEnd(16)} ${show(summary.mean[value].Dice)}`)
  }
  console.log(`\nprogress chart: ${path.join(fold, 'progress.png')}`)
  console.log(`image, truth and prediction: ${picture}\n`)
  console.log(`mean foreground Dice ${show(summary.foreground_mean.Dice)}`)
  console.log(`demo seconds ${Math.round((performance.now() - started) / 1000)}`)
}

try {
  await main()
} catch (error) {
  console.error(`demo: ${error instanceof DemoError ? error.message : error.stack}`)
  process.exitCode = error.exitCode ?? 70
}
