// Reads a million damaged files of every format that voxgrad reads: native readers under libFuzzer with the address and
// undefined-behavior sanitizers, readers in TypeScript with fast-check. Fails on a crash, an error that is not for users, more
// than a second or too much memory for one file. See docs/untrusted-files.md.
//   npm run fuzz [-- [--runs N] [--seed N] [--results FILE] TARGET...]
import { spawn, spawnSync } from 'node:child_process'
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')
const build = path.join(root, 'build/fuzz')
const findings = path.join(root, 'build/fuzz-findings')
const secondsBetweenLines = 20
const mostBytes = 4096
/** For a file, beside what the process of a native reader takes before the first: libtorch and the sanitizers. */
const mostMegabytes = 256
const megabytesOfProcess = 180
/** By the clock; a second of the processor is the limit (native/fuzz/fuzz.h). */
const secondsOfHang = 10

const native = ['native-blosc2', 'native-npy', 'native-pickle', 'native-torch_file']
/** c-blosc2 does not free everything of a file that turns out damaged while it decodes. */
const leaking = ['native-blosc2']

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: '20261123' },
    results: { type: 'string' },
  },
})
const runs = Number(values.runs)
const tsx = ['--import', 'tsx', path.join(root, 'test/fuzz/main.ts')]
const formats = JSON.parse(spawnSync(process.execPath, tsx, { cwd: root, encoding: 'utf8' }).stdout)
const known = [...native, ...formats]
const unknown = positionals.filter((name) => !known.includes(name))
if (!(Number.isInteger(runs) && runs > 0) || unknown.length > 0) {
  console.error(`usage: fuzz.mjs [--runs N] [--seed N] [--results FILE] [${known.join(' | ')}]...`)
  process.exit(2)
}

const scratch = mkdtempSync(path.join(os.tmpdir(), 'voxgrad-fuzz-'))
rmSync(findings, { recursive: true, force: true })
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }))

const compiler = ['clang++', 'clang++-14', 'clang++-15', 'clang++-16', 'clang++-17', 'clang++-18', 'clang++-19'].find(
  (name) => {
    const input = 'extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }'
    const options = ['-fsanitize=fuzzer,address,undefined', '-x', 'c++', '-', '-o', path.join(scratch, 'probe')]
    return spawnSync(name, options, { input }).status === 0
  },
)

function run(command, args) {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: root, encoding: 'utf8' })
  if (status === 0) return
  console.error(`${command} ${args.join(' ')} failed:\n${stdout}${stderr}`)
  process.exit(1)
}

/** Builds the native targets and writes the valid files that they start from. */
function buildNative() {
  const begin = performance.now()
  const generator = spawnSync('ninja', ['--version']).status === 0 ? ['-G', 'Ninja'] : []
  run('cmake', [...generator, '-S', 'native/fuzz', '-B', build, `-DCMAKE_CXX_COMPILER=${compiler}`])
  run('cmake', ['--build', build, '--parallel', String(os.availableParallelism())])
  run(path.join(build, 'seeds'), [path.join(scratch, 'seeds')])
  console.log(`built ${native.length} native targets in ${duration((performance.now() - begin) / 1000)}`)
}

const duration = (seconds) => (seconds < 120 ? `${Math.round(seconds)} s` : `${(seconds / 60).toFixed(1)} min`)

/** What a target's process is started with. */
function commandOf(name) {
  if (!native.includes(name)) return [process.execPath, ...tsx, name, String(runs), values.seed]
  const target = name.slice('native-'.length)
  const found = path.join(scratch, name)
  mkdirSync(found)
  mkdirSync(path.join(findings, name), { recursive: true })
  const memory = [`-rss_limit_mb=${megabytesOfProcess + mostMegabytes}`, `-malloc_limit_mb=${mostMegabytes}`]
  const limits = [`-timeout=${secondsOfHang}`, ...memory, `-max_len=${mostBytes}`]
  return [
    path.join(build, `fuzz_${target}`),
    ...[`-runs=${runs}`, `-seed=${values.seed}`, ...limits],
    ...['-print_final_stats=1', `-artifact_prefix=${path.join(findings, name)}/`],
    ...[found, path.join(scratch, 'seeds', target)],
  ]
}

/** The outcome that a target's output tells, or undefined where it failed. */
function outcomeOf(name, output) {
  if (!native.includes(name)) {
    const last = output.trimEnd().split('\n').at(-1) ?? ''
    return last.startsWith('{') ? JSON.parse(last) : undefined
  }
  const number = (pattern) => Number(pattern.exec(output)?.[1])
  return {
    runs: number(/number_of_executed_units: (\d+)/),
    edges: number(/DONE +cov: (\d+)/),
    slowestSeconds: number(/slowest_unit_time_sec: +(\d+)/),
    megabytes: number(/peak_rss_mb: +(\d+)/),
  }
}

/** Runs a target and says how it goes. */
function runTarget(name) {
  const [command, ...args] = commandOf(name)
  const begin = performance.now()
  const env = { ...process.env, ASAN_OPTIONS: `quarantine_size_mb=1:detect_leaks=${leaking.includes(name) ? 0 : 1}` }
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (text) => {
        output = (output + text).slice(-200_000)
      })
    }
    const timer = setInterval(() => {
      const done = [...output.matchAll(/^#(\d+)/gm)].at(-1)?.[1] ?? 0
      console.log(`  ${name}: ${done} of ${runs}`)
    }, 1000 * secondsBetweenLines)
    child.on('close', (code) => {
      clearInterval(timer)
      const seconds = (performance.now() - begin) / 1000
      const outcome = code === 0 ? outcomeOf(name, output) : undefined
      if (outcome === undefined) console.log(`${name} FAILED (${code}):\n${output.slice(-6000)}`)
      else console.log(summary(name, { ...outcome, seconds }))
      resolve({ target: name, passed: outcome !== undefined, ...outcome, seconds: Math.round(seconds * 10) / 10 })
    })
  })
}

function summary(name, { runs: done, seconds, edges, read, megabytes, slowestSeconds, slowestMilliseconds }) {
  const coverage = edges === undefined ? `${read} read to the end` : `${edges} edges covered`
  const memory = edges === undefined ? `at most ${Math.round(megabytes)} MB more` : `${megabytes} MB at most in all`
  const slowest =
    edges === undefined ? `slowest ${Math.round(slowestMilliseconds)} ms` : `slowest below ${slowestSeconds + 1} s`
  return `${name}: ${done} files in ${duration(seconds)} (${Math.round(done / seconds)}/s), ${coverage}, ${memory}, ${slowest}`
}

let wanted = known.filter((name) => positionals.length === 0 || positionals.includes(name))
if (wanted.some((name) => native.includes(name))) {
  if (compiler !== undefined) buildNative()
  else {
    console.log('skipped: the native targets need a clang with libFuzzer (apt-get install clang libclang-rt-14-dev)')
    wanted = wanted.filter((name) => !native.includes(name))
  }
}

const begin = performance.now()
const waiting = [...wanted]
const results = []
const worker = async () => {
  for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) results.push(await runTarget(name))
}
await Promise.all(Array.from({ length: os.availableParallelism() }, worker))
const failed = results.filter(({ passed }) => !passed).map(({ target }) => target)
if (values.results !== undefined) {
  const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'))
  const about = { date: new Date().toISOString().slice(0, 10), version, seed: Number(values.seed) }
  for (const result of results) appendFileSync(values.results, `${JSON.stringify({ ...about, ...result })}\n`)
}
console.log(
  failed.length === 0
    ? `${results.length} formats hold at ${runs} damaged files each (${duration((performance.now() - begin) / 1000)})`
    : `Failed: ${failed.join(', ')}${existsSync(findings) ? `; files of native targets are in ${findings}` : ''}`,
)
process.exitCode = failed.length === 0 ? 0 : 1
