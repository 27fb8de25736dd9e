// The constants of nnU-Net's planners, and the presets of voxgrad: which planner, which plans name, which changes.
import type { NetworkName } from './architecture.js'
import type { Plans } from './plans.js'

/** What depends on the number of dimensions. */
interface DimensionConstants {
  maximumFeatures: number
  /** Feature map elements that fit the reference memory with the reference batch size. */
  referenceSize: number
  referenceBatchSize: number
}

export interface PlannerConstants {
  network: NetworkName
  baseFeatures: number
  /** Convolutions, or residual blocks, of the encoder's stages; the last number holds for all further stages. */
  depths: readonly number[]
  convsPerStageDecoder: number
  dimension2: DimensionConstants
  dimension3: DimensionConstants
  /** A patch shrinks until a batch of this size fits the memory. */
  batchThatFits: 'smallest' | 'reference'
  /** The memory that the reference sizes belong to, and the target unless another one is asked for. */
  referenceGb: number
  smallestBatchSize: number
  /** A batch covers at most this share of the dataset's voxels. */
  largestShareOfDataset: number
  /** A patch below this share of the median image asks for 3d_lowres. */
  lowresThreshold: number
  /** Configurations that use the preprocessed data of the default plans. */
  sharedData: readonly string[]
}

/** The plans whose preprocessed data others share. */
export const defaultPlansName = 'nnUNetPlans'

const plain: PlannerConstants = {
  network: 'PlainConvUNet',
  baseFeatures: 32,
  depths: [2],
  convsPerStageDecoder: 2,
  dimension2: { maximumFeatures: 512, referenceSize: 85_000_000, referenceBatchSize: 12 },
  dimension3: { maximumFeatures: 320, referenceSize: 560_000_000, referenceBatchSize: 2 },
  batchThatFits: 'smallest',
  referenceGb: 8,
  smallestBatchSize: 2,
  largestShareOfDataset: 0.05,
  lowresThreshold: 0.25,
  sharedData: [],
}

const residual = (referenceGb: number, size2d: number, size3d: number): PlannerConstants => ({
  ...plain,
  network: 'ResidualEncoderUNet',
  depths: [1, 3, 4, 6],
  convsPerStageDecoder: 1,
  dimension2: { ...plain.dimension2, referenceSize: size2d },
  dimension3: { ...plain.dimension3, referenceSize: size3d },
  batchThatFits: 'reference',
  referenceGb,
  largestShareOfDataset: 1,
  sharedData: ['2d', '3d_fullres'],
})

/** By nnU-Net's class name. Sources: default_experiment_planner.py, residual_encoder_unet_planners.py. */
export const planners = {
  ExperimentPlanner: plain,
  nnUNetPlannerResEncM: residual(8, 135_000_000, 680_000_000),
  nnUNetPlannerResEncL: residual(24, 380_000_000, 2_100_000_000),
  nnUNetPlannerResEncXL: residual(40, 560_000_000, 3_600_000_000),
} as const satisfies Record<string, PlannerConstants>

export type PlannerName = keyof typeof planners

export interface Preset {
  planner: PlannerName
  /** Name of the plans file without .json, unless another one is asked for. */
  plansName: string
  /** In place of the planner's own. */
  sharedData?: readonly string[]
  /** Applied to what the planner gives. */
  adapt?: (plans: Plans) => Plans
}

export const presets = {
  default: { planner: 'ExperimentPlanner', plansName: defaultPlansName },
  /** For a machine without a GPU: a sixteenth of the arithmetic a voxel, small batches, the default's data. */
  tiny: {
    planner: 'ExperimentPlanner',
    plansName: 'nnUNetPlansTiny',
    sharedData: ['2d', '3d_fullres', '3d_lowres'],
    adapt: shrink,
  },
  'resenc-m': { planner: 'nnUNetPlannerResEncM', plansName: 'nnUNetResEncUNetMPlans' },
  'resenc-l': { planner: 'nnUNetPlannerResEncL', plansName: 'nnUNetResEncUNetLPlans' },
  'resenc-xl': { planner: 'nnUNetPlannerResEncXL', plansName: 'nnUNetResEncUNetXLPlans' },
} as const satisfies Record<string, Preset>

export type PresetName = keyof typeof presets

function shrink(plans: Plans): Plans {
  const result = structuredClone(plans)
  for (const configuration of Object.values(result.configurations)) {
    if (configuration.architecture === undefined) continue
    const network = configuration.architecture.arch_kwargs
    network.features_per_stage = network.features_per_stage.map((features) => features / 4)
    configuration.batch_size = configuration.patch_size?.length === 2 ? 32 : 2
  }
  return result
}
