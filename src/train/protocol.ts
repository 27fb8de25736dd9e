// The messages between the command line and the child process that runs the engine; all of them are plain objects.
import type {
  PlanInput,
  PredictInput,
  PreprocessInput,
  ResumeInput,
  TrainInput,
  ValidateInput,
} from '../config/schema.js'
import type { RanksConfig } from '../native/binding.js'
import type { Fault } from '../ranks/commands.js'
import type { DevicePlace } from '../ranks/devices.js'
import type { RunEvent } from './events.js'
import type { Restart } from './job.js'
import type { Section } from './watchdog.js'

/** What a child does; options as the package's functions of the same name take them. */
export type Job =
  | { kind: 'plan'; options: PlanInput }
  | { kind: 'preprocess'; options: PreprocessInput }
  | ({ kind: 'train'; options: TrainInput; restart?: Restart } & Ranked)
  | ({ kind: 'resume'; options: ResumeInput; restart?: Restart } & Ranked)
  | ({ kind: 'validate'; options: ValidateInput } & Ranked)
  | ({ kind: 'predict'; options: PredictInput } & Ranked)

/** A job that several processes may share: which of them this one is, and where it trains. */
export interface Ranked {
  rank?: ({ group: RanksConfig } & DevicePlace) | undefined
}

/** Parent to child. The first message is the job. */
export type ToChild = { type: 'job'; job: Job } | { type: 'stop' }

/** Child to parent. `done` or `failed` is the last message. */
export type FromChild =
  | { type: 'event'; event: RunEvent }
  /** Something moved. */
  | { type: 'alive'; section: Section; caseId: string | undefined }
  | { type: 'done'; result: unknown }
  | ({ type: 'failed' } & Fault)
