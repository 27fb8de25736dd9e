// Sweeps as people run them: five folds on two slots with a run killed, Ctrl-C and again, a run that fails, a cascade, and
// everything that is missing at once.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bestConfiguration, plan, preprocess } from '../../src/index.js'
import type { SweepEvent, SweepFinishedEvent, SweepResult, SweepRun } from '../../src/sweep/events.js'
import type { DatasetSummary } from '../../src/sweep/summary.js'
import { Program } from '../suites/program.js'
import { makeSmallDataset, type SmallDataset, writeLeastPlans } from '../train/small-dataset.js'

const entry = new URL('../../dist/cli/main.js', import.meta.url).pathname
const name = 'Dataset009_Boxes'
const [plans, configurations] = ['nnUNetPlansLeast', ['3d_lowres', '3d_fullres']]
const short = ['--epochs', '3', '--steps-per-epoch', '4', '--val-steps', '1', '--seed', '7']
const options = ['--plans', plans, ...short, '--set', 'validation.mirroring=false', '--set', 'checkpoint.everyEpochs=1']
const fullres = ['sweep', '-d', '9', '-c', '3d_fullres', '--devices', 'cpu:2', ...options]

let dataset: SmallDataset

beforeAll(async () => {
  dataset = await makeSmallDataset()
  const { folders } = dataset
  await plan({ dataset: 9, folders, preset: 'tiny' })
  writeLeastPlans(dataset)
  await preprocess({ dataset: 9, folders, configurations, plans })
})
afterAll(() => rmSync(dataset.root, { recursive: true, force: true }))

/** The dataset's folders with results of their own. */
const foldersFor = (test: string) => ({ ...dataset.folders, results: path.join(dataset.root, 'results', test) })
const environment = (folders: SmallDataset['folders']) => ({
  ...process.env,
  nnUNet_raw: folders.raw,
  nnUNet_preprocessed: folders.preprocessed,
  nnUNet_results: folders.results,
  CUDA_VISIBLE_DEVICES: '',
})

/** A sweep to its end, in a terminal of 80 columns or none. */
function voxgrad(folders: SmallDataset['folders'], args: string[], env: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [entry, ...args], {
    encoding: 'utf8',
    env: { ...environment(folders), ...env },
  })
  return { code: status, out: stdout, err: stderr }
}

const eventsOf = (program: Program) => program.events as unknown as SweepEvent[]
const changesOf = (events: readonly SweepEvent[]) =>
  events.filter((event) => event.type === 'sweep_run').map(({ run }) => run)
const resultOf = (events: readonly SweepEvent[]): SweepResult =>
  (events.findLast(({ type }) => type === 'sweep_finished') as SweepFinishedEvent).result
const untilEvent = (program: Program, fits: (event: SweepEvent) => boolean) =>
  program.until((event) => fits(event as unknown as SweepEvent))
const processOf = (run: SweepRun) =>
  (JSON.parse(readFileSync(path.join(run.folder, 'run.json'), 'utf8')) as { processId: number }).processId
const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length

/** Walks what --json has printed: every line in its place, and never more at once than there are slots. */
function walk(events: readonly SweepEvent[], slots: number): void {
  const types = new Set(['sweep_started', 'sweep_run', 'run_event', 'progress', 'warning', 'sweep_finished'])
  expect(events.filter(({ type }) => !types.has(type))).toEqual([])
  const [first] = events
  if (first?.type !== 'sweep_started') throw new Error('expected sweep_started first')
  expect(events.at(-1)?.type).toBe('sweep_finished')
  const states = new Map(first.runs.map((run) => [run.name, run.state]))
  for (const event of events) {
    if (event.type === 'run_event') expect(states.get(event.run)).toBe('running')
    if (event.type !== 'sweep_run') continue
    expect(states.get(event.run.name)).toBe(event.run.state === 'running' ? 'waiting' : 'running')
    states.set(event.run.name, event.run.state)
    expect([...states.values()].filter((state) => state === 'running').length).toBeLessThanOrEqual(slots)
    expect(event.run.device === null).toBe(event.run.state !== 'running')
  }
}

test('five folds on two slots, one of them killed, end in one summary that best-configuration agrees with', async () => {
  const folders = foldersFor('killed')
  const program = new Program([...fullres, '--json'], folders, { CUDA_VISIBLE_DEVICES: '' })
  await untilEvent(
    program,
    (event) => event.type === 'run_event' && /fold_1$/.test(event.run) && event.event.type === 'checkpoint',
  )
  const victim = changesOf(eventsOf(program)).find(({ fold }) => fold === 1) as SweepRun
  process.kill(processOf(victim), 'SIGKILL')
  const { code } = await program.ended
  await program.expectNothingLeft()
  const events = eventsOf(program)
  walk(events, 2)
  expect(code).toBe(0)

  const warnings = events.flatMap((event) =>
    event.type === 'run_event' && event.event.type === 'warning' ? [`${event.run}: ${event.event.text}`] : [],
  )
  expect(warnings).toEqual([expect.stringMatching(/fold_1: .*SIGKILL.*Starting it again from the newest whole check/)])
  const { runs, stopped } = resultOf(events)
  expect(stopped).toBe(false)
  expect(runs.map(({ fold, state, step, totalSteps }) => [fold, state, step, totalSteps])).toEqual(
    [0, 1, 2, 3, 4].map((fold) => [fold, 'finished', 12, 12]),
  )

  // The file's numbers from the folds' own summaries, and from nnU-Net's way over all cases.
  const file = path.join(folders.results, name, `sweep_${plans}.json`)
  const { configurations: found } = JSON.parse(readFileSync(file, 'utf8')) as DatasetSummary
  const [first] = found
  const own = runs.map(({ folder }) => {
    const summary = JSON.parse(readFileSync(path.join(folder, 'validation/summary.json'), 'utf8'))
    return summary.foreground_mean.Dice as number
  })
  expect(found).toHaveLength(1)
  expect(first?.meanForeground.mean).toBeCloseTo(mean(own), 12)
  const deviation = Math.sqrt(own.reduce((sum, dice) => sum + (dice - mean(own)) ** 2, 0) / 4)
  expect(first?.meanForeground.standardDeviation).toBeCloseTo(deviation, 12)
  const best = await bestConfiguration({
    dataset: 9,
    folders,
    plans: [plans],
    configurations: ['3d_fullres'],
    ensembles: false,
  })
  expect(first?.meanForeground.crossValidation).toBeCloseTo(best.best.summary.foregroundMean.Dice, 12)

  const again = voxgrad(folders, fullres)
  expect(again.code).toBe(0)
  expect(again.out).toMatch(/^5 runs, 5 finished already, 0 to begin$/m)
  expect(again.out).not.toMatch(/: begins on|: goes on/)
  const other = voxgrad(folders, [...fullres, '--epochs', '5', '--dry-run'])
  expect(other.out).toMatch(/warning: Runs that keep their own options \(budget\.epochs 3 in place of 5\): .*fold_4/)
}, 240_000)

test('Ctrl-C saves every run; the same command goes on with them and begins the rest', async () => {
  const folders = foldersFor('stopped')
  // So many epochs that none is over before the signal.
  const long = fullres.map((word, index) => (fullres[index - 1] === '--epochs' ? '20' : word))
  const program = new Program([...long, '--folds', '0,1,2', '--json'], folders, { CUDA_VISIBLE_DEVICES: '' })
  for (const fold of [0, 1]) {
    await untilEvent(
      program,
      (event) => event.type === 'run_event' && event.run.endsWith(`fold_${fold}`) && event.event.type === 'epoch',
    )
  }
  // As a terminal does it.
  program.signalGroup('SIGINT')
  const { code, stderr } = await program.ended
  await program.expectNothingLeft()
  walk(eventsOf(program), 2)
  expect(code).toBe(75)
  expect(stderr).toMatch(/Ctrl-C: ending all runs after their step, with a checkpoint each/)
  expect(stderr).toMatch(
    /Stopped: 3 runs of 3 left\. The same command goes on with them: voxgrad sweep -d 9 -c 3d_full/,
  )
  const { runs, stopped } = resultOf(eventsOf(program))
  expect(stopped).toBe(true)
  expect(runs.map(({ state }) => state)).toEqual(['stopped', 'stopped', 'waiting'])
  for (const { folder, step } of runs.slice(0, 2)) {
    expect(step).toBeGreaterThan(0)
    expect(existsSync(path.join(folder, 'checkpoint_latest.pth'))).toBe(true)
  }

  const again = new Program([...long, '--folds', '0,1,2', '--json'], folders, { CUDA_VISIBLE_DEVICES: '' })
  expect(await again.ended).toMatchObject({ code: 0 })
  const events = eventsOf(again)
  walk(events, 2)
  const resumed = events.flatMap((event) =>
    event.type === 'run_event' && event.event.type === 'resume' ? [[event.run, event.event.step]] : [],
  )
  expect(resumed.sort()).toEqual(runs.slice(0, 2).map((run) => [run.name, run.step]))
  expect(resultOf(events).runs.map(({ state, step }) => [state, step])).toEqual(Array(3).fill(['finished', 80]))
}, 240_000)

test('a run that fails stops no other, and is the exit code', async () => {
  const folders = foldersFor('failed')
  const broken = path.join(folders.results, name, `voxgrad__${plans}__3d_fullres/fold_0`)
  mkdirSync(broken, { recursive: true })
  writeFileSync(path.join(broken, 'checkpoint_latest.pth'), 'no checkpoint')
  const { code, out } = voxgrad(folders, [...fullres, '-f', '0', '1'], { COLUMNS: '80' })
  expect(code).toBe(2)
  expect(out).toMatch(/warning: 9\/3d_fullres\/0: failed: /)
  expect(out).toMatch(/^9\/3d_fullres\/0 {2}failed {4}0\/3 {4}- /m)
  expect(out).toMatch(/^9\/3d_fullres\/1 {2}finished {2}3\/3 {4}0\.\d{4} /m)
  expect(out).toMatch(/\(ERR_CHECKPOINT\)/)
  expect(out).toMatch(/^folds +1\/5$/m)
  expect(out).toMatch(/^cross-validation +-$/m)
  expect(out).toMatch(/Not complete: 1 run of 2 left/)
  // No escape sequence in a pipe.
  expect(out).not.toContain('\u001b')
}, 240_000)

test('a device that is not usable is left out, and its run goes to another one', () => {
  const folders = foldersFor('device')
  const two = fullres.map((word) => (word === 'cpu:2' ? 'cuda:63,cpu' : word))
  // So many devices that cuda:63 could be one of them.
  const visible = { CUDA_VISIBLE_DEVICES: Array.from({ length: 64 }, (_, index) => index).join(',') }
  const { code, out } = voxgrad(folders, [...two, '-f', '0,1'], visible)
  expect(code).toBe(0)
  expect(out).toMatch(/warning: The sweep goes on without cuda:63: /)
  expect(out.match(/begins on cuda:63/g)).toHaveLength(1)
  expect(out.match(/: finished, validation Dice/g)).toHaveLength(2)
}, 240_000)

test('a cascade waits for the runs that it trains on, and needs them all', async () => {
  const folders = foldersFor('cascade')
  const cascade = ['sweep', '-d', '9', '-c', '3d_cascade_fullres,3d_lowres', '--devices', 'cpu:2', ...options]
  const lacking = voxgrad(folders, [...cascade, '--folds', '0'])
  expect(lacking.code).toBe(2)
  expect(lacking.err).toMatch(
    /3d_cascade_fullres trains on the segmentations of 3d_lowres.* lacks those of 4 of 4 cases/,
  )
  const planned = voxgrad(folders, [...cascade, '--dry-run'])
  expect(planned.code).toBe(0)
  expect(planned.out).toMatch(/^ {2}9\/3d_cascade_fullres\/0 {2}begins, after 5 runs of the previous stage$/m)
  expect(existsSync(folders.results)).toBe(false)

  const program = new Program([...cascade, '--json'], folders, { CUDA_VISIBLE_DEVICES: '' })
  expect(await program.ended).toMatchObject({ code: 0 })
  const events = eventsOf(program)
  walk(events, 2)
  const changes = changesOf(events).map(({ configuration, state }) => `${configuration} ${state}`)
  expect(changes.lastIndexOf('3d_lowres finished')).toBeLessThan(changes.indexOf('3d_cascade_fullres running'))
  expect(changes.filter((change) => change === '3d_cascade_fullres finished')).toHaveLength(5)
}, 240_000)

test('everything that is missing is said at once, and nothing is begun', () => {
  const folders = foldersFor('missing')
  mkdirSync(path.join(folders.raw, 'Dataset010_Bare'), { recursive: true })
  const { code, err } = voxgrad(folders, ['sweep', '-d', '9,10,11', '-c', '3d_fullres,2d,3d_ful', '--plans', plans])
  expect(code).toBe(2)
  expect(err).toMatch(/The sweep cannot begin, 4 faults:/)
  expect(err).toMatch(/Dataset 11 was not found/)
  expect(err).toMatch(
    /Dataset010_Bare: expected nnUNetPlansLeast\.json, found none\. Plan it: voxgrad plan Dataset010_B/,
  )
  for (const configuration of ['2d', '3d_ful'])
    expect(err).toMatch(new RegExp(`have no configuration ${configuration}`))
  expect(existsSync(folders.results)).toBe(false)

  const tiny = ['sweep', '-d', '9', '-c', '2d', '--plans', 'nnUNetPlansTiny']
  expect(voxgrad(folders, tiny).err).toMatch(/preprocess Dataset009_Boxes -c 2d --plans nnUNetPlansTiny/)
  expect(voxgrad(folders, [...fullres, '--set', 'optimizer.initalLr=1']).err).toMatch(/Did you mean initialLr\?/i)
  expect(voxgrad(folders, [...fullres, '--set', 'bestModel.metric=label:none']).err).toMatch(
    /label: and one of front, ba/,
  )
  expect(voxgrad(folders, ['sweep', '-c', '2d']).err).toMatch(/--datasets <list\.\.\.>' not specified/)
}, 240_000)
