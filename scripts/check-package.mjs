// The package as a stranger gets it: packed, installed into an empty folder, set up there, typed, trained and predicted with.
// Of the machine it takes the libtorch and c-blosc2 that the checkout has, so that they are not fetched again.
//   node scripts/check-package.mjs
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')
const scratch = mkdtempSync(path.join(tmpdir(), 'voxgrad-package-'))
const folder = path.join(scratch, 'empty')
mkdirSync(folder)
const libtorch = readFileSync(path.join(root, '.deps/libtorch.txt'), 'utf8').trim()
const env = {
  ...process.env,
  LIBTORCH: libtorch,
  BLOSC2: process.env.BLOSC2 ?? path.join(root, '.deps/python/blosc2'),
  nnUNet_raw: path.join(scratch, 'raw'),
  nnUNet_preprocessed: path.join(scratch, 'preprocessed'),
  nnUNet_results: path.join(scratch, 'results'),
}

/** Runs a command in the empty folder and returns what it printed; ends this check where it fails. */
function run(command, ...args) {
  const begin = performance.now()
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: folder, env, encoding: 'utf8' })
  const seconds = ((performance.now() - begin) / 1000).toFixed(0)
  console.log(`${status === 0 ? 'ok' : 'FAILED'}  ${[command, ...args].join(' ')} (${seconds} s)`)
  if (status === 0) return stdout
  console.error(stdout + stderr)
  process.exit(1)
}

function expect(isTrue, what) {
  if (isTrue) return
  console.error(`expected ${what}`)
  process.exit(1)
}

process.on('exit', () => rmSync(scratch, { recursive: true, force: true }))

const [{ filename, files, unpackedSize }] = JSON.parse(
  run('npm', 'pack', root, '--json', '--pack-destination', scratch),
)
const foreign = files
  .map(({ path: file }) => file)
  .filter((file) => /^(src|test|bench|docs|examples)\/|\.map$/.test(file))
expect(foreign.length === 0, `nothing but what a user needs in the package, found ${foreign.join(', ')}`)
console.log(`    ${files.length} files, ${(unpackedSize / 1e6).toFixed(1)} MB`)
run('npm', 'install', '--no-audit', '--no-fund', path.join(scratch, filename))

writeFileSync(
  path.join(folder, 'early.mjs'),
  "import { bench } from 'voxgrad'\nawait bench({ kind: 'step' }).catch((error) => console.log(error.code, error.message))\n",
)
const early = run('node', 'early.mjs')
expect(
  /ERR_NATIVE_LOAD.*npx voxgrad setup/.test(early),
  `a word on \`npx voxgrad setup\` before it has run, found ${early}`,
)
run('npx', 'voxgrad', 'setup')
run('npx', 'voxgrad', 'doctor')

// Types: a strict program that checks the package's declarations too.
writeFileSync(
  path.join(folder, 'script.mts'),
  `import { openPredictor, type Policies, type RunEvent, train, VoxgradError } from 'voxgrad'

const policies: Policies = { stopEarly: (epochs) => (epochs.length === 2 ? 'two epochs are enough' : null) }
const seen: RunEvent['type'][] = []
const run = train(
  {
    dataset: 501,
    configuration: '3d_fullres',
    fold: 0,
    plans: 'nnUNetPlansTiny',
    run: 'run',
    budget: { epochs: 3, stepsPerEpoch: 2, valSteps: 1 },
  },
  { policies },
)
for await (const event of run) seen.push(event.type)
const { reason } = await run.finished
console.log(reason, seen.filter((type) => type === 'epoch').length)
const predictor = await openPredictor({ run: 'run', mirroring: false })
await predictor.predict({ images: [process.argv[2] as string], output: 'segmentation.nii.gz' })
await predictor.dispose()
// @ts-expect-error a fold is a number or 'all'
await train({ dataset: 501, configuration: '2d', fold: 'first' }).finished.catch((error: unknown) => {
  console.log(error instanceof VoxgradError && error.code)
})
`,
)
const strict = [
  '--strict',
  '--target',
  'es2023',
  '--module',
  'nodenext',
  '--lib',
  'es2023,esnext.disposable',
  '--types',
  'node',
]
run('node', path.join(root, 'node_modules/typescript/bin/tsc'), ...strict, 'script.mts')

run('node', path.join(root, 'examples/make-dataset.mjs'), env.nnUNet_raw, '--cases', '6')
const image = path.join(env.nnUNet_raw, 'Dataset501_Demo/imagesTs/demo_007_0000.nii.gz')
const output = run('node', 'script.mjs', image)
expect(/early_stopping 2\nERR_CONFIG/.test(output), `two epochs and a refused fold, found ${output}`)
expect(existsSync(path.join(folder, 'segmentation.nii.gz')), 'a segmentation')
run('npx', 'voxgrad', 'validate', 'run', '--json')
console.log('the package installs, trains and predicts in an empty folder')
