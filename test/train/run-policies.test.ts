// Policies at work in whole runs on the real engine: early stopping, annealing, time, longer runs, weights that are not
// finite, the best weights, what is refused.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TrainInput } from '../../src/config/schema.js'
import { native } from '../../src/native/load.js'
import type { EpochLine, Run, RunEvent, RunResult } from '../../src/train/events.js'
import { resume, train } from '../../src/train/jobs.js'
import { ownerOf } from '../../src/train/lock.js'
import { findRuns, readOverview } from '../../src/train/overview.js'
import { type MetricsLine, RunFolder, type RunRecord } from '../../src/train/run-folder.js'
import { makeSmallDataset, type SmallDataset, smallRun } from './small-dataset.js'

let dataset: SmallDataset
beforeAll(async () => {
  dataset = await makeSmallDataset()
  // Plans and preprocesses once.
  await train(smallRun(dataset, { run: folderOf('first'), budget: { steps: 1, valSteps: 1 }, validateAtEnd: false }))
    .finished
})
afterAll(() => rmSync(dataset.root, { recursive: true, force: true }))

const folderOf = (name: string) => path.join(dataset.root, name)
const recordOf = (run: string) => JSON.parse(readFileSync(path.join(run, 'run.json'), 'utf8')) as RunRecord
const metricsOf = (run: string) =>
  readFileSync(path.join(run, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as MetricsLine)
const epochsOf = (run: string) => metricsOf(run).filter((line): line is EpochLine => line.type === 'epoch')
const options = (name: string, changes: Partial<TrainInput>) =>
  smallRun(dataset, { run: folderOf(name), validateAtEnd: false, checkpoint: { everyEpochs: 100 }, ...changes })

async function follow(run: Run): Promise<{ result: RunResult; events: RunEvent[] }> {
  const events: RunEvent[] = []
  for await (const event of run) events.push(event)
  return { result: await run.finished, events }
}
const textsOf = (events: RunEvent[], type: 'warning' | 'stop' | 'log') =>
  events.flatMap((event) => (event.type === type ? [event.text] : []))

// No epoch improves by more than all that there is.
const never = { patience: 2, minDelta: 2 }
const twentyEpochs = { epochs: 20, stepsPerEpoch: 2, valSteps: 1 }

describe('early stopping', () => {
  test('finishes the run with its final weights, its validation and its reason', async () => {
    const input = options('stopped', { budget: twentyEpochs, earlyStopping: never, validateAtEnd: 'both' })
    const { result, events } = await follow(train(input))
    const run = folderOf('stopped')
    expect(result).toMatchObject({ status: 'finished', reason: 'early_stopping', epochs: 3, step: 6 })
    expect(result.validations.map(({ checkpoint }) => checkpoint)).toEqual(['final', 'best'])
    expect(recordOf(run)).toMatchObject({ status: 'finished', reason: 'early_stopping', step: 6 })
    expect(textsOf(events, 'stop')).toEqual(['Early stopping after epoch 3 (step 6): no improvement in 2 epochs.'])
    for (const folder of ['validation', 'validation_best'])
      expect(existsSync(path.join(run, folder, 'summary.json'))).toBe(true)
    expect(existsSync(path.join(run, 'checkpoint_final.pth'))).toBe(true)
    expect(ownerOf(run)).toBeNull()
  })

  test('stays stopped when it is resumed, and goes on when it is made longer', async () => {
    const run = folderOf('stopped')
    const again = await follow(resume({ run }))
    expect(again.result).toMatchObject({ reason: 'early_stopping', step: 6 })
    expect(textsOf(again.events, 'log')).toContain('The run is finished; nothing is missing.')
    const longer = await follow(resume({ run, budget: { epochs: 5 }, schedule: 'restart' }))
    expect(longer.result).toMatchObject({ status: 'finished', epochs: 5, step: 10 })
    expect(epochsOf(run).map(({ epoch }) => epoch)).toEqual([0, 1, 2, 3, 4])
    expect(epochsOf(run)[3]?.lr).toBe(0.01)
    // The validation is of the new weights.
    expect(longer.events.filter(({ type }) => type === 'validation_finished')).toHaveLength(2)
  })

  test('anneals: the rate goes down to 0 over the stated steps', async () => {
    const earlyStopping = { ...never, onPlateau: 'anneal', annealSteps: 5 } as const
    const { result } = await follow(train(options('annealed', { budget: twentyEpochs, earlyStopping })))
    expect(result).toMatchObject({ status: 'finished', reason: 'early_stopping', step: 6 + 5 })
    const rates = epochsOf(folderOf('annealed')).map(({ lr }) => lr)
    const before = 0.01 * (1 - 5 / 40) ** 0.9
    expect(rates.slice(3).map((rate) => rate / before)).toEqual(
      [0.8, 0.4, 0].map((share) => expect.closeTo(share, 12) as number),
    )
  })

  test('that anneals goes on exactly after a stop in the middle', async () => {
    const earlyStopping = { ...never, onPlateau: 'anneal', annealSteps: 5 } as const
    const started = train(options('interrupted', { budget: twentyEpochs, earlyStopping }))
    for await (const event of started) if (event.type === 'epoch' && event.epoch === 3) started.stop()
    expect(await started.finished).toMatchObject({ status: 'stopped' })
    await follow(resume({ run: folderOf('interrupted') }))
    const weights = (name: string) => native().readTorchFile(path.join(folderOf(name), 'checkpoint_final.pth'))
    const [resumed, whole] = (await Promise.all([weights('interrupted'), weights('annealed')])) as Record<
      string,
      unknown
    >[]
    expect(resumed?.network_weights).toEqual(whole?.network_weights)
  })
})

describe('a budget of time', () => {
  test('ends the call with everything saved, and the next call, but no restart within one, has it anew', async () => {
    const budget = { epochs: 200, stepsPerEpoch: 4, valSteps: 1, time: 0.5 }
    const { result } = await follow(train(options('timed', { budget })))
    expect(result).toMatchObject({ status: 'stopped', reason: 'time_budget' })
    const run = folderOf('timed')
    expect(recordOf(run)).toMatchObject({ status: 'stopped', reason: 'time_budget', step: result.step })
    expect(existsSync(path.join(run, 'checkpoint_latest.pth'))).toBe(true)
    const { result: second } = await follow(resume({ run }))
    expect(second.reason).toBe('time_budget')
    expect(second.step).toBeGreaterThan(result.step)
    const { result: third } = await follow(resume({ run }, { restart: { because: 'It crashed.', secondsUsed: 1 } }))
    expect(third).toMatchObject({ reason: 'time_budget', step: second.step })
  })
})

describe('a longer run', () => {
  test.each([
    ['stretch', 0.01 * (1 - 4 / 8) ** 0.9],
    ['continue', 0.01 * (1 - 3 / 4) ** 0.9],
    ['restart', 0.01],
  ] as const)('by %s goes on with its rate', async (schedule, rate) => {
    const run = folderOf(schedule)
    const budget = { epochs: 2, stepsPerEpoch: 2, valSteps: 1 }
    await follow(train(options(schedule, { budget })))
    const { result } = await follow(resume({ run, budget: { epochs: 4 }, schedule }))
    expect(result).toMatchObject({ status: 'finished', reason: 'completed', epochs: 4, step: 8 })
    expect(epochsOf(run)[2]?.lr).toBeCloseTo(rate, 15)
    // What run.json holds resumes alike.
    expect((await follow(resume({ run }))).result.step).toBe(8)
  })

  test('may also become shorter than it was planned', async () => {
    const run = folderOf('shortened')
    const started = train(options('shortened', { budget: { epochs: 50, stepsPerEpoch: 2, valSteps: 1 } }))
    for await (const event of started) if (event.type === 'epoch' && event.epoch === 1) started.stop()
    const { step } = await started.finished
    const { result } = await follow(resume({ run, budget: { steps: step + 2 } }))
    expect(result).toMatchObject({ status: 'finished', step: step + 2 })
  })

  test('needs more than what is done', async () => {
    await expect(resume({ run: folderOf('stretch'), budget: { epochs: 3 } }).finished).rejects.toMatchObject({
      code: 'ERR_CONFIG',
      message: expect.stringMatching(
        /a total of more than the 8 steps that the run has done in 4 epochs, found 6 steps/,
      ) as string,
    })
    expect(recordOf(folderOf('stretch'))).toMatchObject({ status: 'finished' })
  })
})

describe('losses that are not finite', () => {
  test('reload three times with other patches, then end the run', async () => {
    const input = options('exploding', {
      budget: { epochs: 10, stepsPerEpoch: 20, valSteps: 1 },
      optimizer: { initialLr: 1e30 },
    })
    const started = train(input)
    const events: RunEvent[] = []
    await expect(
      (async () => {
        for await (const event of started) events.push(event)
      })(),
    ).rejects.toMatchObject({
      code: 'ERR_NON_FINITE',
      message: expect.stringMatching(/not finite in 10 steps in a row, up to step \d+, after 3 reloads/) as string,
    })
    const reloads = textsOf(events, 'warning').filter((text) => /Loading the last checkpoint/.test(text))
    expect(reloads.map((text) => /\(\d of \d\)/.exec(text)?.[0])).toEqual(['(1 of 3)', '(2 of 3)', '(3 of 3)'])
    expect(recordOf(folderOf('exploding'))).toMatchObject({ status: 'failed', reason: 'non_finite' })
    expect(metricsOf(folderOf('exploding')).at(-1)).toMatchObject({ type: 'stop', reason: 'non_finite' })
  })
})

describe('the metric of the best model', () => {
  test.each(['mean_fg_dice', 'val_loss', 'label:back'] as const)('may be %s', async (metric) => {
    await follow(train(options(metric, { bestModel: { metric } })))
    const best = metricsOf(folderOf(metric)).filter((line) => line.type === 'new_best')
    expect(best.length).toBeGreaterThan(0)
    for (const line of best) expect(line.metric).toBe(metric)
    if (metric === 'val_loss') {
      const losses = epochsOf(folderOf(metric)).map(({ val_loss }) => val_loss as number)
      expect(best.at(-1)?.value).toBe(Math.min(...losses))
    }
  })
})

describe('a folder', () => {
  test('that is in use is refused, naming its owner, and is seen as running', async () => {
    const first = train(options('busy', { budget: { epochs: 1000, stepsPerEpoch: 4, valSteps: 1 } }))
    for await (const event of first) {
      if (event.type !== 'epoch') continue
      for (const second of [resume({ run: folderOf('busy') }), train(options('busy', { continue: true }))]) {
        await expect(second.finished).rejects.toMatchObject({
          code: 'ERR_RUN_IN_USE',
          message: expect.stringContaining(`in use by process ${process.pid}`) as string,
        })
      }
      expect(await readOverview(new RunFolder(folderOf('busy')))).toMatchObject({ status: 'running', epochs: 1000 })
      break
    }
    first.stop()
    await first.finished
    expect(await readOverview(new RunFolder(folderOf('busy')))).toMatchObject({ status: 'stopped', owner: null })
    const found = await findRuns(dataset.root)
    expect(found.map(({ folder }) => folder)).toContain(folderOf('busy'))
  })

  test('of a run that was killed says so', async () => {
    const run = folderOf('killed')
    mkdirSync(run)
    writeFileSync(path.join(run, 'run.json'), JSON.stringify({ ...recordOf(folderOf('stretch')), status: 'running' }))
    expect(await readOverview(new RunFolder(run))).toMatchObject({ status: 'killed' })
  })

  test('that cannot be trained in is left as it was', async () => {
    const run = path.join(folderOf('nothing'), 'of', 'it')
    await expect(train(options('nothing/of/it', { configuration: '3d_none' })).finished).rejects.toMatchObject({
      code: 'ERR_PLANS',
    })
    expect(existsSync(folderOf('nothing'))).toBe(false)
    await expect(resume({ run }).finished).rejects.toMatchObject({ code: 'ERR_RUN' })
    expect(existsSync(folderOf('nothing'))).toBe(false)
  })
})
