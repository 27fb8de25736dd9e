// The network, the loss, every gradient and five optimizer steps against nnU-Net's own (test/goldens/make_networks.py).
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import type { FloatTensor } from '../../src/native/binding.js'
import { native } from '../../src/native/load.js'
import { temporaryFolder } from '../io/support.js'
import { readNpz } from '../npz.js'
import { compareTrace } from './compare-trace.js'
import { type NetworkShape, trainerConfig } from './trainer-config.js'

type Golden = NetworkShape & { losses: number[]; gradientNorms: number[]; learningRates: number[] }
type Weights = { network_weights: Record<string, FloatTensor> }
const folder = temporaryFolder()

describe.each(['aniso3d', 'plain2d', 'residual3d', 'dropout2d', 'adam2d', 'adamw2d', 'adan2d', 'batch2d', 'batch3d'])(
  'network %s',
  (name) => {
    const base = new URL(`../goldens/networks/${name}`, import.meta.url).pathname
    const golden = JSON.parse(readFileSync(`${base}.json`, 'utf8')) as Golden

    // With two threads each takes half of the samples of a batch of two, unless batch norm looks at all of them.
    it.each([1, 2])(
      'computes the outputs, loss, gradients and updates that nnU-Net computes, %d threads',
      async (threads) => {
        const arrays = readNpz(`${base}.npz`)
        const steps = golden.losses.length
        const batch = <T>(kind: string) =>
          Array.from(
            { length: steps },
            (_, step) => arrays[`${kind}.${step}`] as unknown as { data: T; shape: number[] },
          )
        const trace = await native().traceSteps({
          config: { ...trainerConfig(golden), threads },
          checkpoint: `${base}.pth`,
          images: batch<Float32Array>('image'),
          labels: batch<Int16Array>('labels'),
          learningRates: golden.learningRates,
        })
        const { network_weights } = (await native().readTorchFile(`${base}.pth`)) as {
          network_weights: Record<string, FloatTensor>
        }
        const { found, differences } = compareTrace(trace, { arrays, startWeights: network_weights, ...golden })
        console.log(`${name}: largest relative deviations ${JSON.stringify(found)}`)
        expect(differences).toEqual([])
        expect(trace.losses.length).toBe(steps)
        expect(trace.outputs.at(-1)).toBeNull()
      },
    )

    it('names its weights in the order in which nnU-Net does, and starts from its distributions', async () => {
      const trainer = await native().createTrainer(trainerConfig(golden))
      const captured = await trainer.captureCheckpoint({ entries: {}, learningRate: 0.01 })
      await trainer.dispose()
      const file = path.join(folder, `${name}.pth`)
      await native().writeCheckpoint(file, captured)
      const ours = (await native().readTorchFile(file)) as Weights
      const theirs = (await native().readTorchFile(`${base}.pth`)) as Weights
      const shapes = ({ network_weights }: Weights) =>
        Object.entries(network_weights).map(([key, { shape }]) => `${key} ${shape}`)
      expect(shapes(ours)).toEqual(shapes(theirs))
      for (const [key, { data, shape }] of Object.entries(ours.network_weights)) {
        if (shape.length === 1) {
          // A residual block begins as its skip.
          const isOne = /norm\.weight$|running_var$/.test(key) && !/conv2\.norm\.weight/.test(key)
          if (/norm|bias/.test(key)) expect(new Set(data), key).toEqual(new Set([isOne ? 1 : 0]))
        } else if (data.length >= 100) {
          // Kaiming normal: the variance times its fan-in is 2 / (1 + 0.01^2); its standard error is sqrt(2 / n).
          const fanIn = data.length / (shape[0] as number)
          const variance = data.reduce((sum, value) => sum + value * value, 0) / data.length
          expect(Math.abs((variance * fanIn * (1 + 1e-4)) / 2 - 1), key).toBeLessThan(5 * Math.sqrt(2 / data.length))
        }
      }
    })
  },
)
