// Whole runs on a GPU: trained, stopped and resumed as on the CPU. Only `npm run test:gpu` runs them.
import { rmSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { native } from '../../src/native/load.js'
import { resume, train } from '../../src/train/jobs.js'
import { epochsOf } from '../train/run-files.js'
import { makeSmallDataset, type SmallDataset, smallRun } from '../train/small-dataset.js'

const there = process.env.VOXGRAD_TEST_GPU !== undefined
if (!there) console.log('runs on a GPU skipped: `npm run test:gpu` runs them where there is one')

describe.skipIf(!there)('on a GPU', () => {
  let dataset: SmallDataset
  beforeAll(async () => {
    dataset = await makeSmallDataset()
  })
  afterAll(() => rmSync(dataset.root, { recursive: true, force: true }))

  const run = (name: string, changes = {}) =>
    train(smallRun(dataset, { device: 'cuda', deterministic: true, run: path.join(dataset.root, name), ...changes }))
  const weightsOf = async (folder: string) =>
    (await native().readTorchFile(path.join(folder, 'checkpoint_final.pth'))) as { network_weights: unknown }

  test.each(['bfloat16', 'float16', 'float32'] as const)('learns in %s', async (precision) => {
    const { folder } = await run(precision, { precision }).finished
    const losses = epochsOf(folder).map((line) => line.train_loss)
    expect(losses.at(-1)).toBeLessThan(losses[0] as number)
  })

  test('gives the same weights again, and as a run that was stopped and resumed', async () => {
    const whole = await run('whole').finished
    const again = await run('again').finished
    const stopped = run('stopped')
    for await (const event of stopped) if (event.type === 'epoch' && event.epoch === 0) stopped.stop()
    await stopped.finished
    const resumed = await resume({ run: path.join(dataset.root, 'stopped') }).finished
    const expected = (await weightsOf(whole.folder)).network_weights
    expect((await weightsOf(again.folder)).network_weights).toEqual(expected)
    expect((await weightsOf(resumed.folder)).network_weights).toEqual(expected)
  })
})
