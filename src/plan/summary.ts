// Plans in words, for the terminal.
import type { ConfigurationEntry, Plans } from './plans.js'

const times = (values: readonly number[]) => values.map((value) => Number(value.toPrecision(3))).join(' x ')
const range = (values: readonly number[]) => [...new Set([Math.min(...values), Math.max(...values)])].join(' to ')

/** Two lines for the whole of the plans and two for each configuration. */
export function summaryOf(plans: Plans): string[] {
  const entries = Object.entries(plans.configurations)
  const [planned] = entries.flatMap(([, entry]) => (entry.architecture === undefined ? [] : [entry]))
  const network = planned?.architecture?.network_class_name.split('.').at(-1)
  const schemes = planned?.normalization_schemes?.map((scheme, channel) =>
    planned.use_mask_for_norm?.[channel] ? `${scheme} within the nonzero mask` : scheme,
  )
  const isTransposed = plans.transpose_forward.some((axis, position) => axis !== position)
  return [
    `${plans.plans_name} by ${plans.experiment_planner_used}: ${network}`,
    `  channels: ${schemes?.join(', ')}`,
    ...(isTransposed ? [`  axes: ${plans.transpose_forward.join(' ')} of the images, the coarsest first`] : []),
    ...entries.flatMap(([name, entry]) => linesOf(name, entry, plans.plans_name)),
  ]
}

function linesOf(name: string, entry: ConfigurationEntry, plansName: string): string[] {
  const { patch_size: patch, spacing, median_image_size_in_voxels: median, architecture, data_identifier: data } = entry
  if (patch === undefined || spacing === undefined || median === undefined || architecture === undefined) {
    const stage =
      entry.previous_stage === undefined ? '' : `, with the segmentation of ${entry.previous_stage} as input`
    return [`  ${name}: as ${entry.inherits_from ?? 'the file has it'}${stage}`]
  }
  const { n_stages: stages, features_per_stage: features, strides } = architecture.arch_kwargs
  const poolings = patch.map((_, axis) => strides.filter((stride) => stride[axis] === 2).length)
  return [
    `  ${name}: patch ${times(patch)}, batch ${entry.batch_size}, spacing ${times(spacing)} mm`,
    `    median image ${times(median)}; ${stages} stages of ${range(features)} features, ${times(poolings)} poolings`,
    ...(data === `${plansName}_${name}` ? [] : [`    preprocessed data shared: ${data}`]),
  ]
}
