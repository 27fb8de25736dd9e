// The network, the loss, every gradient and five optimizer steps against nnU-Net's own (test/goldens/make_networks.py).
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { FloatTensor } from '../../src/native/binding.js'
import { native } from '../../src/native/load.js'
import { readNpz } from '../npz.js'
import { expectSameTrace } from './compare-trace.js'
import { type NetworkShape, trainerConfig } from './trainer-config.js'

type Golden = NetworkShape & { losses: number[]; gradientNorms: number[]; learningRates: number[] }

describe.each(['aniso3d', 'plain2d'])('network %s', (name) => {
  const base = new URL(`../goldens/networks/${name}`, import.meta.url).pathname
  const golden = JSON.parse(readFileSync(`${base}.json`, 'utf8')) as Golden

  it('computes the outputs, loss, gradients and updates that nnU-Net computes', async () => {
    const arrays = readNpz(`${base}.npz`)
    const steps = golden.losses.length
    const batch = <T>(kind: string) =>
      Array.from({ length: steps }, (_, step) => arrays[`${kind}.${step}`] as unknown as { data: T; shape: number[] })
    const trace = await native().traceSteps({
      config: trainerConfig(golden),
      checkpoint: `${base}.pth`,
      images: batch<Float32Array>('image'),
      labels: batch<Int16Array>('labels'),
      learningRates: golden.learningRates,
    })
    const { network_weights } = (await native().readTorchFile(`${base}.pth`)) as {
      network_weights: Record<string, FloatTensor>
    }
    const found = expectSameTrace(trace, { arrays, startWeights: network_weights, steps, ...golden })
    console.log(`${name}: largest relative deviations ${JSON.stringify(found)}`)
    expect(trace.losses.length).toBe(steps)
    expect(trace.outputs.at(-1)).toBeNull()
  })
})
