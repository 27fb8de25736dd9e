// The "architecture" entry of a plan: made by the planner, and rebuilt for plans written before it existed.
import { VoxgradError } from '../errors.js'
import type { JsonObject } from '../json.js'
import type { Architecture } from './plans.js'

/** What the topology of a patch decides; one entry a stage, kernels and strides per axis. */
export interface Stages {
  featuresPerStage: number[]
  kernelSizes: number[][]
  strides: number[][]
  /** Convolutions, or residual blocks, of the encoder. */
  depths: number[]
  convsPerStageDecoder: number[]
}

const networks = {
  PlainConvUNet: {
    className: 'dynamic_network_architectures.architectures.unet.PlainConvUNet',
    stageKey: 'n_conv_per_stage',
  },
  ResidualEncoderUNet: {
    className: 'dynamic_network_architectures.architectures.unet.ResidualEncoderUNet',
    stageKey: 'n_blocks_per_stage',
  },
} as const

export type NetworkName = keyof typeof networks
export const networkNames = Object.keys(networks) as NetworkName[]

/** The network that a class's name with or without its package means; undefined for any other. */
export const networkName = (className: string): NetworkName | undefined =>
  networkNames.find((name) => name === className.slice(className.lastIndexOf('.') + 1))

/** nnU-Net's architecture entry in its key order; the number of dimensions is that of the strides. */
export function makeArchitecture(network: NetworkName, stages: Stages): Architecture {
  const dimensions = stages.strides[0]?.length
  return {
    network_class_name: networks[network].className,
    arch_kwargs: {
      n_stages: stages.strides.length,
      features_per_stage: stages.featuresPerStage,
      conv_op: `torch.nn.modules.conv.Conv${dimensions}d`,
      kernel_sizes: stages.kernelSizes,
      strides: stages.strides,
      [networks[network].stageKey]: stages.depths,
      n_conv_per_stage_decoder: stages.convsPerStageDecoder,
      conv_bias: true,
      norm_op: `torch.nn.modules.instancenorm.InstanceNorm${dimensions}d`,
      norm_op_kwargs: { eps: 1e-5, affine: true },
      dropout_op: null,
      dropout_op_kwargs: null,
      nonlin: 'torch.nn.LeakyReLU',
      nonlin_kwargs: { inplace: true },
    },
    _kw_requires_import: ['conv_op', 'norm_op', 'dropout_op', 'nonlin'],
  }
}

const oldKeys = [
  'UNet_base_num_features',
  'unet_max_num_features',
  'n_conv_per_stage_encoder',
  'n_conv_per_stage_decoder',
  'conv_kernel_sizes',
  'pool_op_kernel_sizes',
]

/**
 * The architecture of a configuration written before plans had that entry (2024).
 * Source: nnU-Net plans_handler.py, ConfigurationManager.
 * @param origin plans and configuration, for the message
 * @throws VoxgradError ERR_FORMAT if it has neither form
 */
export function architectureOfOldPlans(entry: JsonObject, origin: string): Architecture {
  const missing = oldKeys.filter((key) => entry[key] === undefined)
  const network = networkNames.find((name) => name === entry.UNet_class_name)
  if (missing.length > 0 || network === undefined) {
    throw new VoxgradError('ERR_PLANS', {
      where: origin,
      required: `"architecture", or the keys of older plans that describe one (UNet_class_name ${networkNames.join(' or ')}, ${oldKeys.join(', ')})`,
      found: 'neither',
      remedy: 'Plan the dataset again with `voxgrad plan`.',
    })
  }
  const depths = entry.n_conv_per_stage_encoder as number[]
  const features = (stage: number) =>
    Math.min((entry.UNet_base_num_features as number) * 2 ** stage, entry.unet_max_num_features as number)
  return makeArchitecture(network, {
    featuresPerStage: depths.map((_, stage) => features(stage)),
    kernelSizes: entry.conv_kernel_sizes as number[][],
    strides: entry.pool_op_kernel_sizes as number[][],
    depths,
    convsPerStageDecoder: entry.n_conv_per_stage_decoder as number[],
  })
}
