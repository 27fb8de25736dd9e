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
  convsPerStage: number
  convsPerStageDecoder: number
  dimension2: DimensionConstants
  dimension3: DimensionConstants
  referenceGb: number
  targetGb: number
  smallestBatchSize: number
  /** A batch covers at most this share of the dataset's voxels. */
  largestShareOfDataset: number
  /** A patch below this share of the median image asks for 3d_lowres. */
  lowresThreshold: number
}

/** By nnU-Net's class name. Source: default_experiment_planner.py. */
export const planners = {
  ExperimentPlanner: {
    network: 'PlainConvUNet',
    baseFeatures: 32,
    convsPerStage: 2,
    convsPerStageDecoder: 2,
    dimension2: { maximumFeatures: 512, referenceSize: 85_000_000, referenceBatchSize: 12 },
    dimension3: { maximumFeatures: 320, referenceSize: 560_000_000, referenceBatchSize: 2 },
    referenceGb: 8,
    targetGb: 8,
    smallestBatchSize: 2,
    largestShareOfDataset: 0.05,
    lowresThreshold: 0.25,
  },
} as const satisfies Record<string, PlannerConstants>

export interface Preset {
  planner: keyof typeof planners
  /** Name of the plans file, without .json. */
  plansName: string
  /** The plans whose preprocessed data these plans use, where they are not their own. */
  dataOf?: string
  /** Applied to what the planner gives. */
  adapt?: (plans: Plans) => Plans
}

export const presets = {
  default: { planner: 'ExperimentPlanner', plansName: 'nnUNetPlans' },
  /** For a machine without a GPU: a sixteenth of the arithmetic a voxel, small batches, the default's data. */
  tiny: { planner: 'ExperimentPlanner', plansName: 'nnUNetPlansTiny', dataOf: 'nnUNetPlans', adapt: shrink },
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
