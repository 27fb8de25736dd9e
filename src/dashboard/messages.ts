// What the dashboard's server and its page say to each other. The page's own code imports this file too: no Node in here.

/** A run as the list shows it. Numbers that are not known are null. */
export interface RunState {
  /** Made from the place below the runs' folder: the same in every session, and no path. */
  id: string
  /** The place below the runs' folder. */
  name: string
  dataset: string
  configuration: string
  plans: string
  fold: string
  status: 'running' | 'finished' | 'stopped' | 'failed' | 'killed' | 'unreadable'
  /** Why it ended, or why it cannot be read, in words. */
  reason: string | null
  /** Finished epochs and optimizer steps, of how many. */
  epoch: number
  epochs: number
  step: number
  totalSteps: number
  emaDice: number | null
  best: { metric: string; value: number; epoch: number } | null
  secondsLeft: number | null
  startedAt: string
  updatedAt: string
  device: string
  seed: string
  /** Names of the foreground labels or regions, in the order of a row's last columns. */
  labels: string[]
  /** Finished validations: of the weights of which checkpoint. */
  validations: Weights[]
  /** Within the epoch or the validation at the end, where the training was started with this dashboard. */
  progress: Progress | null
}

export interface Progress {
  /** Steps, or batches of validation, of the present epoch, or cases of the validation at the end. */
  job: 'training' | 'validation' | 'cases'
  done: number
  total: number
  secondsLeft: number | null
}

export type Weights = 'final' | 'best' | 'latest'
export const weights: readonly Weights[] = ['final', 'best', 'latest']

/** Columns of an epoch's row; the Dice of every class follows them. */
export const columns = [
  'epoch',
  'step',
  'seconds',
  'lr',
  'trainLoss',
  'valLoss',
  'meanDice',
  'emaDice',
  'stepMs',
  'stepMsP95',
  'dataMs',
  'dataMsP95',
  'skippedSteps',
  'residentBytes',
  'deviceBytes',
] as const

export type Column = (typeof columns)[number]
export type Row = (number | null)[]

/** Something that happened, as metrics.jsonl tells it. */
export interface Note {
  kind: 'checkpoint' | 'new_best' | 'resume' | 'warning' | 'annealing' | 'advice' | 'stop'
  epoch: number | null
  step: number | null
  /** Of new_best: the value of the run's own metric. */
  value: number | null
  /** In words; of new_best the name of the metric. */
  text: string
}

/** Rows and notes of a run from an index on; what the page has from there on is replaced. */
export interface Lines {
  run: string
  /** Lines of a run come in the order of this number; one with a smaller number than was seen is out of date. */
  sequence: number
  rowsFrom: number
  rows: Row[]
  notesFrom: number
  notes: Note[]
}

/** A validation case with its Dice, the worst first. */
export interface ValidationCase {
  id: string
  name: string
  /** Mean over the classes that have a value. */
  dice: number | null
  /** In the order of the run's labels. */
  dicePerClass: (number | null)[]
}

export interface ValidationCases {
  cases: ValidationCase[]
  channels: string[]
  /** Label values of the segmentations with their names. */
  labels: { value: number; name: string }[]
  /** Why images cannot be shown, in a sentence. */
  withoutImages: string | null
}
