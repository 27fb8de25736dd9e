// Two ranks over NCCL, on two GPUs, started as a user would: the same training as one GPU makes. Only `npm run test:gpu` runs it.
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { epochsOf } from '../train/run-files.js'
import { makeSmallDataset, type SmallDataset } from '../train/small-dataset.js'

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const reason =
  process.env.VOXGRAD_TEST_GPU === undefined
    ? '`npm run test:gpu` runs them where there are two GPUs'
    : spawnSync('nvidia-smi', ['-L'], { encoding: 'utf8' }).stdout.trim().split('\n').length < 2
      ? 'they need two GPUs, and this machine has one'
      : undefined
if (reason !== undefined) console.log(`two ranks over NCCL skipped: ${reason}`)

describe.skipIf(reason !== undefined)('two ranks over NCCL', () => {
  let dataset: SmallDataset
  beforeAll(async () => {
    dataset = await makeSmallDataset()
  })
  afterAll(() => rmSync(dataset.root, { recursive: true, force: true }))

  test.each([true, false])('train as one GPU does, with cudaGraph=%s', (graph) => {
    const lossesOf = (name: string, ...more: string[]) => {
      const run = path.join(dataset.root, `${name}-${graph}`)
      const args = [
        ...`train 9 3d_fullres 0 --plans nnUNetPlansTiny --device cuda --deterministic --run ${run}`.split(' '),
        ...`--epochs 3 --steps-per-epoch 7 --val-steps 2 --set batchSize=4 --set cudaGraph=${graph}`.split(' '),
        ...Object.entries(dataset.folders).flatMap(([root, folder]) => [`--${root}`, folder]),
        ...more,
      ]
      const { status, stderr } = spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' })
      expect(status, stderr).toBe(0)
      return epochsOf(run).flatMap(({ train_loss, val_loss }) => [train_loss, val_loss])
    }
    const one = lossesOf('one')
    const two = lossesOf('two', '--devices', '2')
    expect(two.length).toBe(one.length)
    // bfloat16 sums in another order, which three epochs of a small network let grow.
    for (const [i, loss] of two.entries()) expect(Math.abs(Number(loss) - Number(one[i]))).toBeLessThan(0.05)
  })
})
