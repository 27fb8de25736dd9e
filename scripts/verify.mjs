// The proof at full counts: runs the suites in test/suites one after another, faults of every kind and comparisons with the
// real nnU-Net, and says how often each was tried.
//   npm run verify:full                          every suite at its full counts; results go to bench/results. Started
//                                                again, it skips what has passed for the same src/, native/ and test/.
//   node scripts/verify.mjs --share 0.1 [SUITE...]   a tenth of the counts, without results
//   --results FILE   appends the results there     --again   skips nothing     --seed N   other random numbers
import { execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')
const resultsFolder = path.join(root, 'bench/results')
/** In this order: the quick ones first. */
const suites = [
  'plans',
  'malicious-pickles',
  'corruptions',
  'stop-points',
  'writer-kills',
  'disk-faults',
  'simultaneous-starts',
  'run-kills',
  'signals',
  'rank-faults',
  'many-epochs',
  'libtorch',
  'parity',
]

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    share: { type: 'string', default: '1' },
    results: { type: 'string' },
    again: { type: 'boolean', default: false },
    seed: { type: 'string' },
  },
})
const share = Number(values.share)
const unknown = positionals.filter((name) => !suites.includes(name))
if (!(share > 0 && share <= 1) || unknown.length > 0) {
  console.error(`usage: verify.mjs [--share 0.1] [--results FILE] [--again] [--seed N] [${suites.join(' | ')}]...`)
  process.exit(2)
}

const git = (...args) => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trimEnd()
const parts = ['src', 'native', 'test']

/** Tells states of the sources apart, committed or not. */
function stateOfSources() {
  const hash = createHash('sha256')
  const files = git('ls-files', '--cached', '--others', '--exclude-standard', '--', ...parts).split('\n')
  for (const file of [...new Set(files)].sort()) {
    if (!existsSync(path.join(root, file))) continue
    hash.update(`${file}\0`).update(
      createHash('sha256')
        .update(readFileSync(path.join(root, file)))
        .digest(),
    )
  }
  return hash.digest('hex').slice(0, 16)
}

/** Every result that there is, oldest first. */
function earlierResults() {
  const files = existsSync(resultsFolder)
    ? readdirSync(resultsFolder).filter((name) => name.endsWith('-verify.jsonl'))
    : []
  return files.sort().flatMap((file) =>
    readFileSync(path.join(resultsFolder, file), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => ({ file, ...JSON.parse(line) })),
  )
}

function duration(seconds) {
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  const minutes = Math.floor(whole / 60)
  return minutes < 60 ? `${minutes} min ${whole % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

const scratch = mkdtempSync(path.join(os.tmpdir(), 'voxgrad-verify-'))
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }))

/** Runs one suite in a process of its own. */
function runSuite(suite) {
  const figuresFile = path.join(scratch, `${suite}.jsonl`)
  const env = { ...process.env, VOXGRAD_VERIFY_SHARE: String(share), VOXGRAD_VERIFY_RESULTS: figuresFile }
  if (values.seed !== undefined) env.VOXGRAD_VERIFY_SEED = values.seed
  const vitest = path.join(root, 'node_modules/vitest/vitest.mjs')
  const begin = performance.now()
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [vitest, 'run', `test/suites/${suite}.test.ts`], {
      cwd: root,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (text) => {
        output += text
      })
    }
    child.on('close', (code) => {
      const seconds = Math.round((performance.now() - begin) / 100) / 10
      const reported = existsSync(figuresFile) ? JSON.parse(readFileSync(figuresFile, 'utf8').split('\n')[0]) : {}
      resolve({ passed: code === 0 && reported.figures !== undefined, seconds, output, ...reported })
    })
  })
}

const state = stateOfSources()
const commit = git('rev-parse', 'HEAD')
const isClean = git('status', '--porcelain', '--', ...parts) === ''
const machine = { cores: os.availableParallelism(), cpu: os.cpus()[0]?.model ?? 'unknown' }
const date = new Date().toISOString().slice(0, 10)
const target = values.results ?? (share === 1 ? path.join(resultsFolder, `${date}-verify.jsonl`) : undefined)

const earlier = earlierResults()
const hasPassed = (suite) =>
  share === 1 && !values.again
    ? earlier.findLast((one) => one.suite === suite && one.state === state && one.share === 1 && one.passed)
    : undefined
/** From the last full run of the suite, on whatever machine. */
const expectedSeconds = (suite) => {
  const last = earlier.findLast((one) => one.suite === suite && one.passed)
  return last && last.seconds * Math.max(0.05, share / last.share)
}

const wanted = suites.filter((suite) => positionals.length === 0 || positionals.includes(suite))
const waiting = wanted.filter((suite) => {
  const before = hasPassed(suite)
  if (before) console.log(`${suite}: passed for this state of the sources already (${before.file})`)
  return !before
})
const begin = performance.now()
const failed = []
const skippedSuites = []
for (const [i, suite] of waiting.entries()) {
  const known = waiting.slice(i).map(expectedSeconds)
  const left = known.includes(undefined) ? 'of unknown length' : `about ${duration(known.reduce((a, b) => a + b))} left`
  console.log(
    `[${i + 1} of ${waiting.length}] ${suite} (${duration((performance.now() - begin) / 1000)} so far, ${left})`,
  )
  const { passed, skipped, seconds, output, figures = {}, seed } = await runSuite(suite)
  if (skipped !== undefined) {
    console.log(`    skipped, because ${skipped}`)
    skippedSuites.push(suite)
    continue
  }
  const counts = Object.entries(figures).map(([name, value]) => `${value} ${name}`)
  console.log(`    ${passed ? 'passed' : 'FAILED'} in ${duration(seconds)}: ${counts.join(', ') || 'no counts'}`)
  if (!passed) {
    failed.push(suite)
    console.log(output)
  }
  if (target !== undefined) {
    const result = { suite, passed, share, seed, figures, seconds, date, commit, isClean, state, machine }
    appendFileSync(target, `${JSON.stringify(result)}\n`)
  }
}
console.log(
  failed.length === 0
    ? `${wanted.length - skippedSuites.length} suites hold at ${share === 1 ? 'their full counts' : `${share} of their counts`}${skippedSuites.length === 0 ? '' : `; skipped: ${skippedSuites.join(', ')}`}.`
    : `Failed: ${failed.join(', ')}`,
)
process.exitCode = failed.length === 0 ? 0 : 1
