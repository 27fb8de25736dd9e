// Builds the addon with the address sanitizer in a folder of its own, plants a fault to see that it is caught, and runs the
// addon's tests: a read or write beside memory that was asked for ends them with a report.
//   npm run sanitize [-- TEST...]
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')
const build = path.join(root, 'build/asan')
const addon = path.join(build, 'Release/voxgrad.node')
/** The addon's own: what reads files, computes and trains in one process. */
const usualTests = ['io', 'kernels', 'data', 'augment', 'engine', 'preprocess'].map((folder) => `test/${folder}/`)
/** Runs another program, which is not built with the sanitizer. */
const otherProgram = 'test/engine/pretend-device.test.ts'
/** Everything takes longer. */
const testTimeout = 300_000

const resolve = (name) => createRequire(import.meta.url).resolve(name)
const seconds = () => Math.round(performance.now() / 1000)

function fail(message) {
  console.error(message)
  process.exit(1)
}

/** Where the compiler keeps a library that must be loaded before Node's own. */
function library(name) {
  const found = spawnSync('g++', [`-print-file-name=${name}`], { encoding: 'utf8' }).stdout.trim()
  if (!path.isAbsolute(found)) fail(`expected g++ with ${name}, found none: apt-get install g++`)
  return found
}

const environment = {
  ...process.env,
  VOXGRAD_ADDON: addon,
  // Node itself is not built with the sanitizer; the C++ library must be there for it to see what is thrown.
  LD_PRELOAD: `${library('libasan.so')} ${library('libstdc++.so.6')}`,
  // Node never frees everything.
  ASAN_OPTIONS: 'detect_leaks=0',
}

const libtorchFile = path.join(root, '.deps/libtorch.txt')
const libtorch = existsSync(libtorchFile) ? readFileSync(libtorchFile, 'utf8').trim() : process.env.LIBTORCH
const options = [
  ...['build', '--log-level', 'warn', '--out', build, '--target', 'voxgrad'],
  ...[`--CDLIBTORCH=${libtorch}`, '--CDVOXGRAD_ADDRESS_SANITIZER=ON'],
  ...(process.env.BLOSC2 ? [`--CDBLOSC2=${process.env.BLOSC2}`] : []),
]
const made = spawnSync(process.execPath, [resolve('cmake-js/bin/cmake-js'), ...options], {
  cwd: root,
  stdio: 'inherit',
})
if (made.status !== 0) fail('the addon could not be built with the address sanitizer')
console.log(`the addon with the address sanitizer is built (${seconds()} s)`)

/** Lets the addon write a number on the heap (native/check/planted_fault.cpp). */
function writeNumber(index) {
  const code = `require(${JSON.stringify(addon)}).callOp('write_number', [${index}])`
  return spawnSync(process.execPath, ['-e', code], { env: environment, encoding: 'utf8' })
}
const good = writeNumber(15)
if (good.status !== 0) fail(`the addon does not run under the address sanitizer:\n${good.stdout}${good.stderr}`)
const bad = writeNumber(16)
if (bad.status === 0 || !/heap-buffer-overflow/.test(bad.stderr)) {
  fail(`a number was written beside its memory, and the sanitizer did not see it:\n${bad.stdout}${bad.stderr}`)
}
console.log('a planted heap overflow is caught')

const tests = process.argv.slice(2)
const vitest = path.join(root, 'node_modules/vitest/vitest.mjs')
const { status } = spawnSync(
  process.execPath,
  [
    vitest,
    'run',
    `--testTimeout=${testTimeout}`,
    `--exclude=${otherProgram}`,
    ...(tests.length > 0 ? tests : usualTests),
  ],
  { cwd: root, stdio: 'inherit', env: environment },
)
if (status !== 0) fail('tests fail under the address sanitizer')
console.log(`tests hold under the address sanitizer (${seconds()} s in all)`)
