// Turns the events of a run into lines, table rows and bars, or into JSON lines.
import path from 'node:path'
import { formatBytes, formatFixed } from '../report/format.js'
import { Pace } from '../report/pace.js'
import type {
  EpochLine,
  ProgressEvent,
  RunEvent,
  RunResult,
  RunStartedEvent,
  ValidationFinishedEvent,
} from '../train/events.js'
import type { Context } from './context.js'

const caseTitles = { validation_progress: 'validation', prediction_progress: 'prediction' }

/** Shows the events of one run in order. */
export class RunReport {
  readonly #context: Pick<Context, 'view' | 'json'>
  readonly #now: () => number
  readonly #pace = new Pace()
  #secondsLeft: number | null = null
  /** An epoch waits for the events after it, one of which may say that it is the best so far. */
  #waiting: EpochLine | undefined
  #lastEpoch: EpochLine | undefined
  #bestEpoch = -1
  #validationStarted = 0
  /** Of the last epoch, to foretell the end of the next. */
  #validationSeconds = 0

  constructor(context: Pick<Context, 'view' | 'json'>, now: () => number = () => performance.now() / 1000) {
    this.#context = context
    this.#now = now
  }

  show(event: RunEvent): void {
    const { view, json } = this.#context
    if ('done' in event) json?.writeProgress(event)
    else json?.write(event)
    if (event.type === 'new_best') this.#bestEpoch = event.epoch
    if (event.type !== 'checkpoint' && event.type !== 'new_best') this.#flushEpoch()
    switch (event.type) {
      case 'preparing':
        view.progress({
          title: event.stage,
          done: event.done,
          total: event.total,
          unit: 'case',
          secondsLeft: event.secondsLeft ?? null,
        })
        if (event.total > 0 && event.done >= event.total) view.close()
        break
      case 'run_started':
        this.#showStart(event)
        break
      case 'progress':
        this.#showProgress(event)
        break
      case 'epoch':
        this.#waiting = event
        this.#lastEpoch = event
        break
      case 'validation_progress':
      case 'prediction_progress':
        view.progress({
          title: caseTitles[event.type],
          done: event.done,
          total: event.total,
          unit: 'case',
          detail: event.caseId,
          secondsLeft: event.secondsLeft,
        })
        break
      case 'validation_finished':
        view.close()
        this.#showValidation(event)
        break
      case 'prediction_finished':
        view.close()
        view.message(`${event.cases} case${event.cases === 1 ? '' : 's'} predicted into ${event.output}`)
        break
      case 'resume':
      case 'annealing':
      case 'advice':
      case 'log':
        view.message(event.text)
        break
      case 'warning':
        view.warning(event.text)
        break
      case 'stop':
        view.close()
        view.message(event.text)
        break
      case 'run_finished':
        view.close()
        this.#showEnd(event.result)
    }
  }

  close(): void {
    this.#flushEpoch()
    this.#context.view.close()
  }

  #showStart(event: RunStartedEvent): void {
    const { view } = this.#context
    const cases = `${event.trainingCases} training and ${event.validationCases} validation cases`
    view.message(`${event.dataset}, ${event.configuration}, ${event.plans}, fold ${event.fold}: ${cases}`)
    view.message(`${event.budget}`)
    view.message(
      `${event.device}, ${event.threads} thread${event.threads === 1 ? '' : 's'}, seed ${event.seed}; run folder ${event.folder}`,
    )
    if (event.step > 0) view.message(`Going on at step ${event.step} of ${event.totalSteps}.`)
    view.table({ epochs: event.epochs, labels: event.labels.map((label) => label.name) })
  }

  #showProgress(event: ProgressEvent): void {
    const isTraining = event.job === 'training'
    const now = this.#now()
    const title = `epoch ${event.epoch + 1}/${event.epochs}${isTraining ? '' : ' validation'}`
    if (isTraining) this.#validationStarted = 0
    else this.#validationStarted ||= now
    if (!isTraining) this.#validationSeconds = now - this.#validationStarted
    const pace = this.#pace.update(title, event.done, now)
    const rest = pace > 0 ? (event.total - event.done) / pace : null
    this.#secondsLeft = event.secondsLeft
    this.#context.view.progress({
      title,
      done: event.done,
      total: event.total,
      unit: isTraining ? 'step' : 'batch',
      ...(isTraining && event.loss !== null ? { detail: `loss ${formatFixed(event.loss, 3)}` } : {}),
      facts: this.#factsOf(event),
      secondsLeft: rest === null ? null : rest + (isTraining ? this.#validationSeconds : 0),
      totalSecondsLeft: event.secondsLeft,
      budgetSecondsLeft: event.budgetSecondsLeft,
    })
  }

  /** The losses of the last epoch, and the memory of the device, or else of the process. */
  #factsOf({ memory }: ProgressEvent): string[] {
    const { device_bytes: device, resident_bytes: host } = memory
    const last = this.#lastEpoch
    return [
      ...(last ? [`last train ${formatFixed(last.train_loss, 3)}, val ${formatFixed(last.val_loss, 3)}`] : []),
      device === null ? `memory ${formatBytes(host)}` : `GPU ${formatBytes(device)}, host ${formatBytes(host)}`,
    ]
  }

  #flushEpoch(): void {
    const line = this.#waiting
    if (!line) return
    this.#waiting = undefined
    this.#context.view.epoch({
      epoch: line.epoch,
      trainLoss: line.train_loss,
      valLoss: line.val_loss,
      dicePerLabel: line.dice_per_class,
      ema: line.ema_fg_dice,
      isBest: this.#bestEpoch === line.epoch,
      learningRate: line.lr,
      seconds: line.seconds,
      secondsLeft: this.#secondsLeft,
    })
  }

  #showValidation(event: ValidationFinishedEvent): void {
    const { view } = this.#context
    const width = Math.max(...event.labels.map((label) => label.name.length), 15)
    view.message(`Validation of the ${event.checkpoint} model, Dice:`)
    for (const label of event.labels) view.message(`  ${label.name.padEnd(width)}  ${formatFixed(label.dice, 4)}`)
    view.message(`  ${'mean foreground'.padEnd(width)}  ${formatFixed(event.meanForegroundDice, 4)}`)
    view.message(`  every case: ${event.summary}`)
  }

  #showEnd(result: RunResult): void {
    const { view } = this.#context
    const { folder } = result
    if (folder === '') {
      view.message('Stopped before the run was begun; there is nothing to resume.')
      return
    }
    if (result.status === 'stopped') {
      view.message(`The run is saved at step ${result.step}. Go on with: voxgrad resume ${folder}`)
      return
    }
    if (result.validations.length > 1) {
      const found = result.validations.map(
        ({ checkpoint, meanForegroundDice }) => `${checkpoint} ${formatFixed(meanForegroundDice, 4)}`,
      )
      view.message(`Mean foreground Dice side by side: ${found.join(', ')}`)
    }
    view.message(`Done: ${result.epochs} epochs, ${result.step} steps. Report: ${path.join(folder, 'report.html')}`)
  }
}
