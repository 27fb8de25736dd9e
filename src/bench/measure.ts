// Runs a benchmark: random cases, warm-up, the steps that count, and what explains them.
import os from 'node:os'
import { resolveTrainerConfig } from '../config/resolve.js'
import {
  type BenchInput,
  type BenchOptions,
  benchOptionsSchema,
  parseOptions,
  trainOptionsSchema,
} from '../config/schema.js'
import { VoxgradError } from '../errors.js'
import type { NativeTrainer, StepCounts, StepTimes, TrainerConfig } from '../native/binding.js'
import { native } from '../native/load.js'
import { version } from '../version.js'
import { type BenchResult, type Measured, resultOf } from './result.js'
import { readShape } from './shapes.js'

/** How far a benchmark is. */
export interface BenchProgress {
  job: string
  done: number
  total: number
  secondsLeft: number | null
}

/** What bench() takes beside its options. */
export interface BenchEnvironment {
  signal?: AbortSignal
  /** Called after each step. */
  onProgress?: (progress: BenchProgress) => void
}

const caseCount = 4

/**
 * Measures steps, batches or both on random data, which is the same at every call.
 * Errors: ERR_CONFIG, ERR_DEVICE, ERR_FORMAT of a plans file; the signal's reason if it aborts.
 */
export async function bench(input: BenchInput, environment: BenchEnvironment = {}): Promise<BenchResult> {
  const options = parseOptions(benchOptionsSchema, input, 'options of bench')
  if (options.withoutData && options.kind === 'data') {
    throw new VoxgradError('ERR_CONFIG', {
      where: 'withoutData',
      required: '`bench step` or `bench end-to-end`',
      found: '`bench data`',
    })
  }
  const shape = await readShape(options)
  const { device, threads, batchSize } = options
  const training = { dataset: '0', configuration: 'any', fold: 0 as const, device, threads, batchSize }
  const config = resolveTrainerConfig(shape.configuration, shape.dataset, trainOptionsSchema.parse(training))
  const trainer = await native().createTrainer(config)
  const stop = () => trainer.stop()
  environment.signal?.addEventListener('abort', stop, { once: true })
  try {
    const measured = await measureAll(trainer, config, options, environment)
    return resultOf(options, shape, config, measured, {
      voxgrad: version,
      node: process.versions.node,
      ...native().versions(),
    })
  } finally {
    environment.signal?.removeEventListener('abort', stop)
    await trainer.dispose()
  }
}

async function measureAll(
  trainer: NativeTrainer,
  config: TrainerConfig,
  options: BenchOptions,
  environment: BenchEnvironment,
): Promise<Measured> {
  const load = os.loadavg()[0] ?? 0
  await trainer.benchmark({ what: 'cases', count: caseCount, shape: caseShape(config.patchSize) })
  environment.signal?.throwIfAborted()
  const ceilings = await trainer.benchmark({ what: 'ceilings' })
  const { kind, warmup, repeat, withoutData: held } = options

  let first = 0
  const jobs = {
    training: (steps: number) => trainer.benchmark({ what: 'training', steps, held }),
    validation: (steps: number) => trainer.benchmark({ what: 'validation', steps, held }),
    data: async (steps: number) => {
      const times = await trainer.benchmark({ what: 'batches', first, steps })
      first += steps
      return times
    },
  }
  const run = (job: keyof typeof jobs, total: number) => inChunks(job, jobs[job], total, environment)

  const main = kind === 'data' ? 'data' : 'training'
  if (warmup > 0) await inChunks('warm-up', jobs[main], warmup, environment)
  const cpuBefore = process.cpuUsage()
  const training = await run(main, repeat)
  const { user, system } = process.cpuUsage(cpuBefore)
  const measured: Measured = { training, cpuMs: (user + system) / 1e3, ceilings, load }
  if (kind === 'data') return measured

  // nnU-Net's epoch has 50 validation batches to 250 steps.
  if (kind === 'end-to-end') measured.validation = await run('validation', Math.max(1, Math.round(repeat / 5)))
  measured.peakResidentBytes = process.resourceUsage().maxRSS * 1024
  measured.deviceMemory = trainer.deviceMemory()
  if (options.parts) {
    environment.signal?.throwIfAborted()
    measured.alone = await trainer.benchmark({ what: 'parts', runs: repeat })
  }
  environment.signal?.throwIfAborted()
  measured.counts = (await trainer.benchmark({ what: 'counts' })) as StepCounts
  return measured
}

/** A case is a quarter larger than the patch; of a 2D patch a stack of 8 slices. */
function caseShape(patchSize: readonly number[]): [number, number, number] {
  const extents = patchSize.map((extent) => Math.ceil(extent * 1.25))
  return (extents.length === 2 ? [8, ...extents] : extents) as [number, number, number]
}

/** Steps in jobs of about a second, so that progress is seen and a signal ends them soon. */
async function inChunks(
  job: string,
  run: (steps: number) => Promise<StepTimes>,
  total: number,
  { signal, onProgress }: BenchEnvironment,
): Promise<StepTimes> {
  const step: number[] = []
  const parts: Record<string, number[]> = {}
  const start = performance.now()
  while (step.length < total) {
    signal?.throwIfAborted()
    const msSoFar = (performance.now() - start) / Math.max(step.length, 1)
    const steps = step.length === 0 ? 1 : Math.max(1, Math.round(1000 / msSoFar))
    const times = await run(Math.min(steps, total - step.length))
    // A job that was stopped has fewer steps.
    signal?.throwIfAborted()
    step.push(...times.step)
    for (const [name, values] of Object.entries(times.parts)) {
      parts[name] ??= []
      parts[name].push(...values)
    }
    const secondsLeft = (((performance.now() - start) / step.length) * (total - step.length)) / 1000
    onProgress?.({ job, done: step.length, total, secondsLeft })
  }
  return {
    step: Float32Array.from(step),
    parts: Object.fromEntries(Object.entries(parts).map(([name, values]) => [name, Float32Array.from(values)])),
  }
}
