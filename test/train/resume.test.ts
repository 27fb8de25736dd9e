// Which checkpoint a run goes on from, which lines of metrics.jsonl stay, and the state's way through a checkpoint.
import { expect, test } from 'vitest'
import { checkpointEntries, emptyLogging, logEpoch, readCheckpointEntries } from '../../src/train/checkpoint.js'
import type { EpochLine } from '../../src/train/events.js'
import { initialState } from '../../src/train/policy.js'
import { type Candidate, chooseCheckpoint } from '../../src/train/resume.js'
import { type MetricsLine, metricsUntil } from '../../src/train/run-folder.js'

const latest = { name: 'latest', epoch: 3, step: 35 } as const
const best: Candidate = { name: 'best', epoch: 2, step: 20 }
const damaged: Candidate = { name: 'final', fault: 'record 3 fails its checksum' }

test.each<{ candidates: Candidate[]; from?: 'newest' | 'best'; name: string | null; text: RegExp }>([
  { candidates: [], name: null, text: /starts from step 0/ },
  { candidates: [best, latest], name: 'latest', text: /checkpoint_latest at step 35; checkpoint_best is at step 20/ },
  { candidates: [{ ...latest, step: 10 }, best], name: 'best', text: /at step 20/ },
  { candidates: [damaged, latest], name: 'latest', text: /checkpoint_final is damaged \(record 3/ },
  { candidates: [damaged], name: null, text: /No whole checkpoint; checkpoint_final is damaged/ },
  { candidates: [best, latest], from: 'best', name: 'best', text: /^Resuming from checkpoint_best at step 20$/ },
  { candidates: [{ ...latest, epoch: 1, step: 20 }, best], name: 'best', text: /checkpoint_latest is at step 20/ },
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
  memory: { resident_bytes: 1, peak_resident_bytes: 1 },
}

test('lines after the checkpoint go, also those of an epoch whose validation was not done', () => {
  const lines: MetricsLine[] = [
    line,
    { type: 'new_best', epoch: 0, step: 10, ema_fg_dice: 0.5 },
    { type: 'warning', text: 'slow disk' },
    { ...line, epoch: 1, step: 20 },
    { type: 'checkpoint', file: 'checkpoint_latest.pth', epoch: 2, step: 24 },
    { ...line, epoch: 2, step: 30 },
  ]
  const types = (from: { epoch: number; step: number }) => metricsUntil(lines, from).map(({ type }) => type)
  expect(types({ epoch: 2, step: 24 })).toEqual(['epoch', 'new_best', 'warning', 'epoch', 'checkpoint'])
  expect(types({ epoch: 1, step: 20 })).toEqual(['epoch', 'new_best', 'warning'])
  expect(types({ epoch: 0, step: 0 })).toEqual(['warning'])
})

test('the state comes back from a checkpoint as it was', () => {
  const context = {
    plans: {},
    datasetJson: {},
    configuration: '3d_fullres',
    fold: 0,
    device: 'cpu',
    mirrorAxes: [],
    seed: '1',
    versions: {},
  }
  const state = {
    ...initialState,
    epoch: 1,
    step: 13,
    partial: { steps: 3, lossSum: 0.1 + 0.2, seconds: 1.5, stepMs: [1, 2, 3], startedAt: 100.25 },
    best: { ema: 0.5, best: 0.5 },
  }
  const logging = logEpoch(emptyLogging(), line, 1, 2)
  const entries = checkpointEntries(context, state, logging)
  expect(entries.inference_allowed_mirroring_axes).toBeNull()
  expect(Object.values(logging).map((list) => list.length)).toEqual(new Array(8).fill(1))
  expect(logging.train_losses[0]).toBeNaN()
  expect(readCheckpointEntries(entries, 'checkpoint').state).toEqual(state)

  const broken = { ...state, partial: { ...state.partial, lossSum: Number.NaN } }
  const back = readCheckpointEntries(checkpointEntries(context, broken, logging), 'checkpoint')
  expect(back.state.partial.lossSum).toBeNaN()
})

test("a checkpoint without voxgrad's state is refused by name", () => {
  expect(() => readCheckpointEntries({ logging: {} }, 'run/checkpoint_latest.pth')).toThrow(
    /run\/checkpoint_latest.pth: expected a checkpoint of voxgrad/,
  )
})
