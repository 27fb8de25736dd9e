// What a run folder says about its run, live or ended, for `status` and `runs`.
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { parseOptions, trainOptionsSchema } from '../config/schema.js'
import { resolveBudget, totalEpochs } from './budget.js'
import type { EpochCurve, StopReason } from './events.js'
import { type LockOwner, ownerOf } from './lock.js'
import { type MetricsLine, RunFolder, type RunRecord } from './run-folder.js'

export interface RunOverview {
  folder: string
  dataset: string
  configuration: string
  plans: string
  fold: number | 'all'
  /** killed: run.json says running, but nobody holds the run. */
  status: RunRecord['status'] | 'killed'
  reason: StopReason | null
  error: string | null
  /** Finished epochs and optimizer steps, of how many. */
  epoch: number
  epochs: number
  step: number
  totalSteps: number
  /** Moving average of the pseudo-Dice after the last epoch, and the best value of bestModel.metric with its epoch. */
  ema_fg_dice: number | null
  best: { metric: string; value: number; epoch: number } | null
  /** Of training, at the pace of the last epochs; null where that is unknown or nothing is left. */
  secondsLeft: number | null
  owner: LockOwner | null
  startedAt: string
  updatedAt: string
}

/** @throws VoxgradError ERR_RUN if there is no run */
export async function readOverview(folder: RunFolder): Promise<RunOverview> {
  return overviewOf(folder, await folder.readRecord(), await folder.readMetrics(), ownerOf(folder.folder))
}

/**
 * What a run's files say of it.
 * @param metrics at least the last epochs and the last new_best
 * @param owner who works on the run now
 */
export function overviewOf(
  folder: RunFolder,
  record: RunRecord,
  metrics: readonly MetricsLine[],
  owner: LockOwner | null,
): RunOverview {
  const options = parseOptions(trainOptionsSchema, record.options, folder.recordFile)
  const epochs = metrics.filter((line): line is EpochCurve => line.type === 'epoch')
  const budget = resolveBudget(options.budget)
  const last = epochs.at(-1)
  const epoch = last ? last.epoch + 1 : record.epoch
  const step = Math.max(record.step, last?.step ?? 0)
  const isOpen = owner !== null || record.status === 'stopped'
  return {
    folder: folder.folder,
    dataset: record.dataset,
    configuration: options.configuration,
    plans: options.plans,
    fold: options.fold,
    status: owner ? 'running' : record.status === 'running' ? 'killed' : record.status,
    reason: record.reason,
    error: record.error,
    epoch,
    epochs: totalEpochs({ epoch, step: last?.step ?? 0, partial: { steps: 0 } }, budget),
    step,
    totalSteps: budget.totalSteps,
    ema_fg_dice: last?.ema_fg_dice ?? null,
    best: bestOf(metrics),
    secondsLeft: isOpen ? secondsLeft(epochs, budget.totalSteps - step) : null,
    owner,
    startedAt: record.startedAt,
    updatedAt: record.updatedAt,
  }
}

function bestOf(metrics: readonly MetricsLine[]): RunOverview['best'] {
  const line = metrics.findLast((candidate) => candidate.type === 'new_best')
  return line ? { metric: line.metric, value: line.value, epoch: line.epoch } : null
}

const paceEpochs = 5

function secondsLeft(epochs: readonly EpochCurve[], stepsLeft: number): number | null {
  const recent = epochs.slice(-paceEpochs - 1)
  const [first, last] = [recent[0], recent.at(-1)]
  if (!first || !last) return null
  const steps = last.step - (recent.length > 1 ? first.step : 0)
  const seconds = (recent.length > 1 ? recent.slice(1) : recent).reduce((sum, line) => sum + line.seconds, 0)
  return (seconds / steps) * stepsLeft
}

const deepest = 5

const isRun = (folder: string): boolean => existsSync(path.join(folder, 'run.json'))

/**
 * Every run folder below a folder, itself included, in the order of their paths. Symbolic links are not followed, and what
 * may not be read below it is left out.
 * @param isFound what else is a run's folder than one with run.json
 */
export async function findRuns(root: string, isFound = isRun, depth = 0): Promise<RunFolder[]> {
  if (isRun(root) || isFound(root)) return [new RunFolder(root)]
  if (depth === deepest) return []
  const entries = await readdir(root, { withFileTypes: true }).catch((error) => {
    if (depth === 0) throw error
    return []
  })
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
  const found = await Promise.all(folders.sort().map((name) => findRuns(path.join(root, name), isFound, depth + 1)))
  return found.flat()
}
