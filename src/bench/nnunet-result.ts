// nnU-Net's benchmark_result.json: one entry a machine, with the time of an epoch.
// Source: nnUNetTrainerBenchmark_5epochs.on_train_end.
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { readJson, writeFileAtomically } from '../files.js'
import type { BenchResult } from './result.js'

/** nnU-Net's epoch. */
const epochSteps = 250
const epochValidationSteps = 50

/**
 * Adds the result to benchmark_result.json of a folder, which is made if it is not there. fastest_epoch is 250 steps and 50
 * validation batches at their medians; without validation in the result the network's forward pass counts in its place.
 * @param deviceName of the GPU, or of the CPU
 * @returns the file
 */
export async function writeBenchmarkResult(folder: string, result: BenchResult, deviceName: string): Promise<string> {
  const file = path.join(folder, 'benchmark_result.json')
  const entries = existsSync(file)
    ? ((await readJson(file, "nnU-Net's benchmark_result.json")) as Record<string, unknown>)
    : {}
  await mkdir(folder, { recursive: true })
  const entry = benchmarkEntry(result, deviceName, os.hostname())
  const key = [
    entry.hostname,
    entry.cudnn_version ?? 'None', // as Python writes it
    entry.torch_version.replaceAll(' ', ''),
    entry.gpu_name.replaceAll(' ', ''),
    `num_gpus_${entry.num_gpus}`,
  ].join('__')
  await writeFileAtomically(file, `${JSON.stringify({ ...entries, [key]: entry }, null, 4)}\n`)
  return file
}

/** The entry with nnU-Net's keys, and those of the measurement that it is made from. */
export function benchmarkEntry(result: BenchResult, deviceName: string, hostname: string) {
  const forward = result.parts.forward
  const validationMs = result.validation?.p50_ms ?? (forward && 'p50_ms' in forward ? forward.p50_ms : Number.NaN)
  return {
    torch_version: result.versions.libtorch ?? '',
    cudnn_version: null,
    gpu_name: deviceName,
    fastest_epoch: (epochSteps * result.p50_ms + epochValidationSteps * validationMs) / 1e3,
    num_gpus: 1,
    hostname,
    voxgrad: { version: result.versions.voxgrad, shape: result.shape, device: result.device, steps: result.repeat },
  }
}
