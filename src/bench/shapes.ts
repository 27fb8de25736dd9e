// What is benchmarked: a named shape, or a configuration of a plans file.
import { existsSync } from 'node:fs'
import path from 'node:path'
import { didYouMean } from '../config/issues.js'
import type { TrainableConfiguration, TrainableDataset } from '../config/resolve.js'
import type { BenchOptions } from '../config/schema.js'
import { readDatasetJson } from '../dataset/dataset-json.js'
import { VoxgradError } from '../errors.js'
import { makeArchitecture, type NetworkName } from '../plan/architecture.js'
import { readPlans, resolveConfiguration } from '../plan/plans.js'

export interface BenchShape {
  /** The named shape, or dataset, plans and configuration. */
  name: string
  configuration: TrainableConfiguration
  dataset: TrainableDataset
}

interface NamedShape {
  patchSize: number[]
  batchSize: number
  features: number[]
  network?: NetworkName
  meaning: string
}

const sixStages = [32, 64, 128, 256, 320, 320]

/** One channel and three classes each, all kernels 3 and all strides 2. */
export const namedShapes = {
  hippocampus: {
    patchSize: [40, 56, 40],
    batchSize: 9,
    features: [32, 64, 128, 256],
    meaning: "nnU-Net's 3d_fullres plan of the Decathlon's Hippocampus, 260 cases",
  },
  tiny: {
    patchSize: [40, 56, 40],
    batchSize: 2,
    features: [8, 16, 32, 64],
    meaning: 'the same dataset with the preset tiny',
  },
  '128': {
    patchSize: [128, 128, 128],
    batchSize: 2,
    features: sixStages,
    meaning: "nnU-Net's plan of 128^3 patches, as Liver, KiTS and BraTS have",
  },
  'resenc-l': {
    patchSize: [160, 224, 192],
    batchSize: 2,
    features: sixStages,
    network: 'ResidualEncoderUNet',
    meaning: "nnU-Net's ResEnc L plan of Liver",
  },
  null: {
    patchSize: [16, 16, 16],
    batchSize: 1,
    features: [2, 4, 8, 16],
    meaning: 'next to no arithmetic: what a step costs besides',
  },
} as const satisfies Record<string, NamedShape>

const residualDepths = [1, 3, 4, 6, 6, 6]

/**
 * The shape that a benchmark asks for. Labels of a plans file come from the dataset.json beside it, if there is one.
 * @throws VoxgradError ERR_CONFIG for an unknown name, and as readPlans and readDatasetJson
 */
export async function readShape(
  options: Pick<BenchOptions, 'plan' | 'configuration' | 'classes'>,
): Promise<BenchShape> {
  const { plan, configuration: name, classes } = options
  if (Object.hasOwn(namedShapes, plan)) return shapeOf(plan as keyof typeof namedShapes)
  if (!existsSync(plan)) {
    const names = Object.keys(namedShapes)
    throw new VoxgradError('ERR_CONFIG', {
      where: 'bench',
      required: `a plans file or one of the shapes ${names.join(', ')}`,
      found: `"${plan}"${didYouMean(plan, names)}`,
    })
  }
  const plans = await readPlans(plan)
  const configuration = resolveConfiguration(plans, name)
  const datasetFile = path.join(path.dirname(plan), 'dataset.json')
  const dataset = existsSync(datasetFile)
    ? await readDatasetJson(datasetFile)
    : plainDataset(configuration.normalization_schemes.length, classes)
  return { name: `${plans.dataset_name}/${plans.plans_name}/${name}`, configuration, dataset }
}

function shapeOf(name: keyof typeof namedShapes): BenchShape {
  const shape: NamedShape = namedShapes[name]
  const { patchSize, batchSize, features, network = 'PlainConvUNet' } = shape
  const isResidual = network === 'ResidualEncoderUNet'
  const architecture = makeArchitecture(network, {
    featuresPerStage: [...features],
    kernelSizes: features.map(() => [3, 3, 3]),
    strides: features.map((_, stage) => (stage === 0 ? [1, 1, 1] : [2, 2, 2])),
    depths: features.map((_, stage) => (isResidual ? (residualDepths[stage] ?? 6) : 2)),
    convsPerStageDecoder: features.slice(1).map(() => (isResidual ? 1 : 2)),
  })
  return {
    name,
    configuration: {
      batch_size: batchSize,
      patch_size: [...patchSize],
      use_mask_for_norm: [false],
      batch_dice: false,
      architecture,
    },
    dataset: plainDataset(1, 3),
  }
}

/** Channels and labels without regions and ignore label. */
function plainDataset(channels: number, classes: number): TrainableDataset {
  const labels = Array.from({ length: classes - 1 }, (_, index) => index + 1)
  return {
    channels: Array.from({ length: channels }, (_, index) => `channel ${index}`),
    foregroundLabels: labels,
    targets: labels.map((label) => ({
      name: `label ${label}`,
      value: label,
      labels: [label],
      key: String(label),
    })),
    hasRegions: false,
    ignoreLabel: undefined,
  }
}
