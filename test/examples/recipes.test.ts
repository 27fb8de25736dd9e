// The files of examples/recipes: what can be said of them without a cluster, a service manager or a container engine, and
// trainings that they carry through a requeue and a machine that is taken away.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { recordOf } from '../train/run-files.js'
import { makeSmallDataset, type SmallDataset } from '../train/small-dataset.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const recipes = path.join(root, 'examples/recipes')
const program = path.join(root, 'dist/cli/main.js')
const text = (name: string) => readFileSync(path.join(recipes, name), 'utf8')

let dataset: SmallDataset
beforeAll(async () => {
  dataset = await makeSmallDataset()
})
afterAll(() => rmSync(dataset.root, { recursive: true }))

/** A program of the given name that a script finds before the machine's own. */
function standIn(name: string, script: string): string {
  const folder = path.join(dataset.root, `${name}-bin`)
  mkdirSync(folder, { recursive: true })
  writeFileSync(path.join(folder, name), `#!/usr/bin/env bash\n${script}\n`, { mode: 0o755 })
  return `${folder}:${process.env.PATH}`
}

const epochs = 4
const trainArguments = (run: string) => [
  ...['9', '3d_fullres', '0', '--plans', 'nnUNetPlansTiny', '--run', run, '--threads', '1', '--seed', '7'],
  ...['--epochs', String(epochs), '--steps-per-epoch', '10', '--val-steps', '1', '--set', 'validateAtEnd=false'],
]

function start(script: string, run: string, env: Record<string, string>) {
  const child: ChildProcess = spawn('bash', [path.join(recipes, script), ...trainArguments(run)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      VOXGRAD: program,
      nnUNet_raw: dataset.folders.raw,
      nnUNet_preprocessed: dataset.folders.preprocessed,
      nnUNet_results: dataset.folders.results,
      ...env,
    },
  })
  child.stdout?.resume()
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
  return { child, ended }
}

const linesOf = (run: string): { type: string; epoch: number }[] => {
  const file = path.join(run, 'metrics.jsonl')
  if (!existsSync(file)) return []
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.endsWith('}'))
    .map((line) => JSON.parse(line))
}
const epochsOf = (run: string) => linesOf(run).filter(({ type }) => type === 'epoch')

const firstEpoch = (run: string) =>
  expect.poll(() => epochsOf(run).length, { timeout: 120_000, interval: 20 }).toBeGreaterThan(0)

/** The run went to its end through exactly one interruption, and has every epoch once. */
function expectWhole(run: string) {
  expect(recordOf(run)).toMatchObject({ status: 'finished', reason: 'completed' })
  expect(epochsOf(run).map(({ epoch }) => epoch)).toEqual(Array.from({ length: epochs }, (_, i) => i))
  expect(linesOf(run).filter(({ type }) => type === 'resume')).toHaveLength(1)
}

describe('Slurm', () => {
  test('SIGUSR1 to the batch script saves and requeues; the second start goes on to the end', async () => {
    const run = path.join(dataset.root, 'slurm')
    const requeued = path.join(dataset.root, 'requeued')
    const env = { PATH: standIn('scontrol', `echo "$@" >> ${requeued}`), SLURM_JOB_ID: '4711' }
    const first = start('voxgrad.sbatch', run, env)
    await firstEpoch(run)
    first.child.kill('SIGUSR1')
    expect(await first.ended).toBe(0)
    expect(readFileSync(requeued, 'utf8')).toBe('requeue 4711\n')
    expect(recordOf(run)).toMatchObject({ status: 'stopped', reason: 'signal' })

    expect(await start('voxgrad.sbatch', run, env).ended).toBe(0)
    expect(readFileSync(requeued, 'utf8')).toBe('requeue 4711\n')
    expectWhole(run)
  }, 300_000)

  test('a wrong option ends the job with its own code and queues nothing', async () => {
    const requeued = path.join(dataset.root, 'requeued-wrongly')
    const env = {
      PATH: standIn('scontrol', `touch ${requeued}`),
      SLURM_JOB_ID: '1',
      nnUNet_preprocessed: '/nowhere',
      nnUNet_raw: '/nowhere',
    }
    expect(await start('voxgrad.sbatch', path.join(dataset.root, 'wrong'), env).ended).toBe(2)
    expect(existsSync(requeued)).toBe(false)
  })

  test('asks for the signal that the script waits for', () => {
    expect(text('voxgrad.sbatch')).toMatch(/^#SBATCH --signal=B:USR1@120$/m)
    expect(text('voxgrad.sbatch')).toMatch(/^trap .* USR1 TERM$/m)
  })
})

describe('spot instances', () => {
  test('the announced end of a machine saves the run with 75; the next machine goes on to the end', async () => {
    const run = path.join(dataset.root, 'spot')
    const notice = path.join(dataset.root, 'notice')
    // The token is always given; the notice is 404 until the file is there.
    const curl = `case "$*" in *api/token*) echo token ;; *) test -e ${notice} ;; esac`
    const env = { PATH: standIn('curl', curl), SECONDS_BETWEEN_LOOKS: '0.05' }
    const first = start('spot.sh', run, env)
    await firstEpoch(run)
    writeFileSync(notice, '')
    expect(await first.ended).toBe(75)
    expect(recordOf(run)).toMatchObject({ status: 'stopped', reason: 'signal' })
    rmSync(notice)
    expect(await start('spot.sh', run, env).ended).toBe(0)
    expectWhole(run)
  }, 300_000)
})

test.each(['voxgrad.sbatch', 'spot.sh'])('bash reads %s', (name) => {
  expect(spawnSync('bash', ['-n', path.join(recipes, name)], { encoding: 'utf8' })).toMatchObject({
    status: 0,
    stderr: '',
  })
})

const analyzer = spawnSync('systemd-analyze', ['--version']).status === 0
test.skipIf(!analyzer)('systemd takes the unit (skipped without systemd-analyze)', () => {
  const unit = path.join(dataset.root, 'voxgrad.service')
  writeFileSync(unit, text('voxgrad.service').replace('/usr/bin/node', process.execPath))
  const { status, stderr } = spawnSync('systemd-analyze', ['verify', unit], { encoding: 'utf8' })
  expect(stderr).toBe('')
  expect(status).toBe(0)
})

test('the unit treats exit codes as the documentation of them says', () => {
  const entries = Object.fromEntries([...text('voxgrad.service').matchAll(/^(\w+)=(.*)$/gm)].map(([, k, v]) => [k, v]))
  expect(entries).toMatchObject({ SuccessExitStatus: '75', RestartPreventExitStatus: '2', Restart: 'on-failure' })
  expect(entries.ExecStart).toMatch(/^\/usr\/bin\/node \S+\/dist\/cli\/main\.js train .* --continue$/)
})

describe('container file', () => {
  // Continued lines joined, comments left out.
  const instructions = () =>
    text('Dockerfile')
      .replace(/\s*\\\n\s*/g, ' ')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => ({ name: line.split(' ')[0] ?? '', value: line.slice(line.indexOf(' ') + 1) }))

  test('begins with a named version, leaves no package lists, runs as a user, and starts the program by node', () => {
    const [first] = instructions()
    expect(first).toMatchObject({ name: 'FROM', value: expect.stringMatching(/^node:2\d-\w+-slim$/) })
    const of = (name: string) => instructions().filter((entry) => entry.name === name)
    for (const { value } of of('RUN').filter((entry) => entry.value.includes('apt-get'))) {
      expect(value).toMatch(
        /^apt-get update && apt-get install --yes --no-install-recommends .* && rm -rf \/var\/lib\/apt\/lists/,
      )
    }
    expect(of('USER').at(-1)?.value).toBe('node')
    const entry = JSON.parse(of('ENTRYPOINT')[0]?.value ?? '') as string[]
    const home = of('WORKDIR')[0]?.value ?? ''
    expect(entry[0]).toBe('node')
    expect(existsSync(entry[1]?.replace(home, root) ?? '')).toBe(true)
    expect(new Set(instructions().map(({ name }) => name))).toEqual(
      new Set(['FROM', 'RUN', 'WORKDIR', 'COPY', 'ARG', 'ENV', 'USER', 'ENTRYPOINT', 'CMD']),
    )
  })

  test('leaves out of the image what the image makes, and nothing that git keeps', () => {
    const ignored = text('Dockerfile.dockerignore')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
    const kept = spawnSync('git', ['ls-files'], { cwd: root, encoding: 'utf8' }).stdout.split('\n')
    const tops = new Set(kept.map((file) => file.split('/')[0]))
    for (const name of ignored) expect(tops.has(name)).toBe(false)
    expect(ignored).toEqual(expect.arrayContaining(['node_modules', 'build', 'dist', '.deps']))
  })
})
