// What a sweep shows: a line a run on a terminal, plain lines in a log, JSON lines, and the tables at its end.
import { formatDuration, formatFixed } from '../report/format.js'
import { wrap } from '../report/table.js'
import type { Styles } from '../report/view.js'
import type { SweepEvent, SweepProgressEvent, SweepResult, SweepRun, SweepRunEvent } from '../sweep/events.js'
import type { ConfigurationSummary, DatasetSummary, Spread } from '../sweep/summary.js'
import type { Context } from './context.js'

/** Shows the events of a sweep in order. */
export class SweepReport {
  readonly #context: Pick<Context, 'view' | 'json'>
  #runs = new Map<string, SweepRun>()

  constructor(context: Pick<Context, 'view' | 'json'>) {
    this.#context = context
  }

  show(event: SweepEvent): void {
    const { view, json } = this.#context
    if (event.type === 'progress') json?.writeProgress(event)
    else json?.write(event)
    switch (event.type) {
      case 'sweep_started':
        this.#runs = new Map(event.runs.map((run) => [run.name, run]))
        for (const line of beginning(event.runs, event.devices, event.threads)) view.message(line)
        break
      case 'sweep_run':
        this.#runs.set(event.run.name, event.run)
        if (event.run.state === 'failed' || event.run.state === 'blocked') view.warning(changeOf(event.run))
        else view.message(changeOf(event.run))
        break
      case 'run_event':
        this.#showRunEvent(event)
        break
      case 'progress':
        view.panel((width, styles) => panelOf(event, width, styles))
        break
      case 'warning':
        view.warning(event.text)
        break
      case 'sweep_finished':
        view.close()
    }
  }

  #showRunEvent({ run: name, event }: SweepRunEvent): void {
    const { view } = this.#context
    const run = this.#runs.get(name) as SweepRun
    const short = shortName(run)
    if (event.type === 'warning') view.warning(`${short}: ${event.text}`)
    if (event.type === 'epoch') {
      const dice = `pseudo-Dice ${formatFixed(event.mean_fg_dice, 4)}, EMA ${formatFixed(event.ema_fg_dice, 4)}`
      const loss = `train loss ${formatFixed(event.train_loss, 4)}, val loss ${formatFixed(event.val_loss, 4)}`
      view.logged(
        `${short}: epoch ${event.epoch + 1}/${run.epochs}, ${loss}, ${dice}, ${formatFixed(event.seconds, 1)} s`,
      )
    }
  }
}

/** 4/3d_fullres/0 */
export const shortName = ({ dataset, configuration, fold }: Pick<SweepRun, 'dataset' | 'configuration' | 'fold'>) =>
  `${Number(dataset.slice('Dataset'.length, 'Dataset'.length + 3))}/${configuration}/${fold}`

/** How many runs there are to do, and on what. */
export function beginning(runs: readonly SweepRun[], devices: readonly string[], threads: number): string[] {
  const finished = runs.filter(({ state }) => state === 'finished').length
  const resumed = runs.filter((run) => run.state === 'waiting' && run.step > 0).length
  const parts = [
    `${plural(runs.length, 'run')}`,
    ...(finished > 0 ? [`${finished} finished already`] : []),
    ...(resumed > 0 ? [`${resumed} to go on`] : []),
    `${runs.length - finished - resumed} to begin`,
  ]
  return [`${parts.join(', ')}`, `On ${devicesText(devices)}, ${plural(threads, 'thread')} a run`]
}

/** cuda:0, 2 x cpu */
function devicesText(devices: readonly string[]): string {
  const count = (device: string) => devices.filter((other) => other === device).length
  return [...new Set(devices)].map((device) => (count(device) > 1 ? `${count(device)} x ${device}` : device)).join(', ')
}

const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`

function changeOf(run: SweepRun): string {
  const short = shortName(run)
  switch (run.state) {
    case 'running':
      return run.step > 0
        ? `${short}: goes on at step ${run.step} on ${run.device}`
        : `${short}: begins on ${run.device}`
    case 'finished':
      return `${short}: finished, validation Dice ${formatFixed(run.validationDice, 4)}, ${formatDuration(run.seconds)} of training`
    case 'waiting':
      return `${short}: waits again`
    case 'stopped':
      return `${short}: saved at step ${run.step}`
    default:
      return `${short}: ${run.state}: ${run.error?.message ?? ''}`
  }
}

/** More lines than these would leave the screen of a small terminal. */
const mostRows = 18

/** A line for each run on a device, and one for the queue. */
export function panelOf(event: SweepProgressEvent, width: number, { bold, dim }: Styles): string[] {
  const running = event.runs.filter(({ state }) => state === 'running')
  const rows = running.map((run) => [
    shortName(run),
    run.device ?? '',
    run.validation ? `case ${run.validation.done}/${run.validation.total}` : `epoch ${run.epoch + 1}/${run.epochs}`,
    `Dice ${formatFixed(run.ema_fg_dice, 3)}`,
    `${formatDuration(run.secondsLeft)} left`,
  ])
  const lines = aligned(rows).map((line) => line.slice(0, width))
  const waiting = event.runs.filter(({ state }) => state === 'waiting').length
  const queue = `${event.done}/${event.total} done, ${running.length} running, ${waiting} waiting, queue ${formatDuration(event.secondsLeft)} left`
  const hidden = lines.length - mostRows
  const shown = hidden > 0 ? [...lines.slice(0, mostRows), dim(`and ${hidden} more`.slice(0, width))] : lines
  return [...shown, bold(queue.slice(0, width))]
}

function aligned(rows: readonly string[][]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] as string).length)))
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] as number))
      .join('  ')
      .trimEnd(),
  )
}

/**
 * The end of a sweep: how each of its runs ended, and what the folds of each of its configurations are worth together.
 * @param width characters in a line; paths and messages of errors may be longer
 */
export function conclusion({ runs, summaries }: SweepResult, width: number): string[] {
  const states = aligned([
    ['run', 'state', 'epoch', 'Dice', 'time'],
    ...runs.map((run) => [
      shortName(run),
      run.state,
      `${run.epoch}/${run.epochs}`,
      formatFixed(run.validationDice, 4),
      formatDuration(run.seconds),
    ]),
  ])
  const causes = runs.flatMap((run) => {
    if (run.error === null) return []
    const text = `${shortName(run)}: ${run.error.message} (${run.error.code})`
    return ['', ...text.split('\n').flatMap((line) => wrap(line, width))]
  })
  const tables = summaries.flatMap((summary) => tableOf(summary, runs, width))
  return ['', ...states, ...causes, ...tables]
}

/** Dice of each label as rows, configurations as columns; as many beside each other as fit. */
export function tableOf(
  { dataset, plans, configurations }: DatasetSummary,
  runs: readonly SweepRun[],
  width: number,
): string[] {
  const swept = configurations.filter(({ configuration }) =>
    runs.some((run) => run.dataset === dataset && run.configuration === configuration),
  )
  if (!swept.some(({ folds }) => folds.some(({ validated }) => validated))) return []
  const names = [...(swept[0] as ConfigurationSummary).labels.map(({ name }) => name), 'mean', 'cross-validation']
  const heads = ['Dice', ...names, 'folds', 'time']
  const columns = swept.map((configuration) => {
    const { labels, meanForeground, folds, seconds } = configuration
    const validated = folds.filter((fold) => fold.validated && fold.fold !== 'all').length
    return [
      configuration.configuration,
      ...labels.map(({ dice }) => spreadText(dice)),
      spreadText(meanForeground),
      formatFixed(meanForeground.crossValidation, 4),
      `${validated}/5`,
      formatDuration(seconds),
    ]
  })
  const widthOf = (column: readonly string[]) => Math.max(...column.map((cell) => cell.length))
  const lines = ['', `${dataset}, ${plans}`, 'Dice of the validation: mean +- standard deviation of the folds']
  for (let from = 0; from < columns.length; ) {
    const shown = [heads]
    let used = widthOf(heads)
    while (from < columns.length) {
      const next = columns[from] as string[]
      used += 2 + widthOf(next)
      if (used > width && shown.length > 1) break
      shown.push(next)
      from++
    }
    lines.push('', ...aligned(heads.map((_, row) => shown.map((column) => column[row] as string))))
  }
  return lines
}

/** 0.8530 +- 0.0121 */
function spreadText({ mean, standardDeviation }: Spread): string {
  const text = formatFixed(mean, 4)
  return standardDeviation === null ? text : `${text} +- ${formatFixed(standardDeviation, 4)}`
}

/** What to do with runs that are not finished, as a sentence. */
export function wayOn({ runs, stopped }: SweepResult, command: string): string | null {
  const left = runs.filter(({ state }) => state !== 'finished').length
  if (left === 0) return null
  const what = stopped ? 'Stopped' : 'Not complete'
  return `${what}: ${plural(left, 'run')} of ${runs.length} left. The same command goes on with them: ${command}`
}
