// Regions and an ignore label from the raw dataset to summary.json and predictions.
import { readdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readSegmentation } from '../../src/dataset/image.js'
import type { RunEvent, RunResult } from '../../src/train/events.js'
import { predict, train } from '../../src/train/jobs.js'
import { readText } from './run-files.js'
import { makeSmallDataset, regionsWithIgnore, type SmallDataset, smallRun } from './small-dataset.js'

describe('a run on regions with an ignore label', { timeout: 300_000 }, () => {
  let dataset: SmallDataset
  let result: RunResult
  const events: RunEvent[] = []

  beforeAll(async () => {
    dataset = await makeSmallDataset(regionsWithIgnore)
    const run = train(smallRun(dataset, { budget: { epochs: 2, stepsPerEpoch: 50, valSteps: 4 } }))
    for await (const event of run) events.push(event)
    result = await run.finished
  }, 300_000)
  afterAll(() => rmSync(dataset.root, { recursive: true, force: true }))

  test('names the regions and counts a pseudo-Dice for each', () => {
    const started = events.find((event) => event.type === 'run_started')
    expect(started?.labels).toEqual([
      { name: 'whole', value: [1, 2] },
      { name: 'back', value: 2 },
    ])
    const epochs = events.filter((event) => event.type === 'epoch')
    for (const { dice_per_class } of epochs) expect(dice_per_class).toHaveLength(2)
    expect(epochs.at(-1)?.mean_fg_dice ?? 0).toBeGreaterThan(0.5)
  })

  test("writes nnU-Net's summary: keys of regions, ignored voxels left out", async () => {
    const summary = JSON.parse(readText(result.folder, 'validation/summary.json')) as {
      foreground_mean: { Dice: number }
      metric_per_case: {
        prediction_file: string
        reference_file: string
        metrics: Record<string, Record<'TP' | 'FP' | 'FN' | 'TN' | 'n_ref', number>>
      }[]
    }
    expect(summary.foreground_mean.Dice).toBe(result.validations[0]?.meanForegroundDice)
    for (const { metrics, reference_file, prediction_file } of summary.metric_per_case) {
      expect(Object.keys(metrics).sort()).toEqual(['(1, 2)', '2'])
      const reference = (await readSegmentation(reference_file)).labels
      const prediction = (await readSegmentation(prediction_file)).labels
      const annotated = reference.filter((label) => label !== 3)
      expect(annotated.length).toBeLessThan(reference.length / 2)
      const { TP, FP, FN, TN, n_ref } = metrics['(1, 2)'] as Record<'TP' | 'FP' | 'FN' | 'TN' | 'n_ref', number>
      expect(TP + FP + FN + TN).toBe(annotated.length)
      expect(n_ref).toBe(annotated.filter((label) => label > 0).length)
      expect([...prediction].every((label) => label <= 2)).toBe(true)
      expect([...prediction].some((label) => label === 2)).toBe(true)
    }
  })

  test('predicts labels, in which later regions paint over earlier ones', async () => {
    const output = path.join(dataset.root, 'predicted')
    await predict({ input: dataset.images, output, run: result.folder, threads: 1 }).finished
    for (const file of readdirSync(output).filter((name) => name.endsWith('.nii.gz'))) {
      const { labels } = await readSegmentation(path.join(output, file))
      expect(new Set(labels)).toEqual(new Set([0, 1, 2]))
    }
  })

  test('refuses losses that regions do not have, before it begins', async () => {
    const run = path.join(dataset.root, 'topk')
    await expect(train(smallRun(dataset, { run, loss: { kind: 'topk' } })).finished).rejects.toMatchObject({
      code: 'ERR_CONFIG',
      message: expect.stringMatching(/loss\.kind: expected dice_ce, ce or dice .*found topk/) as string,
    })
  })
})

describe('losses in place of the default one', { timeout: 300_000 }, () => {
  let dataset: SmallDataset
  beforeAll(async () => {
    dataset = await makeSmallDataset()
  })
  afterAll(() => rmSync(dataset.root, { recursive: true, force: true }))

  test.each(['dice_topk', 'ce', 'topk', 'dice'] as const)('%s trains', async (kind) => {
    const losses: (number | null)[] = []
    const run = path.join(dataset.root, kind)
    const budget = { epochs: 3, stepsPerEpoch: 12, valSteps: 1 }
    for await (const event of train(smallRun(dataset, { run, loss: { kind }, budget, validateAtEnd: false }))) {
      if (event.type === 'epoch') losses.push(event.train_loss)
    }
    expect(losses.at(-1) as number).toBeLessThan((losses[0] as number) - 0.05)
  })
})
