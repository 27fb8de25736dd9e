// From what was measured to the object that `bench --json` prints. Pure.
import type { BenchOptions } from '../config/schema.js'
import type {
  DeviceCeilings,
  DeviceMemory,
  OperatorCount,
  StepCounts,
  StepTimes,
  TrainerConfig,
} from '../native/binding.js'
import { arithmeticOf, keptBytes, layersOf, parameterCount, rooflineOf, trafficModels } from './roofline.js'
import type { BenchShape } from './shapes.js'
import { meanOf, quantile, summarize } from './statistics.js'

export interface Measured {
  /** Of training steps, or of batches alone. */
  training: StepTimes
  validation?: StepTimes
  /** Of the process, in all steps that count. */
  cpuMs: number
  ceilings: DeviceCeilings
  /** Load average of the machine before the first step. */
  load: number
  peakResidentBytes?: number
  deviceMemory?: DeviceMemory
  /** Parts alone, milliseconds a run. */
  alone?: Record<string, Float32Array>
  counts?: StepCounts
}

export interface Times {
  min_ms: number
  p50_ms: number
  p95_ms: number
}

export type PartTimes = Times & {
  /** Of the time of all steps. */
  share: number
}

/** One line of `bench --json`. Milliseconds are of a step, or of a batch in `bench data`. */
export interface BenchResult extends Times {
  type: 'bench'
  kind: BenchOptions['kind']
  shape: string
  network: string
  patch_size: number[]
  batch_size: number
  channels: number
  outputs: number
  device: string
  precision: string
  threads: number
  warmup: number
  repeat: number
  without_data: boolean
  patches_per_second: number
  /** Processor time of all threads. */
  cpu_ms: number
  patches_per_second_per_core: number
  /** data, forward, loss, backward, optimizer; norm is a part of forward and backward. */
  parts: Record<string, PartTimes | { share: number }>
  validation?: Times & { parts: Record<string, PartTimes> }
  /** nnU-Net's epoch of 250 steps and 50 validation batches, from the medians. */
  epoch_seconds?: number
  parameters: number
  gflop_per_step: number
  gflops: number
  ceilings: { gflops: number; gigabytes_per_second: number }
  /** Least time of a step on this device, by what the traffic between convolutions is taken to be. */
  roofline_ms: Record<(typeof trafficModels)[number], number>
  /** Share of the fused roofline that the median step reaches. */
  roofline_reached: number
  bound_by: Bound
  counts?: {
    /** Operators of a step that compute something, data left out. */
    dispatches: number
    validation_dispatches: number
    operand_bytes: number
    allocations: number
    allocated_bytes: number
    peak_bytes: number
    growth_bytes: number
    device_segments: number
    /** Activations that backward needs with fused norms: the least that peak_bytes can be. */
    least_kept_bytes: number
    operators: OperatorCount[]
  }
  alone?: Record<string, Times>
  memory: { peak_resident_bytes: number | null; device_bytes: number | null; peak_device_bytes: number | null }
  load: number
  versions: Record<string, string>
}

/** What takes most of a step: making batches, arithmetic at the device's ceiling, traffic at its ceiling, or the rest. */
export type Bound = 'data' | 'arithmetic' | 'memory' | 'kernels'

/** Operators of norms; the gradient's norm is none. */
const isNorm = ({ name }: OperatorCount): boolean => /(instance|batch|group|layer)_norm/.test(name)

export function resultOf(
  options: BenchOptions,
  shape: BenchShape,
  config: TrainerConfig,
  measured: Measured,
  versions: Record<string, string>,
): BenchResult {
  const { training, validation, cpuMs, ceilings, counts, alone, deviceMemory } = measured
  const { network, patchSize, batchSize } = config
  const plan = { network, patchSize, batchSize }
  const layers = layersOf(plan)
  const { stepFlop } = arithmeticOf(layers)
  const elementBytes = config.precision === 'float32' ? 4 : 2
  const times = timesOf(training.step)
  const roofs = Object.fromEntries(
    trafficModels.map((model) => [model, rooflineOf(plan, model, ceilings, elementBytes)]),
  ) as Record<(typeof trafficModels)[number], ReturnType<typeof rooflineOf>>
  const parts: BenchResult['parts'] = partsOf(training)
  const dataShare = parts.data?.share ?? 0
  if (counts) parts.norm = { share: normShare(counts.training) * (1 - dataShare) }
  const steps = training.step.length
  return {
    type: 'bench',
    kind: options.kind,
    shape: shape.name,
    network: network.architecture,
    patch_size: patchSize,
    batch_size: batchSize,
    channels: network.inputChannels,
    outputs: network.outputChannels,
    device: config.device,
    precision: config.precision,
    threads: config.threads,
    warmup: options.warmup,
    repeat: options.repeat,
    without_data: options.withoutData,
    ...times,
    patches_per_second: (batchSize / times.p50_ms) * 1e3,
    cpu_ms: cpuMs / steps,
    patches_per_second_per_core: (batchSize * steps * 1e3) / cpuMs,
    parts,
    ...(validation && { validation: { ...timesOf(validation.step), parts: partsOf(validation) } }),
    ...(validation && { epoch_seconds: 0.25 * times.p50_ms + 0.05 * timesOf(validation.step).p50_ms }),
    parameters: parameterCount(layers),
    gflop_per_step: options.kind === 'data' ? 0 : stepFlop / 1e9,
    gflops: options.kind === 'data' ? 0 : stepFlop / times.p50_ms / 1e6,
    ceilings: { gflops: ceilings.flopPerSecond / 1e9, gigabytes_per_second: ceilings.bytesPerSecond / 1e9 },
    roofline_ms: {
      eager: roofs.eager.seconds * 1e3,
      fused: roofs.fused.seconds * 1e3,
      ideal: roofs.ideal.seconds * 1e3,
    },
    roofline_reached: options.kind === 'data' ? 0 : (roofs.fused.seconds * 1e3) / times.p50_ms,
    bound_by: options.kind === 'data' ? 'data' : boundOf(times.p50_ms, dataShare, roofs.fused),
    ...(counts && { counts: countsOf(counts, keptBytes(layers, 'fused', elementBytes)) }),
    ...(alone && { alone: mapValues(alone, timesOf) }),
    memory: {
      peak_resident_bytes: measured.peakResidentBytes ?? null,
      device_bytes: deviceMemory?.allocated ?? null,
      peak_device_bytes: deviceMemory?.peak ?? null,
    },
    load: measured.load,
    versions,
  }
}

/**
 * The largest of four shares of a step: making the batch, the least time of the arithmetic, the least time of the traffic
 * between convolutions, and what is left.
 */
export function boundOf(
  stepMs: number,
  dataShare: number,
  roofline: { arithmeticSeconds: number; seconds: number },
): Bound {
  const arithmetic = (roofline.arithmeticSeconds * 1e3) / stepMs
  const memory = ((roofline.seconds - roofline.arithmeticSeconds) * 1e3) / stepMs
  const shares: [Bound, number][] = [
    ['data', dataShare],
    ['arithmetic', arithmetic],
    ['memory', memory],
    ['kernels', 1 - dataShare - arithmetic - memory],
  ]
  return shares.reduce((largest, one) => (one[1] > largest[1] ? one : largest))[0]
}

function timesOf(values: ArrayLike<number>): Times {
  const { min, p50, p95 } = summarize(values)
  return { min_ms: min, p50_ms: p50, p95_ms: p95 }
}

function partsOf({ step, parts }: StepTimes): Record<string, PartTimes> {
  const whole = meanOf(step)
  return mapValues(parts, (values) => ({ ...timesOf(values), share: meanOf(values) / whole }))
}

function normShare(operators: readonly OperatorCount[]): number {
  const ms = (list: readonly OperatorCount[]) => list.reduce((sum, operator) => sum + operator.ms, 0)
  return ms(operators.filter(isNorm)) / ms(operators)
}

function countsOf(counts: StepCounts, leastKept: number): NonNullable<BenchResult['counts']> {
  const calls = (list: readonly OperatorCount[]) => list.reduce((sum, operator) => sum + operator.calls, 0)
  const { allocations, bytes, peak, growth, segments } = counts.allocations
  return {
    dispatches: calls(counts.training),
    validation_dispatches: calls(counts.validation),
    operand_bytes: counts.training.reduce((sum, operator) => sum + operator.bytes, 0),
    allocations,
    allocated_bytes: bytes,
    peak_bytes: peak,
    growth_bytes: growth,
    device_segments: segments,
    least_kept_bytes: leastKept,
    operators: [...counts.training].sort((a, b) => b.ms - a.ms),
  }
}

function mapValues<From, To>(record: Record<string, From>, change: (value: From) => To): Record<string, To> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]))
}

/** Middle of the ratios of two series, with the quarter and three-quarter values as their spread. */
export function ratioOf(
  above: readonly number[],
  below: readonly number[],
): { ratio: number; low: number; high: number } {
  const ratios = above.map((value, index) => value / (below[index] ?? Number.NaN))
  return { ratio: quantile(ratios, 0.5), low: quantile(ratios, 0.25), high: quantile(ratios, 0.75) }
}
