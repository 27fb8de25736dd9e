// A benchmark's result as lines for people, and two results beside each other.
import { formatBytes, formatDuration, formatFixed } from '../report/format.js'
import type { BenchResult, Bound } from './result.js'

const bounds: Record<Bound, string> = {
  data: 'making batches: more threads, or fewer rotated and scaled patches',
  arithmetic: 'the arithmetic of the convolutions, at the speed of a large matrix product',
  memory: 'memory traffic, at the speed of a copy',
  kernels: 'none of the limits: kernels that stay below them, and what a step costs besides',
}

export const formatMs = (ms: number): string => {
  if (!Number.isFinite(ms)) return '-'
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)} s`
  return ms >= 100 ? `${ms.toFixed(0)} ms` : `${Number(ms.toPrecision(3))} ms`
}

const percent = (share: number): string => `${formatFixed(share * 100, 1)} %`

/** Lines of a result, in the order in which one reads them. */
export function linesOf(result: BenchResult): string[] {
  const { kind, counts, validation, alone, ceilings, memory } = result
  const rows: [string, string][] = [
    [
      result.shape,
      `${result.network}, patch ${result.patch_size.join('x')}, batch ${result.batch_size}, ${result.outputs} outputs; ` +
        `${result.device}, ${result.threads === 1 ? 'one thread' : `${result.threads} threads`}, ${result.precision}` +
        `${result.without_data ? '; one batch for all steps' : ''}`,
    ],
    [
      kind === 'data' ? 'batch' : 'step',
      `p50 ${formatMs(result.p50_ms)}, p95 ${formatMs(result.p95_ms)}, least ${formatMs(result.min_ms)}; ` +
        `${formatFixed(result.patches_per_second, 2)} patches/s` +
        (kind === 'data' ? `, ${formatFixed(result.patches_per_second_per_core, 2)} a core` : ''),
    ],
  ]
  if (kind !== 'data') {
    for (const [name, part] of Object.entries(result.parts)) {
      const times = 'p50_ms' in part ? `, p50 ${formatMs(part.p50_ms)}` : ' (in forward and backward)'
      rows.push([`  ${name}`, `${percent(part.share).padStart(7)}${times}`])
    }
  }
  if (validation) {
    rows.push(['validation', `p50 ${formatMs(validation.p50_ms)} a batch, p95 ${formatMs(validation.p95_ms)}`])
    for (const [name, part] of Object.entries(validation.parts))
      rows.push([`  ${name}`, `${percent(part.share).padStart(7)}, p50 ${formatMs(part.p50_ms)}`])
    const epoch = formatDuration(result.epoch_seconds)
    rows.push([
      'epoch',
      `${epoch} for 250 steps and 50 validation batches, 1000 epochs ${formatDuration(1000 * (result.epoch_seconds ?? 0))}`,
    ])
  }
  if (kind !== 'data') {
    rows.push([
      'arithmetic',
      `${formatFixed(result.gflop_per_step, 1)} GFLOP a step, ${formatFixed(result.gflops, 1)} GFLOP/s`,
    ])
    rows.push([
      'device',
      `${formatFixed(ceilings.gflops, 1)} GFLOP/s (matrix product), ${formatFixed(ceilings.gigabytes_per_second, 1)} GB/s (copy), measured now`,
    ])
    rows.push([
      'roofline',
      `${formatMs(result.roofline_ms.fused)} a step at least with fused norms; ${percent(result.roofline_reached)} of it reached`,
    ])
    rows.push(['bound by', bounds[result.bound_by]])
  }
  if (counts) {
    rows.push([
      'counts',
      `${counts.dispatches} operators a step, ${counts.validation_dispatches} a validation batch; ` +
        `${formatBytes(counts.operand_bytes)} of operands`,
    ])
    rows.push([
      'memory',
      `${counts.allocations} allocations a step, ${formatBytes(counts.peak_bytes)} at its peak, ` +
        `${counts.growth_bytes === 0 ? 'nothing' : formatBytes(counts.growth_bytes)} kept` +
        (memory.peak_resident_bytes === null ? '' : `; process ${formatBytes(memory.peak_resident_bytes)}`),
    ])
  }
  for (const [name, times] of Object.entries(alone ?? {}))
    rows.push([`${name} alone`, `p50 ${formatMs(times.p50_ms)}, least ${formatMs(times.min_ms)}`])
  const width = Math.max(...rows.map(([name]) => name.length))
  return rows.map(([name, text]) => `${name.padEnd(width)}  ${text}`)
}

/** What of two results can be compared, as numbers: milliseconds and counts, where less is better. */
function figuresOf(result: BenchResult): Map<string, number> {
  const figures = new Map<string, number>()
  for (const key of ['min_ms', 'p50_ms', 'p95_ms', 'cpu_ms'] as const) figures.set(key, result[key])
  for (const [name, part] of Object.entries(result.parts ?? {}))
    if ('p50_ms' in part) figures.set(`${name} p50_ms`, part.p50_ms)
  if (result.validation) figures.set('validation p50_ms', result.validation.p50_ms)
  for (const [name, times] of Object.entries(result.alone ?? {})) figures.set(`${name} alone p50_ms`, times.p50_ms)
  for (const key of ['dispatches', 'allocations', 'peak_bytes', 'operand_bytes'] as const)
    if (result.counts) figures.set(key, result.counts[key])
  return figures
}

export interface Comparison {
  name: string
  before: number
  after: number
  /** after / before */
  ratio: number
}

/** Figures that both results have, in the order of the first. */
export function compareResults(before: BenchResult, after: BenchResult): Comparison[] {
  const others = figuresOf(after)
  return [...figuresOf(before)].flatMap(([name, value]) => {
    const other = others.get(name)
    return other === undefined ? [] : [{ name, before: value, after: other, ratio: other / value }]
  })
}

/** What makes two results hard to compare: other settings than the times. */
export function differences(before: BenchResult, after: BenchResult): string[] {
  const keys = ['kind', 'shape', 'batch_size', 'device', 'precision', 'threads', 'without_data'] as const
  return keys
    .filter((key) => before[key] !== after[key])
    .map((key) => `${key} is ${before[key]} in the first, ${after[key]} in the second`)
}
