// What the folds of a dataset's configurations are worth together: mean and spread of their validation Dice, and the
// cross-validation over all cases; read from the run folders, whoever trained them, and written beside them.
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { readDatasetJson, type Target } from '../dataset/dataset-json.js'
import { readJson, writeJson } from '../files.js'
import type { EpochCurve } from '../train/events.js'
import { readOverview } from '../train/overview.js'
import { type MetricsLine, RunFolder } from '../train/run-folder.js'
import type { LabelMetrics } from '../validate/metrics.js'
import { summarize } from '../validate/summary.js'

/** A number that each fold has: mean and sample standard deviation over the folds that have it. */
export interface Spread {
  mean: number | null
  /** null for fewer than two folds. */
  standardDeviation: number | null
  /** Mean over the cases of all folds, as nnU-Net's cross-validation takes it; null until folds 0 to 4 are validated. */
  crossValidation: number | null
}

/** One fold of a configuration. */
export interface FoldSummary {
  fold: number | 'all'
  folder: string
  /** As `voxgrad status` says it; `validated` tells whether there is a validation to count. */
  status: string
  error: string | null
  validated: boolean
  epochs: number
  /** Of training. */
  seconds: number
  /** Mean foreground Dice of its validation, and that of each label. */
  dice: number | null
  labels: (number | null)[]
}

/** One configuration of the plans, cross-validated as far as its folds are. */
export interface ConfigurationSummary {
  configuration: string
  /** Names of the foreground labels or regions, with their Dice. */
  labels: { name: string; dice: Spread }[]
  meanForeground: Spread
  folds: FoldSummary[]
  /** Of training, all folds together. */
  seconds: number
}

/** The file sweep_PLANS.json below the results of a dataset. */
export interface DatasetSummary {
  format: 1
  dataset: string
  plans: string
  updatedAt: string
  configurations: ConfigurationSummary[]
}

/** The file of a dataset's summary. */
export const summaryFile = (results: string, dataset: string, plans: string): string =>
  path.join(results, dataset, `sweep_${plans}.json`)

/**
 * Summarizes every configuration of a dataset that has runs with these plans.
 * @param results the root of results
 * @throws VoxgradError where a file of a run is damaged
 */
export async function summarizeDataset(results: string, dataset: string, plans: string): Promise<DatasetSummary> {
  const folder = path.join(results, dataset)
  const start = `voxgrad__${plans}__`
  const names = existsSync(folder) ? (await readdir(folder)).filter((name) => name.startsWith(start)).sort() : []
  const configurations: ConfigurationSummary[] = []
  for (const name of names) {
    const summary = await summarizeConfiguration(path.join(folder, name), name.slice(start.length))
    if (summary.folds.length > 0) configurations.push(summary)
  }
  return { format: 1, dataset, plans, updatedAt: new Date().toISOString(), configurations }
}

/** Writes a summary. Throws VoxgradError ERR_DISK. */
export const writeSummary = (results: string, summary: DatasetSummary): Promise<void> =>
  writeJson(summaryFile(results, summary.dataset, summary.plans), summary)

interface Validated {
  summary: FoldSummary
  /** Metrics of each case under the keys of summary.json. */
  cases: { metrics: Map<string, LabelMetrics>; predictionFile: string; referenceFile: string }[]
}

async function summarizeConfiguration(model: string, configuration: string): Promise<ConfigurationSummary> {
  const file = path.join(model, 'dataset.json')
  const targets = existsSync(file) ? (await readDatasetJson(file)).targets : []
  const entries = (await readdir(model)).filter((name) => /^fold_([0-4]|all)$/.test(name)).sort()
  const folds: Validated[] = []
  for (const name of entries) {
    const run = new RunFolder(path.join(model, name))
    if (existsSync(run.recordFile)) folds.push(await summarizeFold(run, foldOf(name), targets))
  }
  // Fold "all" is validated on cases that it was trained on.
  const counted = folds.filter(({ summary }) => summary.validated && summary.fold !== 'all')
  const pooled =
    counted.length === 5
      ? summarize(
          counted.flatMap(({ cases }) => cases),
          targets.map(keyOf),
        )
      : null
  const spread = (ofFold: (fold: FoldSummary) => number | null, crossValidation: number | undefined): Spread => ({
    ...spreadOf(counted.map(({ summary }) => ofFold(summary))),
    crossValidation: finiteOrNull(crossValidation),
  })
  return {
    configuration,
    labels: targets.map((target, index) => ({
      name: target.name,
      dice: spread(({ labels }) => labels[index] ?? null, pooled?.mean.get(target.key)?.Dice),
    })),
    meanForeground: spread(({ dice }) => dice, pooled?.foregroundMean.Dice),
    folds: folds.map(({ summary }) => summary),
    seconds: folds.reduce((sum, { summary }) => sum + summary.seconds, 0),
  }
}

const foldOf = (name: string): number | 'all' => (name === 'fold_all' ? 'all' : Number(name.slice('fold_'.length)))

const keyOf = ({ key }: Target): string => key

interface SummaryJson {
  foreground_mean: LabelMetrics
  mean: Record<string, LabelMetrics>
  metric_per_case: { metrics: Record<string, LabelMetrics>; prediction_file: string; reference_file: string }[]
}

async function summarizeFold(run: RunFolder, fold: number | 'all', targets: readonly Target[]): Promise<Validated> {
  const { status, error, epoch } = await readOverview(run)
  // Of the final weights, else of the best.
  const files = (['final', 'best'] as const).map((name) => path.join(run.validation(name), 'summary.json'))
  const file = status === 'finished' ? files.find((one) => existsSync(one)) : undefined
  const found = file === undefined ? undefined : ((await readJson(file, 'summary.json')) as SummaryJson)
  const summary: FoldSummary = {
    fold,
    folder: run.folder,
    status,
    error,
    validated: found !== undefined,
    epochs: epoch,
    seconds: trainingSeconds(await run.readMetrics()),
    dice: finiteOrNull(found?.foreground_mean.Dice),
    labels: targets.map(({ key }) => finiteOrNull(found?.mean[key]?.Dice)),
  }
  const cases = (found?.metric_per_case ?? []).map(({ metrics, prediction_file, reference_file }) => ({
    metrics: new Map(Object.entries(metrics)),
    predictionFile: prediction_file,
    referenceFile: reference_file,
  }))
  return { summary, cases }
}

/** Of all finished epochs. */
export const trainingSeconds = (metrics: readonly MetricsLine[]): number =>
  metrics.filter((line): line is EpochCurve => line.type === 'epoch').reduce((sum, { seconds }) => sum + seconds, 0)

const finiteOrNull = (value: number | undefined): number | null =>
  value !== undefined && Number.isFinite(value) ? value : null

/** Mean and sample standard deviation of what is known. */
export function spreadOf(values: readonly (number | null)[]): Omit<Spread, 'crossValidation'> {
  const known = values.filter((value) => value !== null)
  if (known.length === 0) return { mean: null, standardDeviation: null }
  const mean = known.reduce((sum, value) => sum + value, 0) / known.length
  const squares = known.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  return { mean, standardDeviation: known.length < 2 ? null : Math.sqrt(squares / (known.length - 1)) }
}
