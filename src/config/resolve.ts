// From a configuration of the plans and the options to the engine's final numbers. Pure: no file, no clock.
import { availableParallelism } from 'node:os'
import type { DatasetJson } from '../dataset/dataset-json.js'
import { VoxgradError } from '../errors.js'
import {
  type AugmentationConfig,
  aloneInGroup,
  type LabelsConfig,
  type LossConfig,
  type NetworkConfig,
  type TrainerConfig,
} from '../native/binding.js'
import { type NetworkName, networkName, networkNames } from '../plan/architecture.js'
import { roundHalfToEven } from '../plan/numpy.js'
import type { Architecture, ArchitectureArguments, Configuration } from '../plan/plans.js'
import { mirrorAxesOf, smallestDa5Extent, smallestZoom } from './augmentation-presets.js'
import { type TrainOptions, trainOptionsSchema } from './schema.js'

/** The part of a plans configuration that training depends on. */
export type TrainableConfiguration = Pick<
  Configuration,
  'batch_size' | 'patch_size' | 'use_mask_for_norm' | 'batch_dice' | 'architecture' | 'previous_stage'
>

/** What the dataset says about channels and labels. */
export type TrainableDataset = Pick<
  DatasetJson,
  'channels' | 'foregroundLabels' | 'targets' | 'hasRegions' | 'ignoreLabel'
>

const degrees = Math.PI / 180

export interface SpatialRules {
  /** Augment slices of the first axis as if they were 2D images. */
  dummy2d: boolean
  /** Radians. */
  rotationRange: [number, number]
}

/**
 * Rotation range and dummy 2D augmentation that follow from a patch's shape
 * (nnUNetTrainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size).
 * @param patchSize (z, y, x), or (y, x) for a 2D configuration
 * @param given dummy 2D or not, in place of what the shape says (nnUNetTrainer_noDummy2DDA)
 */
export function spatialRules(patchSize: readonly number[], given?: boolean): SpatialRules {
  const largest = Math.max(...patchSize)
  const dummy2d = given ?? (patchSize.length === 3 && largest / (patchSize[0] as number) > 3)
  let limit = 30
  if (patchSize.length === 2) limit = largest / Math.min(...patchSize) > 1.5 ? 15 : 180
  else if (dummy2d) limit = 180
  return { dummy2d, rotationRange: [-limit * degrees, limit * degrees] }
}

/**
 * Extents to cut from a case so that a rotated patch is covered (batchgenerators' get_patch_size).
 * In 2D the second axis grows only as nnU-Net's formula lets it, which is not symmetric.
 * @param patchSize (z, y, x) or (y, x)
 * @param rotationRange radians
 * @param zoom the smallest one, 0.85 or with da5 0.7
 */
export function initialPatchSize(
  patchSize: readonly number[],
  rotationRange: readonly [number, number],
  dummy2d: boolean,
  zoom: number,
): number[] {
  const angle = Math.min(Math.PI / 2, Math.max(Math.abs(rotationRange[0]), Math.abs(rotationRange[1])))
  const cos = Math.cos(angle)
  const sin = Math.sin(angle)
  const [a, b, c] = patchSize as [number, number, number]
  const covered =
    patchSize.length === 2
      ? [Math.max(a, a * cos + b * sin), Math.max(b, Math.abs(b * cos - a * sin))]
      : [
          Math.max(a, Math.abs(a * cos - c * sin), a * cos + b * sin),
          Math.max(b, b * cos + c * sin, Math.abs(b * cos - a * sin)),
          Math.max(c, Math.abs(c * cos - b * sin), a * sin + c * cos),
        ]
  const extents = covered.map((extent) => Math.trunc(extent / zoom))
  if (dummy2d) extents[0] = a
  return extents
}

/**
 * Weight of each deep-supervision output, full resolution first: 1, 1/2, 1/4, ... with the lowest resolution at 0,
 * divided by the sum (nnUNetTrainer._build_loss). With two stages there is one output of weight 1, where nnU-Net divides 0 by 0.
 * @param isDeep false gives all weight to the full resolution (nnUNetTrainerNoDeepSupervision)
 */
export function deepSupervisionWeights(outputs: number, isDeep = true): number[] {
  if (outputs === 1 || !isDeep) return Array.from({ length: outputs }, (_, i) => (i === 0 ? 1 : 0))
  const weights = Array.from({ length: outputs }, (_, i) => (i === outputs - 1 ? 0 : 2 ** -i))
  const sum = weights.reduce((total, weight) => total + weight, 0)
  return weights.map((weight) => weight / sum)
}

/**
 * The engine's configuration for one run.
 * @throws VoxgradError ERR_CONFIG where the plans ask for what the engine does not have
 */
export function resolveTrainerConfig(
  configuration: TrainableConfiguration,
  dataset: TrainableDataset,
  options: Pick<
    TrainOptions,
    | 'device'
    | 'precision'
    | 'threads'
    | 'watchdog'
    | 'seed'
    | 'deterministic'
    | 'cudaGraph'
    | 'optimizer'
    | 'batchSize'
    | 'oversampleForeground'
    | 'sampling'
    | 'augmentation'
    | 'network'
    | 'loss'
  >,
): TrainerConfig {
  const patchSize = configuration.patch_size
  const augmentation = resolveAugmentation(configuration, options.augmentation)
  // A cascade sees the previous stage's labels, one channel each, also where the network learns regions.
  const previousStageLabels = configuration.previous_stage === undefined ? 0 : dataset.foregroundLabels.length
  const network = resolveNetwork(configuration.architecture, patchSize.length, options.network.normalization, {
    inputs: dataset.channels.length + previousStageLabels,
    outputs: resolveLabels(dataset).outputs.length,
  })
  const { kind, momentum, nesterov, betas, adanBetas, eps, amsgrad, weightDecay, clipNorm } = options.optimizer
  return {
    device: options.device,
    threads: options.threads ?? ownProcessors(),
    deterministic: options.deterministic,
    cudaGraph: options.cudaGraph,
    precision: options.precision === 'auto' ? (options.device === 'cpu' ? 'float32' : 'bfloat16') : options.precision,
    seed: options.seed,
    batchSize: options.batchSize ?? configuration.batch_size,
    patchSize,
    initialPatchSize: augmentation.enabled
      ? initialPatchSize(
          patchSize,
          augmentation.rotationRange,
          augmentation.dummy2d,
          smallestZoom(options.augmentation.preset),
        )
      : patchSize,
    oversampleForeground:
      options.sampling.foreground === 'matched-probability'
        ? forcedShare(options.batchSize ?? configuration.batch_size, options.oversampleForeground)
        : options.oversampleForeground,
    foregroundByProbability: options.sampling.foreground !== 'share',
    previousStageLabels,
    network,
    labels: resolveLabels(dataset),
    loss: resolveLoss(configuration, dataset, options.loss, network.strides.length - 1),
    optimizer: {
      kind,
      momentum,
      nesterov,
      beta1: betas[0],
      beta2: betas[1],
      adanBetas,
      eps,
      amsgrad,
      weightDecay,
      clipNorm: clipNorm ?? Number.POSITIVE_INFINITY,
    },
    augmentation,
    group: { ...aloneInGroup, timeoutSeconds: options.watchdog.rankSeconds },
  }
}

/** The processors of this process, where a launcher has started several on this machine (torchrun's LOCAL_WORLD_SIZE). */
const ownProcessors = (): number =>
  Math.max(1, Math.floor(availableParallelism() / (Number(process.env.LOCAL_WORLD_SIZE) || 1)))

/** What the network's outputs stand for: every region, or every label with the background. */
export function resolveLabels({
  hasRegions,
  targets,
  ignoreLabel,
}: Pick<TrainableDataset, 'hasRegions' | 'targets' | 'ignoreLabel'>): LabelsConfig {
  return {
    outputs: [...(hasRegions ? [] : [[0]]), ...targets.map(({ labels }) => labels)],
    overlapping: hasRegions,
    ignoreLabel: ignoreLabel ?? -1,
  }
}

function resolveLoss(
  { batch_dice: batchDice }: TrainableConfiguration,
  { hasRegions }: TrainableDataset,
  { kind, weights, topKPercent, labelSmoothing, smooth, deepSupervision, ignoredMean }: TrainOptions['loss'],
  outputs: number,
): LossConfig {
  const isTopK = kind === 'topk' || kind === 'dice_topk'
  if (isTopK && hasRegions) {
    throw new VoxgradError('ERR_CONFIG', {
      where: 'loss.kind',
      required: 'dice_ce, ce or dice (dataset.json has regions, which overlap)',
      found: kind,
    })
  }
  if (labelSmoothing > 0 && (hasRegions || kind === 'dice')) {
    const reason = hasRegions
      ? 'dataset.json has regions, whose binary cross-entropy knows no smoothing'
      : 'loss.kind dice has no cross-entropy'
    throw new VoxgradError('ERR_CONFIG', {
      where: 'loss.labelSmoothing',
      required: '0',
      found: `${labelSmoothing}, because ${reason}`,
    })
  }
  return {
    diceWeight: kind.startsWith('dice') ? weights.dice : 0,
    crossEntropyWeight: kind === 'dice' ? 0 : weights.crossEntropy,
    topKPercent: isTopK ? topKPercent : 100,
    labelSmoothing,
    annotatedMean: ignoredMean === 'annotated',
    batchDice,
    smooth,
    deepSupervisionWeights: deepSupervisionWeights(outputs, deepSupervision),
  }
}

/** The share of a batch that nnU-Net really forces to show foreground: 1/2 of 2 samples, 1/3 of 3. */
function forcedShare(batchSize: number, share: number): number {
  return 1 - roundHalfToEven(batchSize * (1 - share)) / batchSize
}

/**
 * The augmentation's numbers for one patch.
 * @throws VoxgradError ERR_CONFIG where they do not fit the patch
 */
export function resolveAugmentation(
  configuration: Pick<TrainableConfiguration, 'patch_size' | 'use_mask_for_norm'>,
  options: TrainOptions['augmentation'],
): AugmentationConfig {
  const patchSize = configuration.patch_size
  const { preset, mirrorAxes, dummy2d, rotationDegrees, ...numbers } = options
  const rules = spatialRules(patchSize, dummy2d)
  const axes = mirrorAxes ?? mirrorAxesOf(preset, patchSize.length)
  const least = Math.min(...patchSize)
  const faults = [
    Math.max(-1, ...axes) >= patchSize.length &&
      `mirrorAxes: expected axes below ${patchSize.length}, as the patch has them, found ${axes.join(', ')}`,
    rules.dummy2d && patchSize.length === 2 && 'dummy2d: expected false, because the configuration is 2D',
    preset === 'da5' &&
      least < smallestDa5Extent &&
      `preset da5: expected a patch of at least ${smallestDa5Extent} voxels along every axis, found ` +
        `${least} (patch_size of the plans: ${patchSize.join(', ')}). Choose the preset default.`,
  ].filter((fault) => fault !== false)
  if (faults.length > 0) throw new VoxgradError('ERR_CONFIG', faults.map((fault) => `augmentation.${fault}`).join('\n'))
  return {
    ...numbers,
    enabled: preset !== 'none',
    dummy2d: rules.dummy2d,
    rotationRange: rotationDegrees ? [rotationDegrees[0] * degrees, rotationDegrees[1] * degrees] : rules.rotationRange,
    mirrorAxes: axes,
    maskImage: configuration.use_mask_for_norm,
  }
}

/** What the engine takes from arch_kwargs; nnU-Net's networks have more, for which its planners know no use. */
const knownArguments = [
  'n_stages',
  'features_per_stage',
  'conv_op',
  'kernel_sizes',
  'strides',
  'n_conv_per_stage',
  'n_blocks_per_stage',
  'n_conv_per_stage_decoder',
  'conv_bias',
  'norm_op',
  'norm_op_kwargs',
  'dropout_op',
  'dropout_op_kwargs',
  'nonlin',
  'nonlin_kwargs',
]

const isBatchNorm = (plan: ArchitectureArguments) => /\.BatchNorm[23]d$/.test(plan.norm_op ?? '')

/** What the engine does not have, one text each. */
function networkFaults(
  { network_class_name: className, arch_kwargs: plan }: Architecture,
  dimensions: number,
): string[] {
  const norms = [`InstanceNorm${dimensions}d`, `BatchNorm${dimensions}d`]
  const isKnownNorm = norms.some((norm) => plan.norm_op?.endsWith(`.${norm}`))
  const { affine, momentum = 0.1, track_running_stats: isTracked = true } = plan.norm_op_kwargs ?? {}
  const dropout = `.Dropout${dimensions}d`
  return [
    networkName(className) === undefined &&
      `network_class_name: expected ${networkNames.join(' or ')}, found ${className}`,
    ...Object.entries(plan).map(
      ([key, value]) => !knownArguments.includes(key) && value !== null && `arch_kwargs.${key}: not supported`,
    ),
    !isKnownNorm && `arch_kwargs.norm_op: expected torch.nn.${norms.join(' or torch.nn.')}, found ${plan.norm_op}`,
    isKnownNorm && affine !== true && `arch_kwargs.norm_op_kwargs.affine: expected true, found ${affine}`,
    isBatchNorm(plan) && momentum !== 0.1 && `arch_kwargs.norm_op_kwargs.momentum: expected 0.1, found ${momentum}`,
    isBatchNorm(plan) && !isTracked && 'arch_kwargs.norm_op_kwargs.track_running_stats: expected true, found false',
    !plan.nonlin?.endsWith('.LeakyReLU') && `arch_kwargs.nonlin: expected torch.nn.LeakyReLU, found ${plan.nonlin}`,
    plan.dropout_op != null &&
      !plan.dropout_op.endsWith(dropout) &&
      `arch_kwargs.dropout_op: expected null or torch.nn${dropout}, found ${plan.dropout_op}`,
  ].filter((fault) => fault !== false)
}

function resolveNetwork(
  architecture: Architecture,
  dimensions: number,
  normalization: TrainOptions['network']['normalization'],
  channels: { inputs: number; outputs: number },
): NetworkConfig {
  const faults = networkFaults(architecture, dimensions)
  if (faults.length > 0) {
    throw new VoxgradError('ERR_PLANS', {
      found: `The plans ask for a network that voxgrad does not train:\n${faults.map((fault) => `  architecture.${fault}`).join('\n')}`,
      remedy: 'Choose other plans, or make them with `voxgrad plan`.',
    })
  }
  const plan = architecture.arch_kwargs
  // Plans written by hand may give one number for all stages, or for all axes.
  const repeat = (value: number | number[], times: number) =>
    Array.isArray(value) ? value : new Array<number>(times).fill(value)
  return {
    architecture: networkName(architecture.network_class_name) as NetworkName,
    dimensions,
    inputChannels: channels.inputs,
    outputChannels: channels.outputs,
    featuresPerStage: plan.features_per_stage,
    kernelSizes: plan.kernel_sizes.map((size) => repeat(size, dimensions)),
    strides: plan.strides.map((stride) => repeat(stride, dimensions)),
    convsPerStage: repeat(plan.n_conv_per_stage ?? plan.n_blocks_per_stage ?? 2, plan.n_stages),
    convsPerStageDecoder: repeat(plan.n_conv_per_stage_decoder, plan.n_stages - 1),
    convBias: plan.conv_bias,
    hasDropout: plan.dropout_op != null,
    dropoutProbability: plan.dropout_op == null ? 0 : ((plan.dropout_op_kwargs?.p as number | undefined) ?? 0.5),
    batchNorm: normalization === 'batch' || isBatchNorm(plan),
    // nnUNetTrainerBN replaces the plans' arguments too.
    normEps: normalization === 'batch' ? 1e-5 : (plan.norm_op_kwargs.eps ?? 1e-5),
    negativeSlope: (plan.nonlin_kwargs?.negative_slope as number | undefined) ?? 0.01,
  }
}

/** The engine's configuration where only weights are needed. */
export function inferenceConfig(
  configuration: TrainableConfiguration,
  dataset: TrainableDataset,
  { device, threads, network }: Pick<TrainOptions, 'device' | 'threads' | 'network'>,
): TrainerConfig {
  const defaults = trainOptionsSchema.parse({ dataset: '0', configuration: 'any', fold: 0, device, threads, network })
  return resolveTrainerConfig(configuration, dataset, defaults)
}
