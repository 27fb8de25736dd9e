// What a view of running work can show; terminal.ts draws it live, lines.ts as plain lines.

/** A piece of work under way. */
export interface Progress {
  /** What is done: `epoch 3/20`, `validation`. A new title begins a new piece. */
  title: string
  done: number
  total: number
  /** `step`, `batch`, `case`. */
  unit: string
  /** A last word on it: `loss -0.412`. */
  detail?: string
  /** Until this piece ends; null while unknown. */
  secondsLeft: number | null
  /** Until all of the work ends, where the piece is a part of it. */
  totalSecondsLeft?: number | null
}

/** A finished epoch. */
export interface EpochRow {
  /** Counted from 0. */
  epoch: number
  trainLoss: number | null
  valLoss: number | null
  dicePerLabel: (number | null)[]
  ema: number | null
  isBest: boolean
  learningRate: number
  seconds: number
  /** Until the last step. */
  secondsLeft: number | null
}

export interface TableShape {
  epochs: number
  labels: string[]
}

export interface View {
  /** A line for people. */
  message(text: string): void
  /** A line that should not be missed. */
  warning(text: string): void
  /** Begins the table of epochs. */
  table(shape: TableShape): void
  epoch(row: EpochRow): void
  progress(progress: Progress): void
  /** Ends the piece of work under way; nothing more of it is shown. */
  close(): void
}

/** Where a view writes; a part of tty.WriteStream. */
export interface Output {
  write(text: string): unknown
  isTTY?: boolean
  columns?: number
}

/** Whether a live view fits: a terminal, and no wish for plain text (no-color.org, TERM=dumb). */
export function wantsLiveView(output: Output, environment: NodeJS.ProcessEnv): boolean {
  return output.isTTY === true && !environment.NO_COLOR && environment.TERM !== 'dumb'
}
