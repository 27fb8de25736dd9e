// Policies of the caller: a schedule, a best metric and an early-stopping rule as functions, in runs on the real engine.
import { existsSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { trainOptionsSchema } from '../../src/config/schema.js'
import type { EpochLine, Run } from '../../src/train/events.js'
import { resume, train } from '../../src/train/jobs.js'
import type { Policies } from '../../src/train/policies.js'
import type { RunRecord } from '../../src/train/run-folder.js'
import { annealed, learningRates } from '../../src/train/schedule.js'
import { policyRules } from '../../src/train/setup.js'
import { makeSmallDataset, type SmallDataset, smallRun } from './small-dataset.js'

describe('a schedule', () => {
  const ratesOf = (schedule: object, own: NonNullable<Policies['learningRate']>) => {
    const budget = { steps: 6, stepsPerEpoch: 2 }
    const options = trainOptionsSchema.parse({ dataset: 1, configuration: '2d', fold: 0, budget, schedule })
    const rules = policyRules(options, [], { learningRate: own })
    return { schedule: rules.schedule, rates: [...learningRates(rules.schedule, 0, 6)] }
  }
  const halving: NonNullable<Policies['learningRate']> = ({ step, initialLr }) => initialLr / 2 ** step

  test.each([
    ['each step', {}, [0, 1, 2, 3, 4, 5].map((step) => 0.01 / 2 ** step)],
    ['each epoch', { granularity: 'epoch' }, [0, 0, 2, 2, 4, 4].map((step) => 0.01 / 2 ** step)],
    ['after a warm-up', { warmupSteps: 2 }, [0.005, 0.01, ...[0, 1, 2, 3].map((step) => 0.01 / 2 ** step)]],
    [
      'afresh in a longer run',
      { extensions: [{ kind: 'restart', from: 4 }] },
      [0, 1, 2, 3, 0, 1].map((step) => 0.01 / 2 ** step),
    ],
    ['held in a longer run', { extensions: [{ kind: 'continue', from: 2 }] }, [0.01, ...new Array(5).fill(0.005)]],
  ])('asked for %s', (_, schedule, expected) => {
    const { rates } = ratesOf(schedule, halving)
    for (const [i, rate] of rates.entries()) expect(rate).toBeCloseTo(expected[i] as number, 15)
  })

  test('knows its length, and is brought down from where it is', () => {
    const { schedule, rates } = ratesOf({}, ({ step, totalSteps }) => totalSteps - step)
    expect(rates).toEqual([6, 5, 4, 3, 2, 1])
    expect([...learningRates(annealed(schedule, 2, 4), 0, 6)]).toEqual([6, 5, 3.75, 2.5, 1.25, 0])
  })

  test.each([
    ['NaN', () => Number.NaN, /policies.learningRate: expected a rate of 0 or more at step 0, found NaN/],
    ['negative at the end', ({ step }: { step: number }) => 4 - step, /at step 5, found -1/],
    [
      'throws',
      () => {
        throw new Error('no table')
      },
      /policies.learningRate failed: no table/,
    ],
  ])('that is %s is refused before the first step', (_, own, message) => {
    expect(() => ratesOf({}, own)).toThrow(message)
  })
})

describe('in a run', () => {
  let dataset: SmallDataset
  beforeAll(async () => {
    dataset = await makeSmallDataset()
  })
  afterAll(() => rmSync(dataset.root, { recursive: true, force: true }))
  const folderOf = (name: string) => path.join(dataset.root, name)
  const epochsOf = (name: string) =>
    readFileSync(path.join(folderOf(name), 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as EpochLine)
      .filter(({ type }) => type === 'epoch')
  const start = (name: string, policies: Policies) => {
    const budget = { epochs: 6, stepsPerEpoch: 2, valSteps: 1 }
    return train(smallRun(dataset, { run: folderOf(name), budget, validateAtEnd: false }), { policies })
  }
  const eventsOf = async (run: Run) => {
    const events = []
    for await (const event of run) events.push(event)
    return events
  }

  /** Rates that fall by steps, the lowest training loss, and an end after four epochs. */
  const policies: Policies = {
    learningRate: ({ step, initialLr }) => initialLr * 0.5 ** Math.floor(step / 4),
    bestMetric: (epochs) => -(epochs.at(-1)?.train_loss ?? Number.NaN),
    stopEarly: (epochs) => (epochs.length < 4 ? null : `${epochs.length} epochs are enough`),
  }

  test('all three decide', async () => {
    const events = await eventsOf(start('whole', policies))
    const epochs = epochsOf('whole')
    expect(epochs.map(({ lr }) => lr)).toEqual([0.01, 0.01, 0.005, 0.005])
    let lowest = Number.POSITIVE_INFINITY
    const bests = epochs.flatMap(({ epoch, train_loss: loss }) => {
      if ((loss as number) >= lowest) return []
      lowest = loss as number
      return [{ epoch, value: -lowest }]
    })
    const found = events.flatMap((event) =>
      event.type === 'new_best' ? [{ epoch: event.epoch, value: event.value }] : [],
    )
    expect(found).toEqual(bests)
    expect(events).toContainEqual(expect.objectContaining({ type: 'new_best', metric: 'policies.bestMetric' }))
    expect(events.find(({ type }) => type === 'stop')).toMatchObject({
      reason: 'early_stopping',
      text: 'Early stopping after epoch 4 (step 8): 4 epochs are enough.',
    })
    const record = JSON.parse(readFileSync(path.join(folderOf('whole'), 'run.json'), 'utf8')) as RunRecord
    expect(record).toMatchObject({ reason: 'early_stopping', policies: ['learningRate', 'bestMetric', 'stopEarly'] })
  })

  test('a stopped run goes on with them to the same end, and not without them', async () => {
    const run = start('cut', policies)
    for await (const event of run) if (event.type === 'epoch' && event.epoch === 1) run.stop()
    expect(await run.finished).toMatchObject({ status: 'stopped' })
    await expect(resume({ run: folderOf('cut') }).finished).rejects.toMatchObject({
      code: 'ERR_CONFIG',
      message: expect.stringMatching(/functions of its own for learningRate, bestMetric, stopEarly/),
    })
    const ended = await resume({ run: folderOf('cut') }, { policies }).finished
    expect(ended).toMatchObject({ reason: 'early_stopping', epochs: 4 })
    const curve = (name: string) => epochsOf(name).map(({ lr, train_loss, val_loss }) => [lr, train_loss, val_loss])
    expect(curve('cut')).toEqual(curve('whole'))
  })

  test('one that fails ends the run with all steps saved, and goes on when it is mended', async () => {
    const failing: Policies = {
      bestMetric: (epochs) => {
        if (epochs.length === 2) throw new Error('division of nothing')
        return epochs.length
      },
    }
    await expect(start('failing', failing).finished).rejects.toMatchObject({
      code: 'ERR_CONFIG',
      message: expect.stringMatching(
        /bestMetric failed: division of nothing. All 4 steps are saved: mend the function/,
      ),
    })
    const mended = { bestMetric: () => Number.NaN }
    const { epochs } = await resume({ run: folderOf('failing') }, { policies: mended }).finished
    expect(epochs).toBe(6)
    expect(epochsOf('failing').map(({ epoch }) => epoch)).toEqual([0, 1, 2, 3, 4, 5])
  })

  test('what is no policy is refused, and nothing is written', async () => {
    const wrong = [{ learningrate: () => 0.1 }, { stopEarly: 'never' }] as unknown as Policies[]
    for (const policies of wrong) {
      await expect(start('wrong', policies).finished).rejects.toMatchObject({ code: 'ERR_CONFIG' })
    }
    expect(existsSync(folderOf('wrong'))).toBe(false)
  })

  test('await using stops what still goes on', async () => {
    let seen: Run | undefined
    {
      await using run = start('scoped', {})
      seen = run
      for await (const event of run) if (event.type === 'epoch') break
    }
    expect(await seen.finished).toMatchObject({ status: 'stopped', reason: 'signal' })
    const scoped = async () => {
      await using _ = start('scoped', {})
    }
    await expect(scoped()).rejects.toThrow(/already holds a run/)
  })
})
