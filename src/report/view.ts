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
  /** What a live view has room for besides: `val loss -0.381`, `memory 1.2 GiB`. */
  facts?: readonly string[]
  /** Until this piece ends; null while unknown. */
  secondsLeft: number | null
  /** Until all of the work ends, where the piece is a part of it. */
  totalSecondsLeft?: number | null
  /** Of the time budget of this call, where there is one. */
  budgetSecondsLeft?: number | null
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

/** Lines of at most `width` characters. */
export type Panel = (width: number, styles: Styles) => string[]

export interface View {
  /** A line for people. */
  message(text: string): void
  /** A line that should not be missed. */
  warning(text: string): void
  /** Begins the table of epochs. */
  table(shape: TableShape): void
  epoch(row: EpochRow): void
  progress(progress: Progress): void
  /** What stands on the last lines of a live view in place of a bar; other views leave it out. */
  panel(draw: Panel): void
  /** A line that a log needs where a live view shows a panel. */
  logged(text: string): void
  /** Ends the piece of work under way; nothing more of it is shown. */
  close(): void
}

/** Where a view writes; a part of tty.WriteStream. */
export interface Output {
  write(text: string): unknown
  isTTY?: boolean
  columns?: number
  on?(event: 'resize', listener: () => void): unknown
}

/** Whether a live view fits: a terminal whose cursor can be moved. */
export function wantsLiveView(output: Output, environment: NodeJS.ProcessEnv): boolean {
  return output.isTTY === true && environment.TERM !== 'dumb'
}

/** Whether to write in color: NO_COLOR (no-color.org), then FORCE_COLOR, then whether it is a terminal that can. */
export function wantsColor(output: Output, environment: NodeJS.ProcessEnv): boolean {
  const { NO_COLOR: refused, FORCE_COLOR: forced } = environment
  if (refused) return false
  if (forced !== undefined) return forced !== '0' && forced !== 'false'
  return wantsLiveView(output, environment)
}

/** Styles of text; without color they leave it as it is. */
export function stylesOf(isColored: boolean) {
  const style = (code: number) => (text: string) => (isColored ? `\u001b[${code}m${text}\u001b[0m` : text)
  return { bold: style(1), dim: style(2), green: style(32), yellow: style(33), cyan: style(36) }
}

export type Styles = ReturnType<typeof stylesOf>
