// nnU-Net's experiment planners: from a dataset's fingerprint to patch sizes, networks and batch sizes. No file is touched.
// Sources: nnU-Net default_experiment_planner.py, ExperimentPlanner; residual_encoder_unet_planners.py, ResEncUNetPlanner;
// Isensee et al. 2021, supplement.
import type { DatasetJson } from '../dataset/dataset-json.js'
import { VoxgradError } from '../errors.js'
import { makeArchitecture, type Stages } from './architecture.js'
import { argmax, column, lastArgmax, median, percentile, product, roundHalfToEven } from './numpy.js'
import type { Configuration, Fingerprint, Plans, ResamplingArguments } from './plans.js'
import {
  defaultPlansName,
  type PlannerConstants,
  type PlannerName,
  type Preset,
  type PresetName,
  planners,
  presets,
} from './presets.js'
import { convsOfResidualBlocks, featureMapSize, type Topology, topologyOf } from './topology.js'

export interface PlannerOptions {
  /** Dataset004_Hippocampus */
  datasetName: string
  planner: PlannerName
  /** nnUNetPlans, ... */
  plansName: string
  /** Configurations that use the preprocessed data of the default plans, in place of the planner's own choice. */
  sharedData?: readonly string[] | undefined
  /** nnU-Net's reader class for the images. */
  imageReaderWriter: string
  /** GPU memory to plan for in GB; the planner's own target if undefined. */
  gpuMemoryGb?: number | undefined
}

/** A coarse axis: this much coarser than the others, and this much fewer voxels. */
const anisotropyThreshold = 3
const spacingStepOfLowres = 1.03

interface Context {
  constants: PlannerConstants
  gpuMemoryGb: number
  outputs: number
  normalizationSchemes: string[]
  useMaskForNormalization: boolean[]
}

export interface PresetOptions extends Pick<PlannerOptions, 'datasetName' | 'imageReaderWriter' | 'gpuMemoryGb'> {
  preset: PresetName
  /** In place of the preset's. */
  plansName?: string | undefined
}

/** Plans all configurations of a dataset by a preset. Errors as planExperiment. */
export function planWithPreset(
  fingerprint: Fingerprint,
  datasetJson: DatasetJson,
  { preset: name, plansName, ...options }: PresetOptions,
): Plans {
  const preset: Preset = presets[name]
  const isOwnTarget =
    (options.gpuMemoryGb ?? planners[preset.planner].referenceGb) === planners[preset.planner].referenceGb
  const plans = planExperiment(fingerprint, datasetJson, {
    ...options,
    planner: preset.planner,
    plansName: plansName ?? preset.plansName,
    // The spacing of 3d_lowres follows from the memory: with another target it is not that of the default plans.
    sharedData: preset.sharedData?.filter((configuration) => isOwnTarget || configuration !== '3d_lowres'),
  })
  return preset.adapt?.(plans) ?? plans
}

/**
 * Plans all configurations of a dataset by one of nnU-Net's planners.
 * @throws VoxgradError ERR_DATASET if the fingerprint is empty or does not fit three axes
 */
export function planExperiment(fingerprint: Fingerprint, datasetJson: DatasetJson, options: PlannerOptions): Plans {
  checkFingerprint(fingerprint)
  const constants: PlannerConstants = planners[options.planner]
  const target = targetSpacing(fingerprint)
  const coarsest = argmax(target)
  const forward = [coarsest, ...[0, 1, 2].filter((axis) => axis !== coarsest)]
  const transposed = (values: number[]) => forward.map((axis) => values[axis] as number)

  const newShapes = fingerprint.shapes_after_crop.map((shape, index) => {
    const spacing = fingerprint.spacings[index] as number[]
    return shape.map((extent, axis) => roundHalfToEven(((spacing[axis] as number) / (target[axis] as number)) * extent))
  })
  const spacing = transposed(target)
  const shape = transposed([0, 1, 2].map((axis) => median(column(newShapes, axis))))
  const voxels = product(shape) * datasetJson.numTraining
  const context = makeContext(fingerprint, datasetJson, options, constants)
  const sharedData = options.sharedData ?? constants.sharedData
  const identifier = (name: string) => `${sharedData.includes(name) ? defaultPlansName : options.plansName}_${name}`

  const plan2d = planConfiguration(context, spacing.slice(1), shape.slice(1), identifier('2d'), voxels)
  const configurations: Plans['configurations'] = { '2d': { ...plan2d, batch_dice: true } }
  if (shape[0] !== 1) {
    const fullres = planConfiguration(context, spacing, shape, identifier('3d_fullres'), voxels)
    const lowres = planLowres(context, fullres, shape, identifier('3d_lowres'), datasetJson.numTraining)
    if (lowres !== undefined) {
      configurations['3d_lowres'] = { ...lowres, batch_dice: false, next_stage: '3d_cascade_fullres' }
    }
    configurations['3d_fullres'] = { ...fullres, batch_dice: lowres !== undefined }
    if (lowres !== undefined) {
      configurations['3d_cascade_fullres'] = { inherits_from: '3d_fullres', previous_stage: '3d_lowres' }
    }
  }

  const medians = (table: number[][]) => transposed([0, 1, 2].map((axis) => median(column(table, axis))))
  return {
    dataset_name: options.datasetName,
    plans_name: options.plansName,
    original_median_spacing_after_transp: medians(fingerprint.spacings),
    original_median_shape_after_transp: medians(fingerprint.shapes_after_crop).map(roundHalfToEven),
    image_reader_writer: options.imageReaderWriter,
    transpose_forward: forward,
    transpose_backward: [0, 1, 2].map((axis) => forward.indexOf(axis)),
    configurations,
    experiment_planner_used: options.planner,
    label_manager: 'LabelManager',
    foreground_intensity_properties_per_channel: fingerprint.foreground_intensity_properties_per_channel,
  }
}

function checkFingerprint({ spacings, shapes_after_crop: shapes }: Fingerprint): void {
  const threePositive = (row: number[]) => row.length === 3 && row.every((value) => Number.isFinite(value) && value > 0)
  const faulty = [...spacings, ...shapes].find((row) => !threePositive(row))
  if (spacings.length > 0 && spacings.length === shapes.length && faulty === undefined) return
  throw new VoxgradError('ERR_DATASET', {
    where: 'dataset_fingerprint.json',
    required: 'three positive spacings and extents for each case',
    found: faulty === undefined ? `${spacings.length} spacings and ${shapes.length} shapes` : JSON.stringify(faulty),
    remedy: 'Remove the file to have it made again.',
  })
}

/** Median spacing, but a finer one (10th percentile) on an axis that is much coarser than the others. Array axis order. */
function targetSpacing(fingerprint: Fingerprint): number[] {
  const axes = [0, 1, 2]
  const target = axes.map((axis) => percentile(column(fingerprint.spacings, axis), 50))
  const sizes = axes.map((axis) => percentile(column(fingerprint.shapes_after_crop, axis), 50))
  const worst = argmax(target)
  const others = axes.filter((axis) => axis !== worst)
  const coarsestOther = Math.max(...others.map((axis) => target[axis] as number))
  const smallestOther = Math.min(...others.map((axis) => sizes[axis] as number))
  const coarse = (target[worst] as number) > anisotropyThreshold * coarsestOther
  const fewVoxels = (sizes[worst] as number) * anisotropyThreshold < smallestOther
  if (coarse && fewVoxels) {
    const finer = percentile(column(fingerprint.spacings, worst), 10)
    target[worst] = finer < coarsestOther ? coarsestOther + 1e-5 : finer
  }
  return target
}

const normalizations = new Map([
  ['ct', 'CTNormalization'],
  ['nonorm', 'NoNormalization'],
  ['zscore', 'ZScoreNormalization'],
  ['rescale_to_0_1', 'RescaleTo01Normalization'],
  ['rgb_to_0_1', 'RGBTo01Normalization'],
])

function makeContext(
  fingerprint: Fingerprint,
  datasetJson: DatasetJson,
  options: PlannerOptions,
  constants: PlannerConstants,
): Context {
  const schemes = datasetJson.channels.map((name) => normalizations.get(name.toLowerCase()) ?? 'ZScoreNormalization')
  const muchIsCropped = fingerprint.median_relative_size_after_cropping < 0.75
  return {
    constants,
    gpuMemoryGb: options.gpuMemoryGb ?? constants.referenceGb,
    // All names of "labels", background and ignore included: that is how nnU-Net counts.
    outputs: datasetJson.labels.length,
    normalizationSchemes: schemes,
    useMaskForNormalization: schemes.map((scheme) => muchIsCropped && scheme === 'ZScoreNormalization'),
  }
}

type Unfinished = Omit<Configuration, 'batch_dice'>

const resampling = (isSegmentation: boolean, order: number): ResamplingArguments => ({
  is_seg: isSegmentation,
  order,
  order_z: 0,
  force_separate_z: null,
})

/** Patch, topology and batch size for one spacing and median shape (both in transposed order; two entries in 2D). */
function planConfiguration(
  context: Context,
  spacing: number[],
  medianShape: number[],
  dataIdentifier: string,
  datasetVoxels: number,
): Unfinished {
  const { constants } = context
  const dimension = spacing.length === 2 ? constants.dimension2 : constants.dimension3
  const stagesOf = ({ strides, kernelSizes }: Topology): Stages => ({
    featuresPerStage: strides.map((_, stage) =>
      Math.min(dimension.maximumFeatures, constants.baseFeatures * 2 ** stage),
    ),
    kernelSizes,
    strides,
    depths: strides.map((_, stage) => (constants.depths[stage] ?? constants.depths.at(-1)) as number),
    convsPerStageDecoder: strides.slice(1).map(() => constants.convsPerStageDecoder),
  })
  const sizeOf = (topology: Topology) => {
    const { featuresPerStage, depths, convsPerStageDecoder } = stagesOf(topology)
    return featureMapSize(topology, {
      features: featuresPerStage,
      encoder: constants.network === 'PlainConvUNet' ? depths : depths.map(convsOfResidualBlocks),
      decoder: convsPerStageDecoder,
      outputs: context.outputs,
    })
  }
  const neededOf = (size: number) =>
    constants.batchThatFits === 'reference' ? size : (size / dimension.referenceBatchSize) * constants.smallestBatchSize

  let topology = topologyOf(spacing, initialPatch(spacing, medianShape))
  let size = sizeOf(topology)
  const reference = dimension.referenceSize * (context.gpuMemoryGb / constants.referenceGb)
  while (neededOf(size) > reference) {
    const smaller = reducedPatch(spacing, topology, medianShape)
    if (smaller.some((extent) => extent < 1)) {
      throw new VoxgradError('ERR_CONFIG', {
        where: '--gpu-memory',
        required: `enough for a patch of ${dataIdentifier}`,
        found: `${context.gpuMemoryGb} GB`,
        remedy: 'Plan with more.',
      })
    }
    topology = topologyOf(spacing, smaller)
    size = sizeOf(topology)
  }

  const batch = roundHalfToEven((reference / size) * dimension.referenceBatchSize)
  const cap = roundHalfToEven((datasetVoxels * constants.largestShareOfDataset) / product(topology.patchSize))
  return {
    data_identifier: dataIdentifier,
    preprocessor_name: 'DefaultPreprocessor',
    batch_size: Math.max(Math.min(batch, cap), constants.smallestBatchSize),
    patch_size: topology.patchSize,
    median_image_size_in_voxels: medianShape,
    spacing,
    normalization_schemes: context.normalizationSchemes,
    use_mask_for_norm: context.useMaskForNormalization,
    resampling_fn_data: 'resample_data_or_seg_to_shape',
    resampling_fn_seg: 'resample_data_or_seg_to_shape',
    resampling_fn_data_kwargs: resampling(false, 3),
    resampling_fn_seg_kwargs: resampling(true, 1),
    resampling_fn_probabilities: 'resample_data_or_seg_to_shape',
    resampling_fn_probabilities_kwargs: resampling(false, 1),
    architecture: makeArchitecture(constants.network, stagesOf(topology)),
  }
}

/** A patch of 256^3 (2048^2) voxels in the proportions of equal millimeters, no larger than the median image. */
function initialPatch(spacing: number[], medianShape: number[]): number[] {
  const proportions = spacing.map((value) => 1 / value)
  const volume = spacing.length === 3 ? 256 ** 3 : 2048 ** 2
  const scale = (volume / product(proportions)) ** (1 / spacing.length)
  return proportions.map((value, axis) => Math.min(roundHalfToEven(value * scale), medianShape[axis] as number))
}

/** One step smaller on the axis that covers most of the median image. */
function reducedPatch(spacing: number[], topology: Topology, medianShape: number[]): number[] {
  const patch = [...topology.patchSize]
  const axis = lastArgmax(patch.map((extent, i) => extent / (medianShape[i] as number)))
  const trial = patch.with(axis, (patch[axis] as number) - (topology.divisors[axis] as number))
  // The smaller patch may pool less often: its own divisor does not skip sizes that are valid in between.
  const { divisors } = topologyOf(spacing, trial)
  return patch.with(axis, (patch[axis] as number) - (divisors[axis] as number))
}

/** A coarser configuration whose patch covers a quarter of the median image, or undefined where it would hardly differ. */
function planLowres(
  context: Context,
  fullres: Unfinished,
  medianShape: number[],
  dataIdentifier: string,
  numTraining: number,
): Unfinished | undefined {
  const fullVoxels = product(medianShape)
  let spacing = fullres.spacing
  let voxels = fullVoxels
  let plan: Unfinished | undefined
  for (let patch = fullres.patch_size; product(patch) / voxels < context.constants.lowresThreshold; ) {
    const coarsest = Math.max(...spacing)
    const fine = spacing.map((value) => coarsest / value > 2)
    const all = !fine.includes(true)
    spacing = spacing.map((value, axis) => (all || fine[axis] ? value * spacingStepOfLowres : value))
    const shape = medianShape.map(
      (extent, axis) => ((fullres.spacing[axis] as number) / (spacing[axis] as number)) * extent,
    )
    voxels = product(shape)
    // A slab of one or two voxels may round to none.
    const rounded = shape.map((extent) => Math.max(1, roundHalfToEven(extent)))
    plan = planConfiguration(context, spacing, rounded, dataIdentifier, voxels * numTraining)
    patch = plan.patch_size
  }
  return fullVoxels / voxels < 2 ? undefined : plan
}
