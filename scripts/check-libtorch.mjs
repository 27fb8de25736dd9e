// npm run check:libtorch: whether the engine works with another libtorch than the one that is set up. Fetches torch of a
// version with pip into .deps/torch-VERSION, compiles the engine without Node (voxgrad_check) in build-check-VERSION and runs
// all its checks on the CPU and on the pretend accelerator. Minutes at the first call, seconds when nothing has changed.
//   node scripts/check-libtorch.mjs [VERSION]     2.11.0 unless told
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { fetchTorch } from './libtorch.mjs'

const OLDEST_CHECKED = '2.11.0'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')
const version = process.argv[2] ?? OLDEST_CHECKED
const say = (text) => console.log(`check:libtorch: ${text}`)

function fail(message) {
  console.error(`check:libtorch: ${message}`)
  process.exit(1)
}

/** Runs a command; its output is shown only when it fails, or when `show` is set. */
function run(command, args, show = false) {
  const options = { cwd: root, encoding: 'utf8', stdio: show ? 'inherit' : 'pipe', maxBuffer: 1 << 28 }
  const { status, stdout, stderr, error } = spawnSync(command, args, options)
  if (status === 0) return
  if (!show) process.stderr.write(`${stdout ?? ''}${stderr ?? ''}`)
  fail(`\`${command} ${args.join(' ')}\` failed${error ? `: ${error.message}` : ''}`)
}

if (!/^\d+\.\d+\.\d+$/.test(version)) fail(`expected a version such as ${OLDEST_CHECKED}, found ${version}`)

/** @returns the folder of the version with include/ and lib/ */
function findTorch() {
  try {
    return fetchTorch(version, path.join(root, `.deps/torch-${version}`), say)
  } catch (error) {
    return fail(error.message)
  }
}

const blosc2 = process.env.BLOSC2 ?? path.join(root, '.deps/python/blosc2')
if (!existsSync(blosc2)) fail('there is no c-blosc2 yet: run `npm run setup` first')
const build = path.join(root, `build-check-${version}`)
run('cmake', ['-S', root, '-B', build, `-DLIBTORCH=${findTorch()}`, `-DBLOSC2=${blosc2}`])
say(`building the engine with libtorch ${version}`)
run('cmake', ['--build', build, '--target', 'voxgrad_check', '--parallel', String(os.availableParallelism())])
for (const device of ['cpu', 'pretend']) {
  say(`voxgrad_check ${device}`)
  run(path.join(build, 'voxgrad_check'), [device, '--steps', '60'], true)
}
say(`libtorch ${version} is good`)
