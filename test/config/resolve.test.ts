// The engine's numbers from plans: against nnU-Net's own rules (goldens) and its documented examples.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { augmentationPresets } from '../../src/config/augmentation-presets.js'
import { deepSupervisionWeights, resolveTrainerConfig, type TrainableConfiguration } from '../../src/config/resolve.js'
import { trainOptionsSchema } from '../../src/config/schema.js'
import { parseDatasetJson } from '../../src/dataset/dataset-json.js'
import { makeArchitecture } from '../../src/plan/architecture.js'
import type { Architecture } from '../../src/plan/plans.js'

interface SpatialGolden {
  trainer: string
  patch: number[]
  rotation: number
  dummy2d: boolean
  initial: number[]
  mirror: number[]
}
const goldens = JSON.parse(readFileSync(new URL('../goldens/training_rules.json', import.meta.url), 'utf8')) as {
  spatial: SpatialGolden[]
  deep_supervision: number[][]
  forced_share: number[]
}

test('an optimizer has its numbers, and clipping can be off', () => {
  const optimizer = { kind: 'adamw', betas: [0.8, 0.99], amsgrad: true, clipNorm: 'off' } as const
  expect(resolveTrainerConfig(configuration, dataset, options({ optimizer })).optimizer).toMatchObject({
    kind: 'adamw',
    beta1: 0.8,
    beta2: 0.99,
    adanBetas: [0.02, 0.08, 0.01],
    eps: 1e-8,
    amsgrad: true,
    clipNorm: Number.POSITIVE_INFINITY,
  })
})

test.each(goldens.deep_supervision)('deep-supervision weights of %j', (...golden) => {
  const weights = deepSupervisionWeights(golden.length)
  for (const [i, weight] of golden.entries()) expect(weights[i]).toBeCloseTo(weight, 15)
})

test('two stages have one output of weight 1', () => {
  expect(deepSupervisionWeights(1)).toEqual([1])
})

const architectureOf = (dimensions: number) =>
  makeArchitecture('PlainConvUNet', {
    featuresPerStage: [32, 64, 128],
    kernelSizes: [3, 3, 3].map((k) => Array(dimensions).fill(k)),
    strides: [1, 2, 2].map((s) => Array(dimensions).fill(s)),
    depths: [2, 2, 2],
    convsPerStageDecoder: [2, 2],
  })
const configuration: TrainableConfiguration = {
  batch_size: 7,
  patch_size: [40, 56, 40],
  use_mask_for_norm: [false],
  batch_dice: true,
  architecture: architectureOf(3),
}
const deepArchitecture = makeArchitecture('PlainConvUNet', {
  featuresPerStage: [8, 16, 32, 64, 64],
  kernelSizes: Array.from({ length: 5 }, () => [3, 3, 3]),
  strides: [1, 2, 2, 2, 2].map((s) => [s, s, s]),
  depths: [2, 2, 2, 2, 2],
  convsPerStageDecoder: [2, 2, 2, 2],
})
const dataset = parseDatasetJson(
  { channel_names: { '0': 'MRI' }, labels: { background: 0, a: 1, b: 2 }, numTraining: 5, file_ending: '.nii.gz' },
  'dataset.json',
)
const options = (input = {}) =>
  trainOptionsSchema.parse({ dataset: 4, configuration: '3d_fullres', fold: 0, threads: 3, ...input })

test('a plan becomes the whole configuration of the engine', () => {
  const config = resolveTrainerConfig(configuration, dataset, options())
  expect(config).toMatchObject({
    device: 'cpu',
    threads: 3,
    precision: 'float32',
    batchSize: 7,
    initialPatchSize: [73, 80, 64],
    oversampleForeground: 0.33,
    network: { architecture: 'PlainConvUNet', dimensions: 3, inputChannels: 1, outputChannels: 3, negativeSlope: 0.01 },
    loss: { batchDice: true, smooth: 1e-5, deepSupervisionWeights: [1, 0] },
    optimizer: { kind: 'sgd', momentum: 0.99, nesterov: true, weightDecay: 3e-5, clipNorm: 12 },
    augmentation: { enabled: true, dummy2d: false, mirrorAxes: [0, 1, 2], maskImage: [false] },
  })
})

test('the batch size and deep supervision can be other than the plans have them', () => {
  const deeper = { ...configuration, architecture: deepArchitecture }
  const weights = (input = {}) =>
    resolveTrainerConfig(deeper, dataset, options(input)).loss.deepSupervisionWeights.map((weight) => weight * 7)
  expect(weights()).toEqual([4, 2, 1, 0])
  expect(weights({ loss: { deepSupervision: false } })).toEqual([7, 0, 0, 0])
  expect(resolveTrainerConfig(configuration, dataset, options({ batchSize: 8 })).batchSize).toBe(8)
})

test('label smoothing is of cross-entropy with a softmax, and else refused', () => {
  const resolve = (kind: string, regions = false) =>
    resolveTrainerConfig(
      configuration,
      { ...dataset, hasRegions: regions },
      options({ loss: { kind, labelSmoothing: 0.1 } }),
    ).loss.labelSmoothing
  for (const kind of ['dice_ce', 'dice_topk', 'ce', 'topk']) expect(resolve(kind)).toBe(0.1)
  expect(() => resolve('dice')).toThrow(/^loss.labelSmoothing: expected 0, found 0.1, because loss.kind dice has no/)
  expect(() => resolve('ce', true)).toThrow(/^loss.labelSmoothing: expected 0, found 0.1, because dataset.json has re/)
})

const optionsOfTrainer: Record<string, object> = {
  nnUNetTrainer: {},
  nnUNetTrainerDA5: { preset: 'da5' },
  nnUNetTrainerNoDA: { preset: 'none' },
  nnUNetTrainerNoMirroring: { preset: 'no-mirroring' },
  nnUNetTrainer_onlyMirror01: { preset: 'only-mirror-01' },
  nnUNetTrainer_noDummy2DDA: { dummy2d: false },
}

test.each(goldens.spatial)('rotation, dummy 2D, mirroring and patch to cut of $trainer, $patch', (golden) => {
  const augmentation = optionsOfTrainer[golden.trainer] ?? { preset: 'da5', mirrorAxes: golden.mirror }
  const architecture = architectureOf(golden.patch.length)
  const changed = { ...configuration, patch_size: golden.patch, architecture }
  const config = resolveTrainerConfig(changed, dataset, options({ augmentation }))
  expect(config.augmentation.dummy2d).toBe(golden.dummy2d)
  expect(config.augmentation.mirrorAxes).toEqual(golden.mirror)
  expect(config.augmentation.rotationRange[0]).toBeCloseTo(-golden.rotation, 12)
  expect(config.augmentation.rotationRange[1]).toBeCloseTo(golden.rotation, 12)
  expect(config.initialPatchSize).toEqual(golden.initial)
})

test('mirror axes and dummy 2D that the patch does not have are refused', () => {
  const flat = { ...configuration, patch_size: [40, 56], architecture: architectureOf(2) }
  const resolve = (augmentation: object) => resolveTrainerConfig(flat, dataset, options({ augmentation }))
  expect(() => resolve({ mirrorAxes: [0, 2], dummy2d: true })).toThrow(
    /augmentation.mirrorAxes: expected axes below 2, .* found 0, 2\naugmentation.dummy2d: expected false/,
  )
  expect(() => options({ augmentation: { preset: 'none', mirrorAxes: [1] } })).toThrow(/preset none mirrors nothing/)
  expect(() => options({ augmentation: { mirrorAxes: [1, 1] } })).toThrow(/each axis once/)
})

test('foreground by share, by probability, and by the probability that the share amounts to', () => {
  const resolve = (batchSize: number, foreground: string) =>
    resolveTrainerConfig({ ...configuration, batch_size: batchSize }, dataset, options({ sampling: { foreground } }))
  expect(resolve(2, 'share')).toMatchObject({ foregroundByProbability: false, oversampleForeground: 0.33 })
  expect(resolve(2, 'probability')).toMatchObject({ foregroundByProbability: true, oversampleForeground: 0.33 })
  for (const [i, share] of goldens.forced_share.entries()) {
    const matched = resolve(i + 1, 'matched-probability')
    expect(matched.foregroundByProbability).toBe(true)
    expect(matched.oversampleForeground).toBeCloseTo(share, 12)
  }
})

test('without augmentation nothing more than the patch is cut, and nothing is mirrored', () => {
  const config = resolveTrainerConfig(configuration, dataset, options({ augmentation: { preset: 'none' } }))
  expect(config.initialPatchSize).toEqual(configuration.patch_size)
  expect(config.augmentation).toMatchObject({ enabled: false, mirrorAxes: [] })
})

test('the preset da5 has its own numbers, cuts more, and mirrors', () => {
  const config = resolveTrainerConfig(configuration, dataset, options({ augmentation: { preset: 'da5' } }))
  expect(config.initialPatchSize).toEqual([89, 97, 78])
  const { rotationRange, ...augmentation } = config.augmentation
  expect(augmentation).toEqual({
    ...augmentationPresets.da5,
    enabled: true,
    dummy2d: false,
    mirrorAxes: [0, 1, 2],
    maskImage: [false],
  })
  expect(rotationRange[1]).toBeCloseTo(Math.PI / 6, 12)
})

test.each([
  [
    'default',
    { gammaProbability: 0.3, contrastRange: [0.75, 1.25], blankRectangleProbability: 0, scalingPerAxis: false },
  ],
  ['da5', { gammaProbability: 0, contrastRange: [0.5, 2], blankRectangleProbability: 0.4, scalingPerAxis: true }],
] as const)('numbers that are given win over those of the preset %s', (preset, numbers) => {
  const resolve = (given: object) =>
    resolveTrainerConfig(configuration, dataset, options({ augmentation: { preset, ...given } })).augmentation
  const plain = resolve({})
  expect(plain).toMatchObject(numbers)
  const given = { gammaProbability: 0.7, sharpeningStrength: [0.2, 0.3], scalingPerAxis: undefined }
  expect(resolve(given)).toEqual({ ...plain, gammaProbability: 0.7, sharpeningStrength: [0.2, 0.3] })
  expect(resolve({ rotationDegrees: [-90, 0] }).rotationRange[0]).toBeCloseTo(-Math.PI / 2, 12)
})

test('stored options hold every number, so that they mean the same whatever a preset is later', () => {
  const stored = options({ augmentation: { preset: 'da5', blurSigma: [0.1, 0.2] } })
  expect(stored.augmentation).toEqual({ preset: 'da5', ...augmentationPresets.da5, blurSigma: [0.1, 0.2] })
  expect(trainOptionsSchema.parse(JSON.parse(JSON.stringify(stored)))).toEqual(stored)
})

test('a patch that is too thin for da5 is refused', () => {
  const thin = { ...configuration, patch_size: [5, 40, 40] }
  const resolve = (preset: string) => resolveTrainerConfig(thin, dataset, options({ augmentation: { preset } }))
  expect(() => resolve('da5')).toThrow(/at least 6 voxels along every axis, found 5 .*5, 40, 40/)
  expect(resolve('default').augmentation.dummy2d).toBe(true)
})

describe('networks', () => {
  const resolve = (architecture: object) =>
    resolveTrainerConfig({ ...configuration, architecture: architecture as Architecture }, dataset, options()).network
  const changed = (change: object) => ({
    ...configuration.architecture,
    arch_kwargs: { ...configuration.architecture.arch_kwargs, ...change },
  })

  test('a residual encoder has its blocks', () => {
    const architecture = makeArchitecture('ResidualEncoderUNet', {
      featuresPerStage: [32, 64, 128],
      kernelSizes: [3, 3, 3].map((k) => [k, k, k]),
      strides: [1, 2, 2].map((s) => [s, s, s]),
      depths: [1, 3, 4],
      convsPerStageDecoder: [1, 1],
    })
    expect(resolve(architecture)).toMatchObject({
      architecture: 'ResidualEncoderUNet',
      convsPerStage: [1, 3, 4],
      convsPerStageDecoder: [1, 1],
      hasDropout: false,
    })
  })

  test('dropout has its probability, or that of PyTorch', () => {
    const layers = { dropout_op: 'torch.nn.modules.dropout.Dropout3d' }
    expect(resolve(changed({ ...layers, dropout_op_kwargs: { p: 0.2, inplace: true } }))).toMatchObject({
      hasDropout: true,
      dropoutProbability: 0.2,
    })
    expect(resolve(changed({ ...layers, dropout_op_kwargs: {} })).dropoutProbability).toBe(0.5)
  })

  test('batch norm is what the plans name, or what is put in place of their norm', () => {
    const named = { norm_op: 'torch.nn.modules.batchnorm.BatchNorm3d', norm_op_kwargs: { eps: 1e-3, affine: true } }
    expect(resolve(changed({}))).toMatchObject({ batchNorm: false })
    expect(resolve(changed(named))).toMatchObject({ batchNorm: true, normEps: 1e-3 })
    const replaced = { ...configuration, architecture: changed({ norm_op_kwargs: { eps: 1e-3, affine: true } }) }
    const { network } = resolveTrainerConfig(replaced, dataset, options({ network: { normalization: 'batch' } }))
    expect(network).toMatchObject({ batchNorm: true, normEps: 1e-5 })
    const faulty = changed({ ...named, norm_op_kwargs: { affine: true, momentum: 0.2, track_running_stats: false } })
    expect(() => resolve(faulty)).toThrow(/momentum: expected 0.1, found 0.2\n.*track_running_stats: expected true/)
  })

  test('what the engine does not have is refused, every fault at once', () => {
    const architecture = changed({
      norm_op: 'torch.nn.GroupNorm',
      nonlin: 'torch.nn.GELU',
      dropout_op: 'torch.nn.AlphaDropout',
      stem_channels: 16,
      bottleneck_channels: null,
    })
    architecture.network_class_name = 'networks.Swin'
    expect(() => resolve(architecture)).toThrow(
      new RegExp(
        [
          'network_class_name: expected PlainConvUNet or ResidualEncoderUNet, found networks.Swin',
          'arch_kwargs.stem_channels: not supported',
          'arch_kwargs.norm_op: expected torch.nn.InstanceNorm3d or torch.nn.BatchNorm3d, found torch.nn.GroupNorm',
          'arch_kwargs.nonlin: expected torch.nn.LeakyReLU, found torch.nn.GELU',
          'arch_kwargs.dropout_op: expected null or torch.nn.Dropout3d, found torch.nn.AlphaDropout\\nChoose other plans',
        ].join('\n.*'),
      ),
    )
    expect(() => resolve(changed({ norm_op_kwargs: { eps: 1e-5 } }))).toThrow(/affine: expected true, found undefined/)
  })
})
