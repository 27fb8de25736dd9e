// A run's events on the command line: what is shown, JSON lines, signals and exit codes.
import { afterEach, expect, test, vi } from 'vitest'
import { exitCodeOf, follow } from '../../src/cli/follow.js'
import { RunReport } from '../../src/cli/run-report.js'
import { stopOnSignals } from '../../src/cli/signals.js'
import { VoxgradError } from '../../src/errors.js'
import { JsonLines } from '../../src/report/json.js'
import { LinesView } from '../../src/report/lines.js'
import type { EpochLine, ProgressEvent, RunEvent, RunResult, RunStartedEvent } from '../../src/train/events.js'
import { startJob } from '../../src/train/job.js'

const labels = [
  { name: 'Anterior', value: 1 },
  { name: 'Posterior', value: 2 },
]
const started: RunStartedEvent = {
  type: 'run_started',
  dataset: 'Dataset004_Hippocampus',
  configuration: '3d_fullres',
  plans: 'nnUNetPlansTiny',
  fold: 0,
  folder: '/runs/fold_0',
  device: 'cpu',
  threads: 2,
  seed: '1',
  trainingCases: 8,
  validationCases: 2,
  labels,
  epochs: 2,
  stepsPerEpoch: 10,
  totalSteps: 20,
  step: 0,
  budget: '2 epochs x 10 steps = 20 steps',
  hangSeconds: 60,
}
const progress: ProgressEvent = {
  type: 'progress',
  job: 'training',
  epoch: 0,
  epochs: 2,
  done: 10,
  total: 10,
  step: 10,
  totalSteps: 20,
  loss: -0.4,
  secondsLeft: 65,
  budgetSecondsLeft: null,
  memory: { resident_bytes: 300 * 2 ** 20, device_bytes: null },
}
const epoch = (index: number): EpochLine => ({
  type: 'epoch',
  epoch: index,
  step: 10 * (index + 1),
  lr: 0.01,
  train_loss: -0.5,
  val_loss: null,
  dice_per_class: [0.8, null],
  mean_fg_dice: 0.8,
  ema_fg_dice: 0.7,
  seconds: 3.25,
  step_ms: { p50: 1, p95: 2 },
  data_ms: { p50: 1, p95: 1 },
  skipped_steps: 0,
  memory: { resident_bytes: 1, peak_resident_bytes: 1, device_bytes: null, peak_device_bytes: null },
  file_descriptors: 20,
  threads: 10,
})
const events: RunEvent[] = [
  started,
  progress,
  epoch(0),
  { type: 'checkpoint', file: 'checkpoint_best.pth', epoch: 0, step: 10, stall_ms: 1, write_ms: 9 },
  { type: 'new_best', epoch: 0, step: 10, metric: 'ema_fg_dice', value: 0.7 },
  epoch(1),
  {
    type: 'validation_finished',
    checkpoint: 'final',
    summary: '/runs/fold_0/validation/summary.json',
    labels: labels.map((label, index) => ({ ...label, dice: index === 0 ? 0.9 : null })),
    meanForegroundDice: 0.9,
  },
]

class Capture {
  text = ''
  write(text: string): void {
    this.text += text
  }
}
function capture() {
  const lines = new Capture()
  const json = new Capture()
  const view = new LinesView(lines, false, () => 0)
  return { lines, json, context: { view, json: new JsonLines(json, () => 0), folders: {} as never, folderOptions: {} } }
}

afterEach(() => {
  vi.restoreAllMocks()
})

test('events become lines for people; an epoch is marked best by the event after it', () => {
  const { lines, context } = capture()
  const report = new RunReport(context, () => 0)
  for (const event of events) report.show(event)
  report.close()
  const dice = 'pseudo-Dice Anterior 0.8000, Posterior -'
  expect(lines.text.split('\n')).toEqual([
    'Dataset004_Hippocampus, 3d_fullres, nnUNetPlansTiny, fold 0: 8 training and 2 validation cases',
    '2 epochs x 10 steps = 20 steps',
    'cpu, 2 threads, seed 1; run folder /runs/fold_0',
    `epoch 1/2: train loss -0.5000, val loss -, ${dice}, EMA 0.7000, lr 0.01, 3.3 s, 1m05s left, new best`,
    `epoch 2/2: train loss -0.5000, val loss -, ${dice}, EMA 0.7000, lr 0.01, 3.3 s, 1m05s left`,
    'Validation of the final model, Dice:',
    '  Anterior         0.9000',
    '  Posterior        -',
    '  mean foreground  0.9000',
    '  every case: /runs/fold_0/validation/summary.json',
    '',
  ])
})

test('JSON lines are the events themselves, with progress thinned', () => {
  const { json, context } = capture()
  const report = new RunReport(context, () => 0)
  for (const event of events) report.show(event)
  for (let done = 0; done < 10; done++) {
    report.show({ type: 'validation_progress', caseId: 'a', done, total: 10, secondsLeft: null })
  }
  const written = json.text.trimEnd().split('\n')
  expect(written.map((line) => JSON.parse(line) as RunEvent)).toEqual(events)
})

const result = (status: RunResult['status'], reason: RunResult['reason']): RunResult => ({
  status,
  reason,
  folder: '/runs/fold_0',
  epochs: 1,
  step: 10,
  validations: [],
})

test('exit codes: 0 for a finished run, early stopping included, and 75 for a resumable one', () => {
  expect(exitCodeOf(result('finished', 'completed'))).toBe(0)
  expect(exitCodeOf(result('finished', 'early_stopping'))).toBe(0)
  expect(exitCodeOf(result('stopped', 'signal'))).toBe(75)
  expect(exitCodeOf(result('stopped', 'time_budget'))).toBe(75)
})

test('the first signal stops the run with a word on how to go on', async () => {
  const { lines, context } = capture()
  const run = startJob<RunResult>(async ({ emit, stopping }) => {
    await new Promise((resolve) => stopping.addEventListener('abort', resolve))
    emit({ type: 'run_finished', result: result('stopped', 'signal') })
    return result('stopped', 'signal')
  })
  setTimeout(() => process.emit('SIGTERM', 'SIGTERM'), 20)
  const before = process.listenerCount('SIGTERM')
  expect(exitCodeOf(await follow(run, context))).toBe(75)
  expect(lines.text).toContain('warning: SIGTERM: ending after the current step')
  expect(lines.text).toContain('The run is saved at step 10. Go on with: voxgrad resume /runs/fold_0')
  expect(process.listenerCount('SIGTERM')).toBe(before)
})

test('the same signal within a second counts once; a second Ctrl-C exits with 130', () => {
  const stop = vi.fn()
  const exit = vi.spyOn(process, 'exit').mockImplementation((() => undefined) as never)
  let now = 10_000
  vi.spyOn(performance, 'now').mockImplementation(() => now)
  const release = stopOnSignals(stop, capture().context.view, 'ending')
  process.emit('SIGINT', 'SIGINT')
  now += 900
  process.emit('SIGINT', 'SIGINT')
  expect(exit).not.toHaveBeenCalled()
  now += 1100
  process.emit('SIGINT', 'SIGINT')
  expect(exit).toHaveBeenCalledWith(130)
  expect(stop).toHaveBeenCalledTimes(1)
  release()
})

test('a failing run passes its error on', async () => {
  const run = startJob<RunResult>(async () => {
    throw new VoxgradError('ERR_DISK', 'no space')
  })
  await expect(follow(run, capture().context)).rejects.toMatchObject({ code: 'ERR_DISK' })
})
