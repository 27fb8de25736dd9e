// What a run reports while it goes: one union of plain serializable objects, and the run's own interface.

import type { CheckpointName } from '../config/schema.js'

/** The part of an epoch line that a checkpoint knows as well. Numbers that are not finite are null. */
export interface EpochCurve {
  type: 'epoch'
  /** From 0. */
  epoch: number
  /** Optimizer steps done at the end of this epoch. */
  step: number
  /** Learning rate of the epoch's first step. */
  lr: number
  train_loss: number | null
  val_loss: number | null
  /** Pseudo-Dice per foreground label or region; null where the label was neither there nor predicted. */
  dice_per_class: (number | null)[]
  mean_fg_dice: number | null
  ema_fg_dice: number | null
  /** Training and validation of this epoch, without saving. */
  seconds: number
}

/** One finished epoch, exactly as a line of metrics.jsonl. */
export interface EpochLine extends EpochCurve {
  step_ms: { p50: number; p95: number }
  /** Of each step, the host's time for drawing and augmenting its batch: the network waits for it. */
  data_ms: { p50: number; p95: number }
  /** Steps that changed nothing because their loss or gradient was not finite. */
  skipped_steps: number
  /** Of the training process; device_bytes are null on the CPU. */
  memory: {
    resident_bytes: number
    peak_resident_bytes: number
    device_bytes: number | null
    peak_device_bytes: number | null
  }
  file_descriptors: number
  threads: number
}

/** `completed`: all steps are done. `signal`: stopped early and resumable. */
export type StopReason = 'completed' | 'early_stopping' | 'time_budget' | 'signal' | 'non_finite' | 'error'

/** The dataset is planned, preprocessed or unpacked first; cases done of all. */
export interface PreparingEvent {
  type: 'preparing'
  stage: 'plan' | 'preprocess' | 'unpack'
  done: number
  total: number
  secondsLeft?: number
}

/** The first event of a run that trains: what it is, and how long. */
export interface RunStartedEvent {
  type: 'run_started'
  dataset: string
  configuration: string
  plans: string
  fold: number | 'all'
  /** The run folder. */
  folder: string
  device: string
  threads: number
  seed: string
  trainingCases: number
  validationCases: number
  /** Foreground labels, or regions with lists of labels, in the order of dice_per_class. */
  labels: { name: string; value: number | number[] }[]
  epochs: number
  stepsPerEpoch: number
  totalSteps: number
  /** Steps already done: 0, or where a resumed run goes on. */
  step: number
  /** The budget in a sentence: "20 epochs x 100 steps = 2,000 steps; ...". */
  budget: string
  /** The option watchdog.hangSeconds. */
  hangSeconds: number
}

/** Several times a second while steps or validation batches run. */
export interface ProgressEvent {
  type: 'progress'
  job: 'training' | 'validation'
  epoch: number
  epochs: number
  /** Steps or validation batches of this epoch: done and total. */
  done: number
  total: number
  /** Global optimizer steps done. */
  step: number
  totalSteps: number
  loss: number | null
  /** Until the last step, end validation not counted; null until the speed is known. */
  secondsLeft: number | null
  /** Of the time budget of this call; null without one. */
  budgetSecondsLeft: number | null
  /** Of the training process, some seconds old at most; device_bytes are null on the CPU. */
  memory: { resident_bytes: number; device_bytes: number | null }
}

/** A checkpoint is written, whole. */
export interface CheckpointEvent {
  type: 'checkpoint'
  file: string
  epoch: number
  step: number
  /** Training stood still while its state was copied (and an earlier file finished); this file was written beside it. */
  stall_ms: number
  write_ms: number
}

/** The best model so far; checkpoint_best follows. */
export interface NewBestEvent {
  type: 'new_best'
  epoch: number
  step: number
  /** The option bestModel.metric, and its value. */
  metric: string
  value: number
}

/** Where a resumed run goes on. */
export interface ResumeEvent {
  type: 'resume'
  /** The checkpoint file, or null where the run starts over from step 0. */
  from: string | null
  epoch: number
  step: number
  /** Why this one, and why not the others. */
  text: string
}

/** Progress of `validate` and `predict`: cases predicted so far. */
export interface CaseProgressEvent {
  type: 'validation_progress' | 'prediction_progress'
  caseId: string
  done: number
  total: number
  secondsLeft: number | null
}

/** One held-out case is predicted and compared. */
export interface CaseValidatedEvent {
  type: 'case_validated'
  caseId: string
  /** Per foreground label; null where the label is in neither the reference nor the prediction. */
  dice: (number | null)[]
}

/** All held-out cases are predicted and compared, and summary.json is written. */
export interface ValidationFinishedEvent {
  type: 'validation_finished'
  checkpoint: 'final' | 'best' | 'latest'
  /** Path of summary.json. */
  summary: string
  labels: { name: string; value: number | number[]; dice: number | null }[]
  meanForegroundDice: number | null
}

/** All cases of `predict` are written. */
export interface PredictionFinishedEvent {
  type: 'prediction_finished'
  output: string
  cases: number
}

/** Something that the user should know; the run goes on. */
export interface WarningEvent {
  type: 'warning'
  text: string
}

/** A plateau was met: the learning rate goes down to 0 in so many steps, then training ends. */
export interface AnnealingEvent {
  type: 'annealing'
  epoch: number
  step: number
  steps: number
  text: string
}

/** What longer training would bring, at the end of a run. */
export interface AdviceEvent {
  type: 'advice'
  text: string
}

/** Something that belongs into the log. */
export interface LogEvent {
  type: 'log'
  text: string
}

/** Training ends. */
export interface StopEvent {
  type: 'stop'
  reason: StopReason
  epoch: number
  step: number
  /** Why, in words. */
  text: string
}

/** The last event; `finished` resolves with the same result. */
export interface RunFinishedEvent {
  type: 'run_finished'
  result: RunResult
}

/** Everything that a run says; `type` tells which. */
export type RunEvent =
  | PreparingEvent
  | RunStartedEvent
  | ResumeEvent
  | ProgressEvent
  | EpochLine
  | CheckpointEvent
  | NewBestEvent
  | CaseProgressEvent
  | CaseValidatedEvent
  | ValidationFinishedEvent
  | PredictionFinishedEvent
  | WarningEvent
  | AnnealingEvent
  | AdviceEvent
  | LogEvent
  | StopEvent
  | RunFinishedEvent

/** How a run ended. */
export interface RunResult {
  status: 'finished' | 'stopped'
  reason: StopReason
  /** The run folder; empty where the run was stopped before it was begun. */
  folder: string
  /** Epochs and optimizer steps done. */
  epochs: number
  step: number
  /** Mean foreground Dice of each end validation; null where no label has a value. */
  validations: { checkpoint: CheckpointName; meanForegroundDice: number | null }[]
}

/** A job under way. Events may be read by one loop; a run goes on whether or not anyone reads them. */
export interface Run<Result = RunResult, Event = RunEvent> extends AsyncIterable<Event> {
  /** Resolves when everything is written; rejects with a VoxgradError. */
  readonly finished: Promise<Result>
  /** Ends after the current step with a checkpoint. Calling it again changes nothing. */
  stop(): void
  /** At the end of an `await using` block: stops what still goes on and waits for it. Throws what nobody has seen yet. */
  [Symbol.asyncDispose](): Promise<void>
}
