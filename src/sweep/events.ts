// What a sweep reports while it goes: its runs as they are, and the events of each of them.
import type { ErrorReport } from '../errors.js'
import type { ProgressEvent, RunEvent } from '../train/events.js'
import type { DatasetSummary } from './summary.js'

/**
 * waiting: for a device, or for what it needs. stopped: resumable. blocked: what it needs did not finish, or there is no
 * device left.
 */
export type SweepRunState = 'waiting' | 'running' | 'finished' | 'stopped' | 'failed' | 'blocked'

/** One run of a sweep. */
export interface SweepRun {
  /** DATASET/CONFIGURATION/fold_FOLD, unique in the sweep. */
  name: string
  dataset: string
  configuration: string
  fold: number | 'all'
  /** The run folder. */
  folder: string
  state: SweepRunState
  /** Names of runs that must finish first: those of a cascade's previous stage. */
  needs: string[]
  /** Where it trains now. */
  device: string | null
  /** Finished epochs and optimizer steps, of how many. */
  epoch: number
  epochs: number
  step: number
  totalSteps: number
  /** Moving average of the pseudo-Dice after the last epoch. */
  ema_fg_dice: number | null
  /** Mean foreground Dice of the validation at the end. */
  validationDice: number | null
  /** Training time of all its epochs, and of a step; of a step null where no epoch was finished. */
  seconds: number
  secondsPerStep: number | null
  /** Of training, or of the validation where that is what it does; null where unknown. */
  secondsLeft: number | null
  /** Cases of the validation at the end, while they are predicted. */
  validation: { done: number; total: number } | null
  /** Why it failed or is blocked. */
  error: ErrorReport | null
}

/** The first event: what there is to do, and on what. */
export interface SweepStartedEvent {
  type: 'sweep_started'
  /** One for each run at a time. */
  devices: string[]
  /** Native threads of each run that begins. */
  threads: number
  runs: SweepRun[]
}

/** A run begins, ends or cannot begin. */
export interface SweepRunChangedEvent {
  type: 'sweep_run'
  run: SweepRun
}

/** An event of one run, as train() reports it; its progress goes into the sweep's. */
export interface SweepRunEvent {
  type: 'run_event'
  /** The run's name. */
  run: string
  event: Exclude<RunEvent, ProgressEvent>
}

/** How far everything is; where nobody reads, only the newest is kept. */
export interface SweepProgressEvent {
  type: 'progress'
  /** Runs that have ended, of all. */
  done: number
  total: number
  /** Until the last run of the queue has trained; null until the pace of each configuration is known. */
  secondsLeft: number | null
  runs: SweepRun[]
}

/** Something that the user should know; the sweep goes on. */
export interface SweepWarningEvent {
  type: 'warning'
  text: string
}

/** The last event; `finished` resolves with the same result. */
export interface SweepFinishedEvent {
  type: 'sweep_finished'
  result: SweepResult
}

/** Everything that a sweep says; `type` tells which. */
export type SweepEvent =
  | SweepStartedEvent
  | SweepRunChangedEvent
  | SweepRunEvent
  | SweepProgressEvent
  | SweepWarningEvent
  | SweepFinishedEvent

/** How a sweep ended. */
export interface SweepResult {
  runs: SweepRun[]
  /** One a dataset, as its file says it. */
  summaries: DatasetSummary[]
  /** Whether stop() or a signal ended it; the same sweep goes on with what is left. */
  stopped: boolean
}
