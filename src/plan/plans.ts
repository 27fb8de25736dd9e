// nnU-Net's fingerprint and plans files: their types (the keys are the files' own), reading, inheritance.
import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { didYouMean } from '../config/issues.js'
import { VoxgradError } from '../errors.js'
import { readJson } from '../files.js'
import type { JsonObject } from '../json.js'
import { isPlainName } from '../names.js'
import type { IntensityProperties } from '../native/binding.js'
import { architectureOfOldPlans } from './architecture.js'

/** dataset_fingerprint.json. Shapes in voxels and spacings in mm, one entry a case in the order (z, y, x) of the array. */
export interface Fingerprint {
  foreground_intensity_properties_per_channel: Record<string, IntensityProperties>
  median_relative_size_after_cropping: number
  shapes_after_crop: number[][]
  spacings: number[][]
}

export interface ArchitectureArguments {
  n_stages: number
  features_per_stage: number[]
  conv_op: string
  /** One list a stage, one extent an axis. */
  kernel_sizes: number[][]
  strides: number[][]
  /** PlainConvUNet */
  n_conv_per_stage?: number[]
  /** ResidualEncoderUNet */
  n_blocks_per_stage?: number[]
  n_conv_per_stage_decoder: number[]
  conv_bias: boolean
  norm_op: string
  norm_op_kwargs: { eps: number; affine: boolean; momentum?: number; track_running_stats?: boolean }
  dropout_op: string | null
  dropout_op_kwargs: Record<string, unknown> | null
  nonlin: string
  nonlin_kwargs: Record<string, unknown>
}

export interface Architecture {
  network_class_name: string
  arch_kwargs: ArchitectureArguments
  _kw_requires_import: string[]
}

export interface ResamplingArguments {
  is_seg: boolean
  order: number
  order_z: number
  force_separate_z: boolean | null
}

/** One configuration with everything inherited. Sizes and spacings are in transposed axis order; 2D ones lack axis 0. */
export interface Configuration {
  data_identifier: string
  preprocessor_name: string
  batch_size: number
  patch_size: number[]
  /** May end on .5 */
  median_image_size_in_voxels: number[]
  spacing: number[]
  normalization_schemes: string[]
  use_mask_for_norm: boolean[]
  resampling_fn_data: string
  resampling_fn_seg: string
  resampling_fn_data_kwargs: ResamplingArguments
  resampling_fn_seg_kwargs: ResamplingArguments
  resampling_fn_probabilities: string
  resampling_fn_probabilities_kwargs: ResamplingArguments
  architecture: Architecture
  batch_dice: boolean
  previous_stage?: string
  next_stage?: string | string[]
}

/** A configuration as the file has it: complete, or what differs from the one that it inherits from. */
export type ConfigurationEntry = Partial<Configuration> & { inherits_from?: string }

/** A plans file, such as nnUNetPlans.json. */
export interface Plans {
  dataset_name: string
  plans_name: string
  original_median_spacing_after_transp: number[]
  original_median_shape_after_transp: number[]
  image_reader_writer: string
  transpose_forward: number[]
  transpose_backward: number[]
  configurations: Record<string, ConfigurationEntry>
  experiment_planner_used: string
  label_manager: string
  foreground_intensity_properties_per_channel: Record<string, IntensityProperties>
}

const requiredKeys = [
  'dataset_name',
  'plans_name',
  'image_reader_writer',
  'transpose_forward',
  'transpose_backward',
  'configurations',
] as const

const requiredOfConfiguration = [
  'data_identifier',
  'batch_size',
  'patch_size',
  'spacing',
  'normalization_schemes',
  'use_mask_for_norm',
  'resampling_fn_data_kwargs',
  'resampling_fn_seg_kwargs',
  'resampling_fn_probabilities_kwargs',
  'batch_dice',
] as const

/**
 * Reads a plans file.
 * @throws VoxgradError ERR_PLANS if it is missing or no plans file, ERR_FORMAT if it is no JSON
 */
export async function readPlans(file: string): Promise<Plans> {
  const others = existsSync(file) ? [] : plansIn(path.dirname(file))
  if (others.length > 0) {
    throw new VoxgradError('ERR_PLANS', {
      where: file,
      required: 'a plans file of this name',
      found: `only ${others.join(', ')} beside it`,
      remedy: `Choose one that is there, such as --plans ${others[0]}, or write these plans with \`voxgrad plan DATASET\`.`,
    })
  }
  return checkPlans(await readJson(file, 'plans file', 'ERR_PLANS'), file)
}

/** Names of the plans in a folder of preprocessed data. */
function plansIn(folder: string): string[] {
  const files = existsSync(folder) ? readdirSync(folder) : []
  return files.flatMap((name) => /^(.*plans.*)\.json$/i.exec(name)?.[1] ?? []).sort()
}

/** What becomes the name of a folder or file, with its place. */
function namesOf(plans: JsonObject): [place: string, name: unknown][] {
  const configurations = plans.configurations as Record<string, JsonObject>
  return [
    ['dataset_name', plans.dataset_name],
    ['plans_name', plans.plans_name],
    ...Object.entries(configurations).flatMap(([key, { data_identifier: data, previous_stage, next_stage }]) => [
      ['a configuration', key] as [string, unknown],
      ...[data, previous_stage, next_stage]
        .flat()
        .filter((name) => name !== undefined && name !== null)
        .map((name): [string, unknown] => [`a name in configuration ${key}`, name]),
    ]),
  ]
}

/** Checks parsed plans (of a file or a checkpoint) for what every part relies on. Throws ERR_PLANS naming the key, ERR_FORMAT for a name that is a path. */
export function checkPlans(value: unknown, origin: string): Plans {
  const plans = value as JsonObject
  const isObject = (item: unknown): item is JsonObject =>
    typeof item === 'object' && item !== null && !Array.isArray(item)
  const missing = isObject(plans) ? requiredKeys.filter((key) => plans[key] === undefined) : requiredKeys
  if (missing.length > 0) {
    throw new VoxgradError('ERR_PLANS', {
      where: origin,
      required: 'nnU-Net plans',
      found: `a file without ${missing.join(', ')}`,
    })
  }
  if (!isObject(plans.configurations) || !Object.values(plans.configurations).every(isObject)) {
    throw new VoxgradError('ERR_PLANS', {
      where: origin,
      required: 'an object for each name in "configurations"',
      found: 'something else',
    })
  }
  for (const [place, name] of namesOf(plans)) {
    if (typeof name === 'string' && isPlainName(name)) continue
    throw new VoxgradError('ERR_FORMAT', {
      where: `${origin}: ${place}`,
      required: 'the name of a file or folder, without / or \\',
      found: JSON.stringify(name),
    })
  }
  // The name before nnU-Net 2.1.
  plans.foreground_intensity_properties_per_channel ??= plans.foreground_intensity_properties_by_modality
  return plans as unknown as Plans
}

/**
 * One configuration, complete: the parent's entries (recursively), replaced key by key by its own; architecture of
 * plans written before 2024 rebuilt. Source: nnU-Net plans_handler.py, PlansManager._internal_resolve_configuration_inheritance.
 * @throws VoxgradError ERR_PLANS for an unknown name, a cycle or missing keys
 */
export function resolveConfiguration(plans: Plans, name: string): Configuration {
  const names = Object.keys(plans.configurations)
  const there = names.join(', ')
  const where = `Plans ${plans.plans_name} of ${plans.dataset_name}`
  if (!Object.hasOwn(plans.configurations, name)) {
    throw new VoxgradError('ERR_PLANS', {
      found: `${where} have no configuration ${name}`,
      remedy: `Choose one of theirs: ${there}${didYouMean(name, names) || '.'}`,
    })
  }
  const resolve = (current: string, visited: string[]): ConfigurationEntry => {
    if (visited.includes(current)) {
      const circle = [...visited, current].join(' -> ')
      throw new VoxgradError('ERR_PLANS', {
        where,
        found: `configurations inherit in a circle: ${circle}`,
        remedy: 'Remove one "inherits_from".',
      })
    }
    if (!Object.hasOwn(plans.configurations, current)) {
      throw new VoxgradError('ERR_PLANS', {
        where,
        found: `${visited.at(-1)} inherits from ${current}, which is missing`,
        remedy: `Name one of ${there} in its "inherits_from".`,
      })
    }
    const { inherits_from: parent, ...own } = plans.configurations[current] as ConfigurationEntry
    return parent === undefined ? own : { ...resolve(parent, [...visited, current]), ...own }
  }
  const entry = resolve(name, [])
  const missing = requiredOfConfiguration.filter((key) => entry[key] === undefined)
  if (missing.length > 0) {
    throw new VoxgradError('ERR_PLANS', { where, found: `configuration ${name} lacks ${missing.join(', ')}` })
  }
  const architecture =
    entry.architecture ?? architectureOfOldPlans(entry as JsonObject, `${where}: configuration ${name}`)
  return structuredClone({ ...(entry as Configuration), architecture })
}
