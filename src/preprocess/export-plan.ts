// What bringing a prediction back to a case's original grid needs of a plan.
import type { DatasetJson } from '../dataset/dataset-json.js'
import type { ResamplingRule } from '../native/binding.js'
import type { Configuration, Plans } from '../plan/plans.js'
import { resamplingRule } from './native-plan.js'

export interface ExportPlan {
  targetSpacing: number[]
  transposeForward: number[]
  resampling: ResamplingRule
  /** With regions: the label that each one paints, in this order. */
  regionLabels: number[] | null
}

export function exportPlan(
  plans: Pick<Plans, 'transpose_forward'>,
  configuration: Pick<Configuration, 'spacing' | 'resampling_fn_probabilities_kwargs'>,
  dataset: Pick<DatasetJson, 'regionsClassOrder'>,
): ExportPlan {
  return {
    targetSpacing: configuration.spacing,
    transposeForward: plans.transpose_forward,
    resampling: resamplingRule(configuration.resampling_fn_probabilities_kwargs),
    regionLabels: dataset.regionsClassOrder ?? null,
  }
}
