// The package's public entry.
export {
  type BestConfigurationInput,
  type EnsembleInput,
  type EvaluateInput,
  type PlanInput,
  type PostprocessInput,
  type PredictInput,
  type ResumeInput,
  type TrainInput,
  type TrainOptions,
  trainOptionsJsonSchema,
  trainOptionsSchema,
  type ValidateInput,
} from './config/schema.js'
export { VoxgradError } from './errors.js'
export { plan } from './plan/plan.js'
export { preprocess } from './preprocess/preprocess.js'
export { applyPostprocessing } from './select/apply.js'
export { type BestConfiguration, bestConfiguration } from './select/best-configuration.js'
export { ensemble } from './select/ensemble.js'
export type { EpochLine, Run, RunEvent, RunResult } from './train/events.js'
export { predict, resume, train, validate } from './train/jobs.js'
export { type Evaluation, evaluate } from './validate/evaluate.js'
