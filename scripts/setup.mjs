// Sets a checkout up: npm packages, libtorch and c-blosc2, the native addon, the TypeScript build. Of an installed package,
// which comes with the rest, it makes libtorch and the addon. Idempotent; with nothing changed it only compares a stamp.
// Uses Node's own modules alone, so that it runs before anything is installed.
//   node scripts/setup.mjs [--quiet]     set up (quiet: say nothing when there is nothing to do)
//   node scripts/setup.mjs --advise      npm's install hook: builds nothing, says what to call
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { fetchTorch, isLibtorch, pipInstall, wantsGpu } from './libtorch.mjs'

const TORCH_PIN = '2.15.0'
const TORCH_OLDEST = [2, 9]
const BLOSC2_PIN = '4.14.1'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')
const deps = path.join(root, '.deps')
const target = path.join(deps, 'python')
const stampFile = path.join(deps, 'setup-stamp.json')
const addon = path.join(root, 'build/Release/voxgrad.node')
const quiet = process.argv.includes('--quiet')
const isCheckout = existsSync(path.join(root, 'src'))

if (process.argv.includes('--advise')) {
  const command = isCheckout ? 'npm run setup' : 'npx voxgrad setup'
  if (!existsSync(addon)) console.log(`voxgrad: run \`${command}\` to fetch libtorch and build the native addon`)
  process.exit(0)
}

const say = (text) => console.log(`setup: ${text}`)

function fail(message) {
  console.error(`setup: ${message}`)
  process.exit(1)
}

/** Runs a command; its output is shown only when it fails (or when `show` is set). */
function run(command, args, { show = false, cwd = root, env = process.env } = {}) {
  const result = spawnSync(command, args, {
    cwd,
    env,
    encoding: 'utf8',
    stdio: show ? 'inherit' : 'pipe',
    maxBuffer: 1 << 28,
  })
  if (result.status !== 0) {
    if (!show) process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}`)
    fail(`\`${command} ${args.join(' ')}\` failed${result.error ? `: ${result.error.message}` : ''}`)
  }
  return result.stdout ?? ''
}

function tryRun(command, args) {
  const result = spawnSync(command, args, { encoding: 'utf8' })
  return result.status === 0 ? result.stdout.trim() || 'yes' : undefined
}

/** All files below a folder, sorted, with size and time: what a stamp is made of. */
function fingerprint(...entries) {
  const hash = createHash('sha256')
  const visit = (entry) => {
    const full = path.join(root, entry)
    if (!existsSync(full)) return
    const stat = statSync(full)
    if (stat.isDirectory()) for (const name of readdirSync(full).sort()) visit(path.join(entry, name))
    else hash.update(`${entry}\0${stat.size}\0${stat.mtimeMs}\0`)
  }
  for (const entry of entries) visit(entry)
  return hash.digest('hex')
}

const stamps = () => ({
  packages: fingerprint('package.json', 'package-lock.json'),
  native:
    fingerprint('native', 'cmake', 'CMakeLists.txt', 'scripts/setup.mjs', 'scripts/libtorch.mjs') +
    (process.env.LIBTORCH ?? '') +
    existsSync('/usr/include/gloo/context.h'),
  source: fingerprint('src', 'tsconfig.json'),
})

/** Everything that must be on the machine; what is missing is said all at once. */
function checkMachine() {
  const missing = []
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major < 20 || (major === 20 && minor < 19)) {
    missing.push([`Node.js 20.19 or newer (found ${process.versions.node})`, 'see https://nodejs.org/en/download'])
  }
  const compiler = process.env.CXX ?? 'c++'
  const probe = spawnSync(compiler, ['-std=c++20', '-x', 'c++', '-fsyntax-only', '-'], {
    input: '#include <concepts>\n',
  })
  if (probe.status !== 0)
    missing.push([`a C++20 compiler (\`${compiler}\` does not compile C++20)`, 'apt-get install g++'])
  if (!tryRun('cmake', ['--version'])) missing.push(['CMake 3.18 or newer', 'apt-get install cmake'])
  if (!tryRun('make', ['--version']) && !tryRun('ninja', ['--version']))
    missing.push(['make or ninja', 'apt-get install make'])
  if (!tryRun('python3', ['-c', 'import sys; assert sys.version_info >= (3, 9)'])) {
    missing.push(['Python 3.9 or newer', 'apt-get install python3 python3-pip'])
  } else if (!tryRun('python3', ['-m', 'pip', '--version'])) {
    missing.push(['pip for python3', 'apt-get install python3-pip'])
  }
  if (missing.length > 0) {
    const lines = missing.map(([what, how]) => `  - ${what}\n      ${how}`)
    fail(`this machine lacks ${missing.length === 1 ? 'one thing' : `${missing.length} things`}:\n${lines.join('\n')}`)
  }
}

/** $LIBTORCH, else an importable torch of Python, else the pinned wheel in the project's own folder. */
function findLibtorch() {
  const named = process.env.LIBTORCH
  if (named) {
    if (!isLibtorch(named)) fail(`LIBTORCH=${named} holds no include/ATen/ATen.h and lib/libtorch_cpu.so`)
    return [named, 'LIBTORCH']
  }
  const found = tryRun('python3', [
    '-c',
    'import importlib.util as u, importlib.metadata as m; print(u.find_spec("torch").submodule_search_locations[0]); print(m.version("torch"))',
  ])
  if (found) {
    const [folder, version] = found.split('\n')
    const [major, minor] = version.split('.').map(Number)
    const recent = major > TORCH_OLDEST[0] || (major === TORCH_OLDEST[0] && minor >= TORCH_OLDEST[1])
    if (recent && isLibtorch(folder)) return [folder, `the torch ${version} of python3`]
  }
  return [fetched(() => fetchTorch(TORCH_PIN, target, say)), `torch ${TORCH_PIN} in .deps/python`]
}

/** What a download gives; if it fails, that is what is said. */
function fetched(download) {
  try {
    return download()
  } catch (error) {
    fail(error.message)
  }
}

function setUpNative() {
  mkdirSync(deps, { recursive: true })
  const [libtorch, origin] = findLibtorch()
  say(`libtorch: ${origin}`)
  writeFileSync(path.join(deps, 'libtorch.txt'), `${libtorch}\n`)
  if (!process.env.BLOSC2 && !existsSync(path.join(target, `blosc2-${BLOSC2_PIN}.dist-info`))) {
    say(`fetching c-blosc2 (blosc2 ${BLOSC2_PIN})`)
    fetched(() => pipInstall(target, '--no-deps', `blosc2==${BLOSC2_PIN}`))
  }
  const started = Date.now()
  say('building the native addon')
  const cache = path.join(root, 'build/CMakeCache.txt')
  if (existsSync(cache) && !readFileSync(cache, 'utf8').includes(libtorch))
    rmSync(path.join(root, 'build'), { recursive: true })
  run(process.execPath, [
    createRequire(import.meta.url).resolve('cmake-js/bin/cmake-js'),
    'build',
    `--CDLIBTORCH=${libtorch}`,
    ...(process.env.BLOSC2 ? [`--CDBLOSC2=${process.env.BLOSC2}`] : []),
  ])
  say(`native build took ${((Date.now() - started) / 1000).toFixed(0)} s`)
  if (!wantsGpu()) return
  say('building the CUDA kernels')
  run(process.execPath, [path.join(root, 'scripts/build-cuda.mjs'), '--quiet'])
}

/** The program, and the dashboard's page, which runs in browsers. */
function compile() {
  const compiler = path.join(root, 'node_modules/typescript/bin/tsc')
  const page = path.join(root, 'src/dashboard/page')
  for (const project of [root, page]) run(process.execPath, [compiler, '-p', project])
  const files = readdirSync(page).filter((name) => /\.(html|css|svg)$/.test(name))
  for (const name of files) cpSync(path.join(page, name), path.join(root, 'dist/dashboard/page', name))
}

const before = existsSync(stampFile) ? JSON.parse(readFileSync(stampFile, 'utf8')) : {}
const now = stamps()
const stale = (key) => before[key] !== now[key]
const needPackages =
  isCheckout && (stale('packages') || !existsSync(path.join(root, 'node_modules/.package-lock.json')))
const needNative = stale('native') || !existsSync(addon)
const needSource = isCheckout && (stale('source') || !existsSync(path.join(root, 'dist/dashboard/page/index.html')))

if (!needPackages && !needNative && !needSource) {
  if (!quiet) say('nothing to do')
  process.exit(0)
}
if (needPackages || needNative) checkMachine()
if (needPackages) {
  say('installing npm packages')
  run('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--ignore-scripts'])
}
if (needNative) setUpNative()
if (needSource || needPackages) {
  say('compiling TypeScript')
  compile()
}
writeFileSync(stampFile, JSON.stringify(now))
say('ready')
