// The package's public entry. Every verb is a function of plain options and of settings that no file can hold (signal,
// callbacks, policies); what takes long and can be resumed is a Run with events.
export { type BenchEnvironment, type BenchProgress, bench } from './bench/measure.js'
export type { BenchResult } from './bench/result.js'
export type { CasePoolOptions, CaseProgress } from './case-pool.js'
export {
  type BenchInput,
  type BestConfigurationInput,
  type EnsembleInput,
  type EvaluateInput,
  type PlanInput,
  type PostprocessInput,
  type PredictInput,
  type PredictorInput,
  type PreprocessInput,
  type ResumeInput,
  type SweepInput,
  type TrainInput,
  type TrainOptions,
  trainOptionsJsonSchema,
  trainOptionsSchema,
  type ValidateInput,
} from './config/schema.js'
export { type CatalogueEntry, type ErrorCode, errorCatalogue } from './error-catalogue.js'
export { type ErrorFacts, type ErrorReport, VoxgradError } from './errors.js'
export { type PlanResult, type PlanSettings, plan } from './plan/plan.js'
export type { Configuration, ConfigurationEntry, Plans } from './plan/plans.js'
export { type CaseToPredict, openPredictor, type Predictor } from './predict/predictor.js'
export { type PreprocessResult, preprocess } from './preprocess/preprocess.js'
export { applyPostprocessing } from './select/apply.js'
export { type BestConfiguration, bestConfiguration } from './select/best-configuration.js'
export { ensemble } from './select/ensemble.js'
export type * from './sweep/events.js'
export type * from './sweep/summary.js'
export { sweep } from './sweep/sweep.js'
export type * from './train/events.js'
export { type JobOptions, predict, resume, type TrainJobOptions, train, validate } from './train/jobs.js'
export type { Policies, SchedulePosition } from './train/policies.js'
export { type Evaluation, evaluate } from './validate/evaluate.js'
