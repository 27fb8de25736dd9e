// Stopping a run anywhere and going on changes nothing: weights, optimizer, averages, best model, patience and epoch lines.
import { rmSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TrainInput } from '../../src/config/schema.js'
import { native } from '../../src/native/load.js'
import type { Run, RunResult } from '../../src/train/events.js'
import { resume, train } from '../../src/train/jobs.js'
import { metricsOf, outcomeOf } from '../train/run-files.js'
import { makeSmallDataset, type SmallDataset, smallRun, writeLeastPlans } from '../train/small-dataset.js'
import { count, figuresOf, Random, suiteTimeout } from './counts.js'

const figures = figuresOf('stop-points', { 'stop points': 0, 'in the middle of an epoch': 0, 'runs compared': 0 })
const random = new Random('stop-points')
const stepsPerEpoch = 12

let dataset: SmallDataset
beforeAll(async () => {
  dataset = await makeSmallDataset()
  await train(smallRun(dataset, { budget: { steps: 1, stepsPerEpoch: 1, valSteps: 1 }, validateAtEnd: false })).finished
  writeLeastPlans(dataset)
})
afterAll(() => rmSync(dataset.root, { recursive: true, force: true }))

/** Saves every other epoch, so that best and latest differ. */
const plainRun = (run: string): TrainInput =>
  smallRun(dataset, {
    run,
    plans: 'nnUNetPlansLeast',
    budget: { epochs: 8, stepsPerEpoch, valSteps: 3 },
    earlyStopping: { patience: 30, warmupEpochs: 1 },
    checkpoint: { everyEpochs: 2 },
    validateAtEnd: 'best',
  })

const variants: [string, (run: string) => TrainInput][] = [
  ['a run to the end of its budget', plainRun],
  [
    'a run that ends early, after its rate was brought down',
    (run) => ({
      ...plainRun(run),
      bestModel: { metric: 'val_loss' },
      // No loss improves by that much, so that patience is at its end after the third epoch.
      earlyStopping: { patience: 2, minDelta: 100, onPlateau: 'anneal', annealSteps: 2 * stepsPerEpoch + 5 },
    }),
  ],
]

/** Everything a run decides or computes, without times and without what differs from run to run. */
async function everythingOf(folder: string) {
  const read = async (name: string) => {
    const file = path.join(folder, `checkpoint_${name}.pth`)
    const { voxgrad, logging, network_weights, optimizer_state, ...others } = (await native().readTorchFile(
      file,
    )) as Record<string, unknown>
    const { epoch_start_timestamps, epoch_end_timestamps, ...curves } = logging as Record<string, unknown>
    const { state } = JSON.parse(voxgrad as string) as { state: { partial: object } }
    return { state, curves, network_weights, optimizer_state, others }
  }
  const decisions = metricsOf(folder).filter(({ type }) => type === 'new_best' || type === 'stop')
  return {
    ...(await outcomeOf(folder)),
    final: await read('final'),
    best: await read('best'),
    decisions: decisions.filter((line) => !('reason' in line) || line.reason === 'early_stopping'),
  }
}

/** Follows a run; stops it `ms` after its start. */
async function stopAfter(run: Run, ms: number): Promise<RunResult> {
  for await (const event of run) if (event.type === 'run_started') setTimeout(() => run.stop(), ms)
  return run.finished
}

/** Milliseconds from the start to the last epoch. */
async function trainingTime(run: Run): Promise<number> {
  let begin = 0
  let end = 0
  for await (const event of run) {
    if (event.type === 'run_started') begin = performance.now()
    if (event.type === 'epoch') end = performance.now()
  }
  return end - begin
}

test.each(variants)(
  '%s',
  async (name, options) => {
    const points = count(50, 2)
    const wholeFolder = path.join(dataset.root, `${name} whole`)
    const ms = await trainingTime(train(options(wholeFolder)))
    const whole = await everythingOf(wholeFolder)
    expect(whole.final.state).toMatchObject(
      name.includes('early') ? { stoppedEarly: true, epoch: 6 } : { stoppedEarly: false, epoch: 8 },
    )
    let stops = 0
    for (let i = 0; stops < points; i++) {
      const run = path.join(dataset.root, `${name} ${i}`)
      // From one stop a run to about five.
      const longest = random.pick([0.2, 0.5, 1]) * ms
      let result = await stopAfter(train(options(run)), random.between(0, longest))
      while (result.status === 'stopped') {
        stops++
        figures['stop points']++
        const epoch = Math.floor(result.step / stepsPerEpoch)
        if (result.step !== epoch * stepsPerEpoch) figures['in the middle of an epoch']++
        const again = resume({ run })
        result = await (stops < points ? stopAfter(again, random.between(0, longest)) : again.finished)
      }
      expect(await everythingOf(run)).toEqual(whole)
      figures['runs compared']++
      rmSync(run, { recursive: true })
    }
  },
  suiteTimeout,
)
