// Which checkpoint a run goes on from, which lines of metrics.jsonl stay, and the state's way through a checkpoint.
import { expect, test } from 'vitest'
import type { CheckpointName } from '../../src/config/schema.js'
import {
  checkpointEntries,
  emptyLogging,
  epochCurveOf,
  logEpoch,
  readCheckpointEntries,
} from '../../src/train/checkpoint.js'
import type { EpochLine } from '../../src/train/events.js'
import { initialState, type PolicyState } from '../../src/train/policy.js'
import { type Candidate, chooseCheckpoint } from '../../src/train/resume.js'
import { type MetricsLine, metricsUntil } from '../../src/train/run-folder.js'

const candidate = (name: CheckpointName, epoch: number, step: number, stoppedEarly = false): Candidate => ({
  name,
  state: { ...initialState, epoch, step, stoppedEarly },
})
const latest = candidate('latest', 3, 35)
const best = candidate('best', 2, 20)
const damaged: Candidate = { name: 'final', fault: 'record 3 fails its checksum' }

test.each<{ candidates: Candidate[]; from?: 'newest' | 'best'; name: string | null; text: RegExp }>([
  { candidates: [], name: null, text: /starts from step 0/ },
  { candidates: [best, latest], name: 'latest', text: /checkpoint_latest at step 35; checkpoint_best is at step 20/ },
  { candidates: [candidate('latest', 3, 10), best], name: 'best', text: /at step 20/ },
  { candidates: [damaged, latest], name: 'latest', text: /checkpoint_final is passed over \(record 3/ },
  { candidates: [damaged], name: null, text: /No whole checkpoint; checkpoint_final is passed over/ },
  { candidates: [best, latest], from: 'best', name: 'best', text: /^Resuming from checkpoint_best at step 20$/ },
  { candidates: [candidate('latest', 1, 20), best], name: 'best', text: /checkpoint_latest is at step 20/ },
  { candidates: [candidate('final', 2, 20), best], name: 'final', text: /at step 20/ },
  // The run was made longer after early stopping had ended it.
  { candidates: [candidate('final', 2, 20, true), candidate('latest', 2, 20)], name: 'latest', text: /at step 20/ },
])('chooses $name', ({ candidates, from = 'newest', name, text }) => {
  const choice = chooseCheckpoint(candidates, from)
  expect(choice.name).toBe(name)
  expect(choice.text).toMatch(text)
})

const line: EpochLine = {
  type: 'epoch',
  epoch: 0,
  step: 10,
  lr: 0.01,
  train_loss: null,
  val_loss: 0.5,
  dice_per_class: [0.5, null],
  mean_fg_dice: 0.5,
  ema_fg_dice: 0.5,
  seconds: 1,
  step_ms: { p50: 1, p95: 1 },
  data_ms: { p50: 1, p95: 1 },
  skipped_steps: 0,
  memory: { resident_bytes: 1, peak_resident_bytes: 1, device_bytes: null, peak_device_bytes: null },
  file_descriptors: 20,
  threads: 10,
}

test('lines after the checkpoint go, also those of an epoch whose validation was not done', () => {
  const lines: MetricsLine[] = [
    line,
    { type: 'new_best', epoch: 0, step: 10, metric: 'ema_fg_dice', value: 0.5 },
    { type: 'warning', text: 'slow disk' },
    { ...line, epoch: 1, step: 20 },
    { type: 'checkpoint', file: 'checkpoint_latest.pth', epoch: 2, step: 24, stall_ms: 1, write_ms: 9 },
    { ...line, epoch: 2, step: 30 },
  ]
  const types = (from: { epoch: number; step: number }) => metricsUntil(lines, from).map(({ type }) => type)
  expect(types({ epoch: 2, step: 24 })).toEqual(['epoch', 'new_best', 'warning', 'epoch', 'checkpoint'])
  expect(types({ epoch: 1, step: 20 })).toEqual(['epoch', 'new_best', 'warning'])
  expect(types({ epoch: 0, step: 0 })).toEqual(['warning'])
})

test('an epoch that stands there twice, after a write that failed and was repeated, stays once', () => {
  const kept = metricsUntil([line, line, { ...line, epoch: 1 }], { epoch: 2, step: 20 })
  expect(kept.map((one) => one.type === 'epoch' && one.epoch)).toEqual([0, 1])
})

test('the state comes back from a checkpoint as it was', () => {
  const context = {
    plans: {},
    datasetJson: {},
    configuration: '3d_fullres',
    fold: 0,
    device: 'cpu',
    trainer: 'nnUNetTrainer',
    mirrorAxes: [],
    runId: 'a',
    seed: '1',
    versions: {},
  }
  const state: PolicyState = {
    epoch: 1,
    step: 13,
    partial: {
      steps: 3,
      lossSum: 0.1 + 0.2,
      finiteSteps: 2,
      skippedSteps: 1,
      seconds: 1.5,
      stepMs: [1, 2, 3],
      dataMs: [0.1, 0.2, 0.3],
      startedAt: 100.25,
    },
    best: { ema: 0.5, labelEma: 0.25, best: 0.5, bestEpoch: 0 },
    patience: { reference: 0.5, epochs: 4 },
    annealing: { from: 10, steps: 30 },
    stoppedEarly: true,
    nonFinite: { inARow: 2, redraws: 1, reloads: 1, failedAt: 9 },
    noted: ['slow_data'],
    savedEpoch: 1,
  }
  const logging = emptyLogging()
  logEpoch(logging, line, 1, 2)
  const entries = checkpointEntries(context, state, logging)
  expect(entries.inference_allowed_mirroring_axes).toBeNull()
  expect(Object.values(logging).map((list) => list.length)).toEqual(new Array(8).fill(1))
  expect(logging.train_losses[0]).toBeNaN()
  expect(readCheckpointEntries(entries, 'checkpoint', 250)).toEqual({ state, logging, runId: 'a' })
})

test("of nnU-Net's checkpoint the epochs are known, and what follows from them", () => {
  const lists = (values: number[]) => ({
    ...emptyLogging(),
    ...Object.fromEntries(Object.keys(emptyLogging()).map((name) => [name, values])),
    dice_per_class_or_region: values.map((value) => [value, Number.NaN]),
  })
  const logging = lists([0.5, 0.6, 0.55])
  const entries = { current_epoch: 2, _best_ema: 0.6, logging, trainer_name: 'nnUNetTrainer' }
  const found = readCheckpointEntries(entries, 'checkpoint', 250)
  expect(found.runId).toBeNull()
  expect(found.state).toMatchObject({ epoch: 2, step: 500, best: { ema: 0.6, best: 0.6, bestEpoch: 1 }, savedEpoch: 2 })
  expect(found.logging.train_losses).toEqual([0.5, 0.6])
  expect(epochCurveOf(found.logging, 250)).toMatchObject([
    { epoch: 0, step: 250, mean_fg_dice: 0.5, dice_per_class: [0.5, null] },
    { epoch: 1, step: 500, ema_fg_dice: 0.6 },
  ])
})

test('a file of neither is refused by name', () => {
  expect(() => readCheckpointEntries({ weights: {} }, 'run/checkpoint_latest.pth', 250)).toThrow(
    /run\/checkpoint_latest.pth: expected a checkpoint of voxgrad or nnU-Net .* found only weights/,
  )
})
