// Several ranks as processes that share a batch, over Gloo: against one process that has the whole batch, and against each
// other.
import { fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ExchangeReport, TrainerConfig } from '../../src/native/binding.js'
import { native } from '../../src/native/load.js'
import { freePort } from '../../src/ranks/free-port.js'
import { ordinary, smallShape, writeCase } from '../engine/preprocessed-cases.js'
import { type NetworkShape, trainerConfig } from '../engine/trainer-config.js'
import type { RankJob, RankResult } from './rank.js'

let folder: string
beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'voxgrad-ranks-'))
  for (const index of [0, 1, 2, 3])
    await writeCase(folder, `case_${index}`, (label, i) => ordinary(label, i + 1000 * index))
})
afterAll(() => rmSync(folder, { recursive: true }))

const shape: NetworkShape = { ...smallShape, featuresPerStage: [4, 8], batchSize: 4 }

/** The ranks' reports, each as a promise. */
async function startRanks(
  config: TrainerConfig,
  ranks: number,
  changes: (rank: number) => Partial<RankJob> = () => ({}),
) {
  const port = await freePort()
  const job = (rank: number): RankJob => ({
    config: {
      ...config,
      group: { rank, ranks, address: '127.0.0.1', port, hostsStore: rank === 0, attempt: '0', timeoutSeconds: 20 },
    },
    cases: {
      folder,
      training: ['case_0', 'case_1', 'case_2'],
      validation: ['case_3'],
      labels: [0, 1, 2],
    },
    steps: 20,
    validationSteps: 3,
    checkpoint: path.join(folder, 'weights'),
    ...changes(rank),
  })
  const start = (rank: number) =>
    new Promise<RankResult>((resolve, reject) => {
      const child = fork(fileURLToPath(new URL('./rank.ts', import.meta.url)), [], {
        execArgv: ['--import', import.meta.resolve('tsx')],
        serialization: 'advanced',
      })
      child.on('message', (message: { result?: RankResult; code?: string; error?: string }) => {
        if (message.result) resolve(message.result)
        else reject(Object.assign(new Error(message.error), { code: message.code }))
      })
      child.on('exit', (code, signal) => reject(new Error(`rank ${rank} ended with ${code ?? signal}`)))
      child.send(job(rank))
    })
  return Array.from({ length: ranks }, (_, rank) => start(rank))
}

const runRanks = async (...args: Parameters<typeof startRanks>) => Promise.all(await startRanks(...args))

function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length)
  return Array.from(a).reduce((largest, value, i) => Math.max(largest, Math.abs(value - (b[i] as number))), 0)
}

const regions = { outputs: [[1, 2], [2]], overlapping: true }

const isThere = native().versions().collectives.includes('gloo')
if (!isThere) console.log('ranks skipped: the addon was built without Gloo (Debian: libgloo-dev)')

describe.skipIf(!isThere)('ranks that share a batch', () => {
  test.each<[string, Partial<NetworkShape>, number[]]>([
    ['Dice of each sample', {}, [2, 4]],
    ['Dice of the batch', { batchDice: true }, [2, 4]],
    ['unequal shares', { batchSize: 5, batchDice: true }, [2]],
    ['regions', { labels: regions, outputChannels: 2 }, [2]],
    ['dropout', { dropout: 0.3 }, [2]],
  ])('train as one process does: %s', async (_, changes, sizes) => {
    const config = trainerConfig({ ...shape, ...changes })
    const [start] = (await runRanks(config, 1, () => ({ steps: 0 }))) as [RankResult]
    const [one] = (await runRanks(config, 1)) as [RankResult]
    const update = largestDifference(start.weights, one.weights)
    expect(update).toBeGreaterThan(0.01)
    for (const size of sizes) {
      const ranks = await runRanks(config, size)
      for (const { weights, training, validation } of ranks) {
        expect(weights).toEqual(ranks[0]?.weights)
        expect(training.loss).toEqual(ranks[0]?.training.loss)
        expect(validation).toEqual(ranks[0]?.validation)
      }
      const [first] = ranks as [RankResult]
      expect(largestDifference(first.weights, one.weights) / update).toBeLessThan(1e-3)
      expect(largestDifference(first.training.loss, one.training.loss)).toBeLessThan(1e-3)
      expect(largestDifference(first.validation.loss, one.validation.loss)).toBeLessThan(1e-3)
    }
  })

  /** Some 5 MB of parameters: more than the first bucket takes. */
  const deep: NetworkShape = {
    ...shape,
    featuresPerStage: [16, 32, 64, 128],
    kernelSizes: new Array<[number, number, number]>(4).fill([3, 3, 3]),
    strides: [[1, 1, 1], ...new Array<[number, number, number]>(3).fill([2, 2, 2])],
    patchSize: [16, 16, 16],
    deepSupervisionWeights: [4 / 7, 2 / 7, 1 / 7],
  }

  test.each<[string, NetworkShape, number, number]>([
    ['a small network', shape, 1, 0],
    ['a larger one', deep, 2, 0],
    ['Dice of the batch, whose sums go ahead of the gradients', { ...shape, batchDice: true }, 1, 1],
  ])('a step sends its gradients once, in a collective a bucket: %s', async (_, changes, buckets, sums) => {
    const steps = 5
    const ranks = await runRanks(trainerConfig(changes), 2, () => ({ steps }))
    for (const { exchange, parameters } of ranks) {
      expect(exchange?.arrivedWhenSent.length).toBe(buckets)
      // After the first step, rank 0 tells the order of the gradients.
      expect(exchange?.collectives).toBe(steps * (buckets + sums) + 1)
      // The loss and the wish to stop go with the first bucket.
      const gradientBytes = steps * 4 * (parameters + 2) + 8 * (exchange?.gradients as number)
      if (sums === 0) expect(exchange?.bytes).toBe(gradientBytes)
      else expect((exchange?.bytes as number) - gradientBytes).toBeLessThan(steps * 1024)
    }
  })

  test('sending begins before the backward pass ends', async () => {
    const ranks = await runRanks(trainerConfig(deep), 2, () => ({ steps: 3 }))
    for (const { exchange } of ranks) {
      const { arrivedWhenSent, gradients } = exchange as ExchangeReport
      expect(gradients).toBeGreaterThan(0)
      expect(arrivedWhenSent[0]).toBeLessThan(0.75 * gradients)
      expect(arrivedWhenSent.at(-1)).toBe(gradients)
    }
  })

  test('a stop at any rank ends all after the same step', async () => {
    const config = trainerConfig(shape)
    const ranks = await runRanks(config, 2, (rank) => ({ steps: 2000, ...(rank === 1 ? { stopAfter: 5 } : {}) }))
    const [first, second] = ranks as [RankResult, RankResult]
    expect(first.training.reason).toBe('stopped')
    expect(first.training.steps).toBeLessThan(2000)
    expect(first.training.steps).toBe(second.training.steps)
    expect(first.weights).toEqual(second.weights)
  })

  test('a rank that is gone ends the others with a word', async () => {
    const outcomes = await Promise.allSettled(
      await startRanks(trainerConfig(shape), 2, (rank) => ({ steps: 100_000, ...(rank === 1 ? { dieAfter: 5 } : {}) })),
    )
    expect(outcomes[1]).toMatchObject({ reason: { message: 'rank 1 ended with SIGKILL' } })
    expect(outcomes[0]).toMatchObject({
      reason: { code: 'ERR_RANK', message: expect.stringMatching(/^rank 0 of 2 lost the others: /) },
    })
  })

  test('ranks that do not come are waited for as long as is stated', async () => {
    const config = trainerConfig(shape)
    config.group = {
      ...config.group,
      ranks: 2,
      address: '127.0.0.1',
      port: await freePort(),
      hostsStore: true,
      timeoutSeconds: 2,
    }
    await expect(native().createTrainer(config)).rejects.toMatchObject({
      code: 'ERR_RANK',
      message: expect.stringMatching(/rank 0 of 2 lost the others/),
    })
  })

  test('a loss that selects over the whole batch is refused', async () => {
    const config = trainerConfig(shape)
    config.loss.topKPercent = 10
    const outcomes = await Promise.allSettled(await startRanks(config, 2))
    for (const outcome of outcomes) expect(outcome).toMatchObject({ reason: { code: 'ERR_CONFIG' } })
  })
})
