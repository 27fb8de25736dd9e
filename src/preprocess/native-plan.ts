// A configuration of a plans file as the plain values that the native preprocessing works with.
import { VoxgradError } from '../errors.js'
import type { IntensityProperties, PreprocessingPlan, ResamplingRule } from '../native/binding.js'
import type { Configuration, Plans, ResamplingArguments } from '../plan/plans.js'

/** nnU-Net's resampling_fn_*_kwargs with the names of the native boundary. */
export function resamplingRule(given: ResamplingArguments): ResamplingRule {
  return {
    isSegmentation: given.is_seg,
    order: given.order,
    orderZ: given.order_z,
    forceSeparateZ: given.force_separate_z,
  }
}

/**
 * What native preprocessing needs of a plan.
 * @throws VoxgradError ERR_CONFIG if the plan names a preprocessor or resampling that voxgrad does not have, or its entries
 * per channel do not fit each other
 */
export function preprocessingPlan(plans: Plans, configuration: Configuration): PreprocessingPlan {
  const wanted: [keyof Configuration, string][] = [
    ['preprocessor_name', 'DefaultPreprocessor'],
    ['resampling_fn_data', 'resample_data_or_seg_to_shape'],
    ['resampling_fn_seg', 'resample_data_or_seg_to_shape'],
  ]
  const properties = plans.foreground_intensity_properties_per_channel ?? {}
  const channels = configuration.normalization_schemes.length
  const faults = wanted
    .filter(([key, name]) => configuration[key] !== undefined && configuration[key] !== name)
    .map(([key, name]) => `${key}: expected ${name}, found ${configuration[key]}`)
  if (configuration.use_mask_for_norm.length !== channels) {
    faults.push(`use_mask_for_norm: expected ${channels} entries, found ${configuration.use_mask_for_norm.length}`)
  }
  const missing = Array.from({ length: channels }, (_, channel) => channel).filter((channel) => !properties[channel])
  if (missing.length > 0) {
    faults.push(`foreground_intensity_properties_per_channel: no entry for channel ${missing.join(', ')}`)
  }
  if (faults.length > 0) {
    throw new VoxgradError('ERR_PLANS', {
      found: `Plans ${plans.plans_name} of ${plans.dataset_name} cannot be preprocessed:\n${faults.map((fault) => `  - ${fault}`).join('\n')}`,
      remedy: 'Plan anew with `voxgrad plan`.',
    })
  }
  return {
    transposeForward: plans.transpose_forward,
    targetSpacing: configuration.spacing,
    normalizationSchemes: configuration.normalization_schemes,
    useMaskForNormalization: configuration.use_mask_for_norm,
    intensityProperties: Array.from({ length: channels }, (_, channel) => properties[channel] as IntensityProperties),
    imageResampling: resamplingRule(configuration.resampling_fn_data_kwargs),
    segmentationResampling: resamplingRule(configuration.resampling_fn_seg_kwargs),
  }
}
