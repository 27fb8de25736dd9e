// A run folder written by hand, as a run would leave it: what the report reads.
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { parseOptions, type TrainInput, trainOptionsSchema } from '../../src/config/schema.js'

export interface FixtureOptions {
  dataset?: string
  /** Entries of dataset.json's labels, the background included. */
  labels?: Record<string, number | number[]>
  datasetJson?: Record<string, unknown>
  options?: Partial<TrainInput>
  record?: Record<string, unknown>
  epochs?: number
  /** Further lines of metrics.jsonl. */
  lines?: object[]
  /** Dice of each case by the keys of summary.json, for validation/ and validation_best/. */
  validation?: Record<string, Record<string, number>>
  validationBest?: Record<string, Record<string, number>>
}

/** A number in [0, 1) that looks random and is the same for the same index. */
export const noiseAt = (index: number): number => {
  const value = Math.sin(index * 12.9898 + 4.1) * 43758.5453
  return value - Math.floor(value)
}

/** The epoch line with this number (from 0) of a run with so many labels. */
export function epochLine(epoch: number, labels: number) {
  const rise = 1 - Math.exp(-epoch / 40)
  const dice = Array.from({ length: labels }, (_, index) => 0.9 * rise - 0.02 * index * noiseAt(epoch + 31 * index))
  return {
    type: 'epoch',
    epoch,
    step: 10 * (epoch + 1),
    lr: 0.01 / (epoch + 1),
    train_loss: -rise + 0.1 * noiseAt(epoch),
    val_loss: epoch % 7 === 3 ? null : -rise + 0.2 * noiseAt(epoch + 0.5),
    dice_per_class: dice,
    mean_fg_dice: dice[0] ?? null,
    ema_fg_dice: 0.9 * rise - 0.01 * noiseAt(epoch),
    seconds: 12.5 + noiseAt(epoch),
    step_ms: { p50: 100 + noiseAt(epoch), p95: 140 },
    data_ms: { p50: 10, p95: 20 },
    skipped_steps: 0,
    memory: {
      resident_bytes: 3 * 2 ** 30,
      peak_resident_bytes: 3.5 * 2 ** 30,
      device_bytes: null,
      peak_device_bytes: null,
    },
    file_descriptors: 30,
    threads: 4,
  }
}

/**
 * Writes model/fold_0 below a folder, with dataset.json beside it.
 * @returns the run folder
 */
export function writeRunFixture(root: string, fixture: FixtureOptions = {}): string {
  const {
    dataset = 'Dataset009_Boxes',
    labels = { background: 0, front: 1, back: 2 },
    datasetJson = {},
    options = {},
    record = {},
    epochs = 30,
    lines = [],
  } = fixture
  const run = path.join(root, 'fold_0')
  mkdirSync(run, { recursive: true })
  writeFileSync(
    path.join(root, 'dataset.json'),
    JSON.stringify({ channel_names: { '0': 'MRI' }, labels, numTraining: 6, file_ending: '.nii.gz', ...datasetJson }),
  )
  const foreground = Object.keys(labels).filter((name) => name !== 'background' && name !== 'ignore').length
  const metrics = Array.from({ length: epochs }, (_, epoch) => epochLine(epoch, foreground))
  const input = {
    dataset,
    configuration: '3d_fullres',
    fold: 0,
    budget: { epochs: 1000, stepsPerEpoch: 10 },
    ...options,
  } as TrainInput
  const content = {
    format: 1,
    id: 'fixture',
    status: 'finished',
    reason: 'completed',
    error: null,
    dataset,
    options: parseOptions(trainOptionsSchema, input, 'fixture'),
    resolved: {
      batchSize: 2,
      patchSize: [16, 24, 16],
      precision: 'float32',
      network: {
        architecture: 'PlainConvUNet',
        dimensions: 3,
        featuresPerStage: [8, 16],
        inputChannels: 1,
        outputChannels: 3,
      },
    },
    versions: { voxgrad: '0.1.0', node: '20.0.0', libtorch: '2.9.0' },
    seed: '12345',
    device: 'cpu',
    threads: 2,
    epoch: epochs,
    step: 10 * epochs,
    processId: 1,
    startedAt: '2026-01-02T03:04:05.000Z',
    updatedAt: '2026-01-02T05:04:05.000Z',
    ...record,
  }
  writeFileSync(path.join(run, 'run.json'), JSON.stringify(content))
  writeFileSync(
    path.join(run, 'metrics.jsonl'),
    [...metrics, ...lines].map((line) => `${JSON.stringify(line)}\n`).join(''),
  )
  if (fixture.validation) writeSummary(path.join(run, 'validation'), fixture.validation)
  if (fixture.validationBest) writeSummary(path.join(run, 'validation_best'), fixture.validationBest)
  return run
}

/** summary.json with bare NaN tokens where a case has no Dice, as Python writes it. */
function writeSummary(folder: string, cases: Record<string, Record<string, number>>): void {
  mkdirSync(folder, { recursive: true })
  const keys = [...new Set(Object.values(cases).flatMap(Object.keys))]
  const meanOf = (values: number[]) => {
    const known = values.filter((value) => !Number.isNaN(value))
    return known.reduce((sum, value) => sum + value, 0) / known.length
  }
  const means = Object.fromEntries(
    keys.map((key) => [key, { Dice: meanOf(Object.values(cases).map((dice) => dice[key] ?? Number.NaN)) }]),
  )
  const summary = {
    foreground_mean: { Dice: meanOf(Object.values(means).map(({ Dice }) => Dice)) },
    mean: means,
    metric_per_case: Object.entries(cases).map(([name, dice]) => ({
      metrics: Object.fromEntries(Object.entries(dice).map(([key, Dice]) => [key, { Dice }])),
      prediction_file: path.join(folder, `${name}.nii.gz`),
      reference_file: `/nowhere/${name}.nii.gz`,
    })),
  }
  const text = JSON.stringify(summary, (_, value) => (Number.isNaN(value) ? 'not a number' : value))
  writeFileSync(path.join(folder, 'summary.json'), text.replaceAll('"not a number"', 'NaN'))
}
