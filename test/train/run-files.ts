// What a run has left in its folder, read for comparison.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { native } from '../../src/native/load.js'
import type { EpochLine } from '../../src/train/events.js'
import type { MetricsLine, RunRecord } from '../../src/train/run-folder.js'

export const readText = (folder: string, file: string): string => readFileSync(path.join(folder, file), 'utf8')

/** Every line of metrics.jsonl, which all have to be whole. */
export const metricsOf = (folder: string): MetricsLine[] =>
  readText(folder, 'metrics.jsonl')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as MetricsLine)

export const epochsOf = (folder: string): EpochLine[] =>
  metricsOf(folder).filter((line): line is EpochLine => line.type === 'epoch')

export const recordOf = (folder: string): RunRecord => JSON.parse(readText(folder, 'run.json')) as RunRecord

/** What training computed, without times: the epoch lines, weights and optimizer. */
export async function outcomeOf(folder: string) {
  const file = path.join(folder, 'checkpoint_final.pth')
  const entries = (await native().readTorchFile(file)) as Record<string, unknown>
  const lines = epochsOf(folder).map(
    ({ seconds, step_ms, data_ms, memory, file_descriptors, threads, ...line }) => line,
  )
  return { lines, weights: entries.network_weights, optimizer: entries.optimizer_state }
}
