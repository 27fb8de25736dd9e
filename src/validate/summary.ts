// summary.json in nnU-Net's exact form: means over cases and labels, sorted keys, NaN as a bare token.
import { compareCodePoints } from '../dataset/raw.js'
import { pairwiseSum } from '../plan/numpy.js'
import type { LabelMetrics } from './metrics.js'

export interface CaseResult {
  metrics: Map<string, LabelMetrics>
  /** Absolute paths. */
  predictionFile: string
  referenceFile: string
}

export interface Summary {
  foregroundMean: LabelMetrics
  mean: Map<string, LabelMetrics>
  cases: CaseResult[]
}

const metricNames = ['Dice', 'FN', 'FP', 'IoU', 'TN', 'TP', 'n_pred', 'n_ref'] as const

const mapMetrics = (value: (name: keyof LabelMetrics) => number): LabelMetrics =>
  Object.fromEntries(metricNames.map((name) => [name, value(name)])) as unknown as LabelMetrics

/**
 * Means as nnU-Net takes them (compute_metrics_on_folder), with NumPy's order of summation: per label over the cases,
 * leaving NaN out; over the labels plainly, so that one label without a value makes the foreground mean NaN.
 * @param keys of the labels or regions
 */
export function summarize(cases: CaseResult[], keys: readonly string[]): Summary {
  const sorted = [...cases].sort((a, b) => compareCodePoints(a.predictionFile, b.predictionFile))
  const of = (result: CaseResult, key: string) => result.metrics.get(key) as LabelMetrics
  const mean = new Map(
    keys.map((key) => [key, mapMetrics((name) => nanMean(sorted.map((result) => of(result, key)[name])))]),
  )
  const foregroundMean = mapMetrics(
    (name) => pairwiseSum([...mean.values()].map((metrics) => metrics[name])) / mean.size,
  )
  return { foregroundMean, mean, cases: sorted }
}

/** numpy.nanmean, which puts zeros in place of NaN. */
function nanMean(values: number[]): number {
  const known = values.filter((value) => !Number.isNaN(value)).length
  return pairwiseSum(values.map((value) => (Number.isNaN(value) ? 0 : value))) / known
}

/** The text of summary.json, as Python's json module writes it with indent 4 and sorted keys. */
export function summaryText(summary: Summary): string {
  return pythonJson({
    ...meansOf(summary),
    metric_per_case: summary.cases.map((result) => ({
      metrics: byLabel(result.metrics, (metrics) => ({
        ...metrics,
        Dice: new PythonFloat(metrics.Dice),
        IoU: new PythonFloat(metrics.IoU),
      })),
      prediction_file: result.predictionFile,
      reference_file: result.referenceFile,
    })),
  })
}

/** The means under nnU-Net's keys, for pythonJson. */
export function meansOf({ foregroundMean, mean }: Pick<Summary, 'foregroundMean' | 'mean'>): object {
  return { foreground_mean: floats(foregroundMean), mean: byLabel(mean, floats) }
}

/** A number that Python holds as float: printed with a point even if it is whole. */
export class PythonFloat {
  constructor(readonly value: number) {}
}

const floats = (metrics: LabelMetrics) =>
  Object.fromEntries(Object.entries(metrics).map(([name, value]) => [name, new PythonFloat(value)]))

const byLabel = (perLabel: Map<string, LabelMetrics>, convert: (metrics: LabelMetrics) => object) =>
  Object.fromEntries([...perLabel].map(([key, metrics]) => [key, convert(metrics)]))

/** JSON text as Python writes it with indent 4 and sorted keys. */
export function pythonJson(value: unknown, indent = ''): string {
  const deeper = `${indent}    `
  if (value instanceof PythonFloat) return floatText(value.value)
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) {
    if (value.length === 0) return '[]'
    return `[\n${value.map((entry) => deeper + pythonJson(entry, deeper)).join(',\n')}\n${indent}]`
  }
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  const lines = entries.map(([key, entry]) => `${deeper}${JSON.stringify(key)}: ${pythonJson(entry, deeper)}`)
  return `{\n${lines.join(',\n')}\n${indent}}`
}

/** repr of a Python float: exponents from 1e16 up and below 1e-4, with two digits at least. */
function floatText(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  const size = Math.abs(value)
  if (value !== 0 && (size < 1e-4 || size >= 1e16)) {
    return value.toExponential().replace(/e([+-])(\d)$/, 'e$10$2')
  }
  return Number.isInteger(value) ? `${value}.0` : String(value)
}
