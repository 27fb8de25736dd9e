// A complete TrainerConfig for tests of the engine, and the networks that goldens describe.
import {
  aloneInGroup,
  type LabelsConfig,
  type NetworkConfig,
  type OptimizerConfig,
  type TrainerConfig,
} from '../../src/native/binding.js'
import { defaultConfig } from '../augment/default-config.js'

/** What differs between the networks of a test; all else is nnU-Net's default. */
export interface NetworkShape {
  architecture?: NetworkConfig['architecture']
  featuresPerStage: number[]
  kernelSizes: number[][]
  strides: number[][]
  convsPerStage?: number[]
  convsPerStageDecoder?: number[]
  dropout?: number
  batchNorm?: boolean
  inputChannels: number
  outputChannels: number
  patchSize: number[]
  batchSize: number
  batchDice: boolean
  deepSupervisionWeights: number[]
  /** In place of a softmax over labels 0, 1, 2, ... without an ignore label. */
  labels?: Partial<LabelsConfig>
  /** Of the input channels: a cascade's one-hot labels. */
  previousStageLabels?: number
  optimizer?: Partial<OptimizerConfig>
}

const defaultOptimizer: OptimizerConfig = {
  kind: 'sgd',
  momentum: 0.99,
  nesterov: true,
  beta1: 0.9,
  beta2: 0.999,
  adanBetas: [0.02, 0.08, 0.01],
  eps: 1e-8,
  amsgrad: false,
  weightDecay: 3e-5,
  clipNorm: 12,
}

export function trainerConfig(shape: NetworkShape): TrainerConfig {
  const stages = shape.featuresPerStage.length
  return {
    device: 'cpu',
    threads: 1,
    deterministic: false,
    cudaGraph: true,
    precision: 'float32',
    seed: '1',
    batchSize: shape.batchSize,
    patchSize: shape.patchSize,
    initialPatchSize: shape.patchSize.map((extent) => Math.ceil(extent * 1.5)),
    oversampleForeground: 0.33,
    foregroundByProbability: false,
    previousStageLabels: shape.previousStageLabels ?? 0,
    network: {
      architecture: shape.architecture ?? 'PlainConvUNet',
      dimensions: shape.patchSize.length,
      inputChannels: shape.inputChannels,
      outputChannels: shape.outputChannels,
      featuresPerStage: shape.featuresPerStage,
      kernelSizes: shape.kernelSizes,
      strides: shape.strides,
      convsPerStage: shape.convsPerStage ?? Array(stages).fill(2),
      convsPerStageDecoder: shape.convsPerStageDecoder ?? Array(stages - 1).fill(2),
      convBias: true,
      hasDropout: shape.dropout !== undefined,
      dropoutProbability: shape.dropout ?? 0,
      batchNorm: shape.batchNorm ?? false,
      normEps: 1e-5,
      negativeSlope: 0.01,
    },
    labels: {
      outputs: Array.from({ length: shape.outputChannels }, (_, label) => [label]),
      overlapping: false,
      ignoreLabel: -1,
      ...shape.labels,
    },
    loss: {
      diceWeight: 1,
      crossEntropyWeight: 1,
      topKPercent: 100,
      labelSmoothing: 0,
      annotatedMean: false,
      batchDice: shape.batchDice,
      smooth: 1e-5,
      deepSupervisionWeights: shape.deepSupervisionWeights,
    },
    optimizer: { ...defaultOptimizer, ...shape.optimizer },
    augmentation: {
      ...defaultConfig,
      mirrorAxes: shape.patchSize.map((_, axis) => axis),
      maskImage: Array(shape.inputChannels - (shape.previousStageLabels ?? 0)).fill(false),
    },
    group: aloneInGroup,
  }
}
