// Networks against the goldens of the peer kit's make_network_goldens.py: VOXGRAD_PEER_DATA/networks.
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import type { FloatTensor } from '../../src/native/binding.js'
import { native } from '../../src/native/load.js'
import { expectSameTrace } from '../engine/compare-trace.js'
import { trainerConfig } from '../engine/trainer-config.js'
import { readNpz } from '../npz.js'

const folder = path.join(process.env.VOXGRAD_PEER_DATA ?? '', 'networks')
const available = process.env.VOXGRAD_PEER_DATA !== undefined && existsSync(folder)
const networks = ['plain3d_iso', 'plain3d_aniso', 'plain2d', 'plain3d_multichannel']
if (!available) console.log('skipped: VOXGRAD_PEER_DATA names no folder with networks/ made by the peer kit')

interface Golden {
  architecture: {
    arch_kwargs: {
      features_per_stage: number[]
      kernel_sizes: number[][]
      strides: number[][]
      n_conv_per_stage: number[]
      n_conv_per_stage_decoder: number[]
    }
  }
  input_channels: number
  heads: number
  batch_dice: boolean
  patch_size: number[]
  batch_size: number
  deep_supervision_weights: number[]
  loss: number
  steps: { losses: number[]; gradient_norms_before_clipping: number[]; learning_rates: number[] }
}

describe.skipIf(!available)('parity with nnU-Net: networks', () => {
  it.each(networks)('%s', async (name) => {
    const golden = JSON.parse(readFileSync(path.join(folder, `${name}.json`), 'utf8')) as Golden
    const arrays = readNpz(path.join(folder, `${name}.npz`))
    const checkpoint = path.join(folder, `${name}.pth`)
    const kwargs = golden.architecture.arch_kwargs
    const steps = golden.steps.losses.length
    const trace = await native().traceSteps({
      config: trainerConfig({
        featuresPerStage: kwargs.features_per_stage,
        kernelSizes: kwargs.kernel_sizes,
        strides: kwargs.strides,
        convsPerStage: kwargs.n_conv_per_stage,
        convsPerStageDecoder: kwargs.n_conv_per_stage_decoder,
        inputChannels: golden.input_channels,
        outputChannels: golden.heads,
        patchSize: golden.patch_size,
        batchSize: golden.batch_size,
        batchDice: golden.batch_dice,
        deepSupervisionWeights: golden.deep_supervision_weights,
      }),
      checkpoint,
      images: Array.from({ length: steps }, (_, i) => arrays[`step_input.${i}`] as unknown as FloatTensor),
      labels: Array.from({ length: steps }, (_, i) => {
        const { data, shape } = arrays[`step_seg.${i}`] as unknown as { data: Int16Array; shape: number[] }
        return { data, shape: shape.toSpliced(1, 1) }
      }),
      learningRates: golden.steps.learning_rates,
    })
    const { network_weights } = (await native().readTorchFile(checkpoint)) as {
      network_weights: Record<string, FloatTensor>
    }
    const found = expectSameTrace(trace, {
      arrays,
      startWeights: network_weights,
      steps,
      losses: golden.steps.losses,
      gradientNorms: golden.steps.gradient_norms_before_clipping,
    })
    console.log(`${name}: ${JSON.stringify(found)}`)
    expect(Math.abs((trace.losses[0] ?? Number.NaN) - golden.loss)).toBeLessThan(1e-5)
  })
})
