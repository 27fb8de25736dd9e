// The messages between the command line and the child process that runs the engine; all of them are plain objects.
import type { FolderOptions } from '../config/folders.js'
import type { PlanInput, PredictInput, ResumeInput, TrainInput, ValidateInput } from '../config/schema.js'
import type { ErrorCode } from '../errors.js'
import type { RunEvent } from './events.js'
import type { Restart } from './job.js'
import type { Section } from './watchdog.js'

export interface PlanJobOptions extends Omit<PlanInput, keyof FolderOptions> {
  folders: FolderOptions
}

export interface PreprocessJobOptions {
  /** Id or name. */
  dataset: string
  folders: FolderOptions
  /** By default those of 2d, 3d_fullres and 3d_lowres that the plans have. */
  configurations?: string[] | undefined
  /** Name of the plans file without .json. */
  plans?: string | undefined
  /** Cases at once. */
  jobs?: number | undefined
}

/** What a child does; options as the package's functions of the same name take them. */
export type Job =
  | { kind: 'plan'; options: PlanJobOptions }
  | { kind: 'preprocess'; options: PreprocessJobOptions }
  | { kind: 'train'; options: TrainInput; restart?: Restart }
  | { kind: 'resume'; options: ResumeInput; restart?: Restart }
  | { kind: 'validate'; options: ValidateInput }
  | { kind: 'predict'; options: PredictInput }

/** Parent to child. The first message is the job. */
export type ToChild = { type: 'job'; job: Job } | { type: 'stop' }

/** Child to parent. `done` or `failed` is the last message. */
export type FromChild =
  | { type: 'event'; event: RunEvent }
  /** Something moved. */
  | { type: 'alive'; section: Section }
  | { type: 'done'; result: unknown }
  | { type: 'failed'; code: ErrorCode; message: string; nativeBacktrace?: string }
