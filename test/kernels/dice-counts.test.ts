// Counts of hard predictions against a naive count; ties, edges of the sigmoid and labels to ignore included.
import { describe, expect, it } from 'vitest'
import { callOp1 } from '../augment/op.js'

interface Problem {
  shape: number[]
  regions?: boolean
  ignore?: number
}

const product = (values: number[]) => values.reduce((result, value) => result * value, 1)

/** Few different values, so that many are equal; about a sixteenth are tiny, and a few are no numbers. */
const logitsOf = (count: number, regions: boolean) =>
  Float32Array.from({ length: count }, (_, i) => {
    const value = Math.round(3 * Math.sin(1.7 * i * i + 0.3 * i))
    if (i % 16 === 3) return [0, 1e-10, 8e-8, 1e-7, -1e-7][(i >> 4) % 5] as number
    return i % 97 === 5 && !regions ? Number.NaN : value
  })

function dataOf({ shape, regions = false, ignore }: Problem) {
  const [samples = 0, channels = 0, ...extents] = shape
  const logits = logitsOf(product(shape), regions)
  const labels = Int16Array.from({ length: samples * product(extents) }, (_, i) =>
    ignore !== undefined && i % 5 === 2 ? ignore : (Math.floor(i / 3) * 7 + (i % 2)) % (channels + (regions ? 1 : 0)),
  )
  const outputs = Array.from({ length: channels }, (_, output) =>
    regions ? Array.from({ length: channels - output }, (_, i) => output + 1 + i) : [output],
  )
  return { logits, labels, outputs }
}

/** Rows of true positives, false positives and false negatives, flat. */
function reference(problem: Problem): number[] {
  const { shape, regions = false, ignore } = problem
  const { logits, labels, outputs } = dataOf(problem)
  const [samples = 0, channels = 0, ...extents] = shape
  const voxels = product(extents)
  const first = regions ? 0 : 1
  const counts = [0, 1, 2].map(() => new Array<number>(channels - first).fill(0))
  for (let i = 0; i < samples * voxels; i++) {
    if (labels[i] === ignore) continue
    const place = Math.floor(i / voxels) * channels * voxels + (i % voxels)
    const x = Array.from({ length: channels }, (_, c) => logits[place + c * voxels] ?? 0)
    const undefinedOnes = x.map((value, c) => (Number.isNaN(value) ? c : -1)).filter((c) => c >= 0)
    const winner = undefinedOnes[0] ?? x.indexOf(Math.max(...x))
    for (let c = first; c < channels; c++) {
      const sigmoid = Math.fround(1 / Math.fround(1 + Math.fround(Math.exp(-(x[c] ?? 0)))))
      const predicted = regions ? sigmoid > 0.5 : winner === c
      const present = outputs[c]?.includes(labels[i] ?? -1) ?? false
      const row = counts[predicted ? (present ? 0 : 1) : present ? 2 : 3]
      if (row) row[c - first] = (row[c - first] ?? 0) + 1
    }
  }
  return counts.flat()
}

const problems: [string, Problem][] = [
  ['3 classes', { shape: [2, 3, 20, 24, 18] }],
  ['2D', { shape: [3, 5, 33, 17] }],
  ['one voxel', { shape: [1, 3, 1, 1, 1] }],
  ['an ignore label', { shape: [2, 4, 9, 8, 7], ignore: 4 }],
  ['8 classes', { shape: [1, 8, 6, 7, 5] }],
  ['9 classes, an ignore label', { shape: [2, 9, 6, 7, 5], ignore: 9 }],
  ['117 classes', { shape: [2, 117, 4, 5, 6] }],
  ['more partial sums than one fold takes', { shape: [1, 2, 32, 40, 33] }],
  ['regions', { shape: [2, 3, 9, 8, 7], regions: true }],
  ['one region', { shape: [2, 1, 5, 6, 4], regions: true }],
  ['12 regions, an ignore label', { shape: [2, 12, 5, 6, 7], regions: true, ignore: 13 }],
]

describe.each([
  ["the CPU's loops, contiguous", 0, false],
  ["the CPU's loops, channels-last", 1, false],
  ["the CPU's loops, neither", 2, false],
  ["an accelerator's kernels, contiguous", 0, true],
  ["an accelerator's kernels, channels-last", 1, true],
  ["an accelerator's kernels, neither", 2, true],
])('counts by %s', (_, layout, kernels) => {
  it.each(problems)('%s', (_, problem) => {
    const { logits, labels, outputs } = dataOf(problem)
    const { shape, regions = false, ignore = -1 } = problem
    const { data } = callOp1('count_dice', [
      { data: logits, shape },
      { data: labels, shape: [shape[0] ?? 0, ...shape.slice(2)] },
      outputs.flatMap((list) => [...list, -1]),
      regions,
      ignore,
      layout,
      kernels,
      2, // counts are added to what is there
    ])
    expect(Array.from(data as ArrayLike<number | bigint>, (value) => Number(value) / 2)).toEqual(reference(problem))
  })
})
