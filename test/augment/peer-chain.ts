// Draws of nnU-Net's own augmentation for comparison. Needs VOXGRAD_PEER_DATA: a folder with
// augmentation/{CHAIN.json,CHAIN.npz,fixture_CHAIN.npz}.
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { expect } from 'vitest'
import type { AugmentationConfig, NativeTensor } from '../../src/native/binding.js'
import { readNpz } from '../npz.js'
import { flatten } from './default-config.js'
import { callOp } from './op.js'
import { kolmogorovSmirnov } from './statistics.js'

/** Mean, standard deviation, minimum and maximum of every channel. */
function channelStatistics({ data, shape }: NativeTensor): number[] {
  const size = data.length / (shape[0] as number)
  const result: number[] = []
  for (let c = 0; c < (shape[0] as number); c++) {
    const channel = Float64Array.from((data as Float32Array).subarray(c * size, (c + 1) * size))
    const mean = channel.reduce((sum, x) => sum + x, 0) / size
    const variance = channel.reduce((sum, x) => sum + (x - mean) ** 2, 0) / size
    const low = channel.reduce((a, b) => Math.min(a, b))
    result.push(
      mean,
      Math.sqrt(variance),
      low,
      channel.reduce((a, b) => Math.max(a, b)),
    )
  }
  return result
}

/** What a chain made of nnU-Net's fixture, and what ours makes of it. */
export function openPeerChain(chain: 'default' | 'da5') {
  const folder = process.env.VOXGRAD_PEER_DATA ? path.join(process.env.VOXGRAD_PEER_DATA, 'augmentation') : ''
  const available = folder !== '' && existsSync(path.join(folder, `${chain}.npz`))
  if (!available) {
    console.log(`skipped: distributions against nnU-Net need VOXGRAD_PEER_DATA with augmentation/${chain}.npz`)
  }
  const peer = available ? (readNpz(path.join(folder, `${chain}.npz`)) as Record<string, NativeTensor>) : {}
  const fixture = available ? (readNpz(path.join(folder, `fixture_${chain}.npz`)) as Record<string, NativeTensor>) : {}
  const report = available ? JSON.parse(readFileSync(path.join(folder, `${chain}.json`), 'utf8')) : {}
  /** What nnU-Net drew for one parameter, or the statistics of what came out, flattened. */
  const values = (key: string) => Array.from(peer[key]?.data ?? [], Number)
  const patch = report.patch_size as number[]
  const image = fixture.image as NativeTensor
  const wholeSegmentation = fixture.seg as NativeTensor
  const segmentation = { data: wholeSegmentation?.data, shape: wholeSegmentation?.shape.slice(1) } as NativeTensor

  /** `count` runs of the chain; with only the changed ones where asked for. */
  function run(
    config: AugmentationConfig,
    count: number,
    changedOnly: boolean,
  ): { image: number[]; labels: number[] }[] {
    const [untouched] = callOp('spatial', [image, segmentation, true, false, [0, 0, 0], [1, 1, 1], patch]) as [
      NativeTensor,
    ]
    const results = []
    for (let step = 0; step < count; step++) {
      const [x, y] = callOp('augment', [image, segmentation, flatten(config), patch, 3, step, 0]) as [
        NativeTensor,
        NativeTensor,
      ]
      if (changedOnly && x.data.every((value, i) => value === untouched.data[i])) continue
      const counts = [0, 0, 0, 0]
      for (const label of y.data) counts[Number(label) + 1] = (counts[Number(label) + 1] ?? 0) + 1
      const shares = counts.map((count) => count / y.data.length)
      results.push({ image: channelStatistics(x), labels: shares })
    }
    return results
  }

  // What a transform keeps up to rounding must count as equal.
  const rounded = (value: number) => Math.round(value * 1e4) / 1e4

  /** Kolmogorov-Smirnov of each of `width` columns. */
  function compare(key: string, width: number, ours: number[][]) {
    const theirs = values(key).map(rounded)
    for (let column = 0; column < width; column++) {
      const p = kolmogorovSmirnov(
        ours.map((row) => rounded(row[column] as number)),
        theirs.filter((_, i) => i % width === column),
      )
      expect(p, `${key}, column ${column}`).toBeGreaterThan(1e-4)
    }
  }

  return { available, values, run, compare }
}
