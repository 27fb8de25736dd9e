// Everything that a report shows, read from a run folder: plain data, without any markup.
import { existsSync } from 'node:fs'
import path from 'node:path'
import { type CheckpointName, parseOptions, type TrainOptions, trainOptionsSchema } from '../../config/schema.js'
import { type DatasetJson, readDatasetJson, type Target } from '../../dataset/dataset-json.js'
import { readJson } from '../../files.js'
import { type Advice, advise, trainingOf } from '../../train/advice.js'
import type { EpochLine } from '../../train/events.js'
import { type RunOverview, readOverview } from '../../train/overview.js'
import { type MetricsLine, RunFolder, type RunRecord } from '../../train/run-folder.js'

/** An epoch of metrics.jsonl; what a checkpoint does not know may be missing. */
export type ReportedEpoch = Partial<EpochLine> & Omit<Extract<MetricsLine, { type: 'epoch' }>, never>

export interface ReportedCase {
  caseId: string
  /** In the order of the targets; null where a label is in neither the reference nor the prediction. */
  dice: (number | null)[]
  /** Over the labels that have one. */
  mean: number | null
  /** File names as summary.json has them. */
  predictionFile: string
  referenceFile: string
}

export interface ReportedValidation {
  checkpoint: CheckpointName
  folder: string
  /** Of each target, and of the foreground, as summary.json has them. */
  dice: (number | null)[]
  foregroundDice: number | null
  /** The worst first; those without any Dice last. */
  cases: ReportedCase[]
}

/** Something that happened in a run, with the number of epochs that were finished by then. */
export interface ReportedEvent {
  type: 'resume' | 'warning' | 'annealing' | 'stop' | 'checkpoint' | 'new_best'
  epoch: number
  text: string
}

/** An option with its value and, where it is not the default, the default. */
export interface ReportedOption {
  name: string
  value: unknown
  standard: unknown
  isChanged: boolean
}

export interface ReportContent {
  overview: RunOverview
  record: RunRecord
  dataset: DatasetJson
  targets: Target[]
  epochs: ReportedEpoch[]
  best: { epoch: number; value: number } | null
  validations: ReportedValidation[]
  advice: Advice
  events: ReportedEvent[]
  /** How often what is not listed one by one has happened, and what it took. */
  checkpoints: { count: number; stallMs: number[]; writeMs: number[] }
  options: ReportedOption[]
}

/**
 * Reads a run folder, of a run that is under way or ended in any way.
 * @throws VoxgradError ERR_RUN without a run, ERR_DATASET or ERR_FORMAT for files of it that are damaged
 */
export async function readReportContent(runFolder: string): Promise<ReportContent> {
  const folder = new RunFolder(runFolder)
  const record = await folder.readRecord()
  // The run's own process still holds it while it writes its last report.
  const found = await readOverview(folder)
  const overview = record.status === 'running' ? found : { ...found, status: record.status, secondsLeft: null }
  const options = parseOptions(trainOptionsSchema, record.options, folder.recordFile)
  const dataset = await readDatasetJson(path.join(folder.modelFolder, 'dataset.json'))
  const lines = await folder.readMetrics()
  const epochs = lines.filter((line): line is ReportedEpoch => line.type === 'epoch')
  const validations = await Promise.all(
    (['final', 'best', 'latest'] as const).map((name) => readValidation(folder, name, dataset)),
  )
  const checkpoints = lines.filter((line) => line.type === 'checkpoint')
  return {
    overview,
    record,
    dataset,
    targets: dataset.targets,
    epochs,
    best: bestOf(epochs),
    validations: validations.filter((found) => found !== null),
    advice: advise(epochs, trainingOf(options, record.status === 'finished')),
    events: eventsOf(lines),
    checkpoints: {
      count: checkpoints.length,
      stallMs: checkpoints.map((line) => line.stall_ms),
      writeMs: checkpoints.map((line) => line.write_ms),
    },
    options: reportedOptions(options),
  }
}

/** Where the moving average of the pseudo-Dice was highest. */
function bestOf(epochs: readonly ReportedEpoch[]): ReportContent['best'] {
  let best: ReportContent['best'] = null
  for (const { epoch, ema_fg_dice: value } of epochs) {
    if (value !== null && Number.isFinite(value) && value > (best?.value ?? Number.NEGATIVE_INFINITY))
      best = { epoch, value }
  }
  return best
}

interface SummaryJson {
  foreground_mean: { Dice: number }
  mean: Record<string, { Dice: number }>
  metric_per_case: {
    metrics: Record<string, { Dice: number }>
    prediction_file: string
    reference_file: string
  }[]
}

async function readValidation(
  folder: RunFolder,
  checkpoint: CheckpointName,
  { targets, fileEnding }: DatasetJson,
): Promise<ReportedValidation | null> {
  const validation = folder.validation(checkpoint)
  const file = path.join(validation, 'summary.json')
  if (!existsSync(file)) return null
  const summary = (await readJson(file, 'summary.json')) as SummaryJson
  const diceOf = (metrics: Record<string, { Dice: number }>) =>
    targets.map(({ key }) => finiteOrNull(metrics[key]?.Dice ?? null))
  const cases = summary.metric_per_case.map((entry) => {
    const dice = diceOf(entry.metrics)
    const known = dice.filter((value) => value !== null)
    const mean = known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length
    const caseId = path.basename(entry.prediction_file, fileEnding)
    return { caseId, dice, mean, predictionFile: entry.prediction_file, referenceFile: entry.reference_file }
  })
  cases.sort((a, b) => (a.mean ?? Number.POSITIVE_INFINITY) - (b.mean ?? Number.POSITIVE_INFINITY))
  return {
    checkpoint,
    folder: validation,
    dice: diceOf(summary.mean),
    foregroundDice: finiteOrNull(summary.foreground_mean.Dice),
    cases,
  }
}

const finiteOrNull = (value: number | null): number | null => (value !== null && Number.isFinite(value) ? value : null)

function eventsOf(lines: readonly MetricsLine[]): ReportedEvent[] {
  let epoch = 0
  return lines.flatMap((line): ReportedEvent[] => {
    switch (line.type) {
      case 'epoch':
        epoch = line.epoch + 1
        return []
      case 'advice':
        return []
      case 'checkpoint':
        return [{ type: line.type, epoch, text: `${line.file}, step ${line.step}` }]
      case 'new_best':
        return [{ type: line.type, epoch: line.epoch + 1, text: `${line.metric} ${line.value.toFixed(4)}` }]
      default:
        return [{ type: line.type, epoch, text: line.text }]
    }
  })
}

/** What tells where a run lies, not how it trains. */
const places = ['dataset', 'configuration', 'fold', 'run', 'folders']

function reportedOptions(options: TrainOptions): ReportedOption[] {
  const { dataset, configuration, fold } = options
  const standard = new Map(leaves(trainOptionsSchema.parse({ dataset, configuration, fold })))
  // A preset of the augmentation stands for all of its numbers: only what departs from it was chosen.
  const preset = trainOptionsSchema.parse({
    dataset,
    configuration,
    fold,
    augmentation: { preset: options.augmentation.preset },
  })
  for (const [name, value] of leaves(preset.augmentation))
    if (name !== 'preset') standard.set(`augmentation.${name}`, value)
  return leaves(options)
    .filter(([name]) => !places.includes(name.split('.')[0] as string))
    .map(([name, value]) => {
      const isChanged = JSON.stringify(value) !== JSON.stringify(standard.get(name))
      return { name, value, standard: standard.get(name), isChanged }
    })
}

/** Options without groups, by their dotted names. */
function leaves(tree: object, prefix = ''): [string, unknown][] {
  return Object.entries(tree).flatMap(([key, value]): [string, unknown][] => {
    if (value === undefined) return []
    const isGroup = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isGroup ? leaves(value, `${prefix}${key}.`) : [[prefix + key, value]]
  })
}
