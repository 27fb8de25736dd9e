// A sliding window's sums against a naive reference in float32, to the bit: mirrored copies are added in their order, then
// divided, weighted and added, one rounding each, as ATen's ops did before there was a kernel.
import { describe, expect, it } from 'vitest'
import { callOp } from '../augment/op.js'

interface Problem {
  classes: number
  /** Of the image, the tile, and where it starts. */
  image: number[]
  tile: number[]
  start: number[]
  /** Axes along which each copy is mirrored. */
  copies: number[][]
}

const product = (values: number[]) => values.reduce((result, value) => result * value, 1)

/** Numbers with all bits of float32, or multiples of 1/16, which every number format holds exactly. */
const numbers = (count: number, seed: number, coarse = false) =>
  Float32Array.from({ length: count }, (_, i) => {
    const value = 4 * Math.sin(1.7 * i * i + 0.3 * i + seed)
    return coarse ? Math.round(16 * value) / 16 : value
  })

function dataOf({ classes, image, tile, copies }: Problem, coarse: boolean) {
  const voxels = product(tile)
  return {
    outputs: numbers(copies.length * classes * voxels, 1, coarse),
    weights: numbers(voxels, 2).map((value) => Math.abs(value) + 0.125),
    sums: numbers(classes * product(image), 3),
    weightSums: numbers(product(image), 4).map(Math.abs),
  }
}

function reference(problem: Problem, coarse: boolean) {
  const { classes, image, tile, start, copies } = problem
  const { outputs, weights, sums, weightSums } = dataOf(problem, coarse)
  const [depth = 1, height = 1, width = 1] = tile
  const at = (list: Float32Array, i: number) => list[i] ?? Number.NaN
  const index = (extents: number[], p: number[]) =>
    p.reduce((place, value, axis) => place * (extents[axis] ?? 1) + value, 0)
  for (let z = 0; z < depth; z++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const place = index(
          image,
          [z, y, x].map((value, axis) => value + (start[axis] ?? 0)),
        )
        const weight = at(weights, index(tile, [z, y, x]))
        for (let c = 0; c < classes; c++) {
          let sum = 0
          for (const [copy, axes] of copies.entries()) {
            const source = [z, y, x].map((value, axis) => (axes.includes(axis) ? (tile[axis] ?? 1) - 1 - value : value))
            const value = at(outputs, index([copies.length, classes, ...tile], [copy, c, ...source]))
            sum = copy === 0 ? value : Math.fround(sum + value)
          }
          const to = c * product(image) + place
          sums[to] = at(sums, to) + Math.fround(Math.fround(sum / copies.length) * weight)
        }
        weightSums[place] = at(weightSums, place) + weight
      }
    }
  }
  return { sums, weightSums }
}

const everyMirroring = [[], [0], [1], [0, 1], [2], [0, 2], [1, 2], [0, 1, 2]]
const problems: [string, Problem][] = [
  [
    '3 classes, 8 copies',
    { classes: 3, image: [14, 19, 17], tile: [8, 10, 9], start: [3, 9, 8], copies: everyMirroring },
  ],
  ['a single copy', { classes: 2, image: [9, 8, 21], tile: [5, 8, 20], start: [4, 0, 1], copies: [[]] }],
  ['two copies, in 2D', { classes: 4, image: [6, 13, 11], tile: [1, 7, 11], start: [5, 6, 0], copies: [[], [2]] }],
  ['three copies', { classes: 2, image: [7, 7, 7], tile: [5, 3, 6], start: [0, 2, 1], copies: [[], [1], [0, 2]] }],
  ['one voxel', { classes: 3, image: [1, 1, 1], tile: [1, 1, 1], start: [0, 0, 0], copies: [[], [0]] }],
  ['one class', { classes: 1, image: [5, 7, 9], tile: [5, 7, 3], start: [0, 0, 6], copies: [[], [0, 1, 2]] }],
  ['117 classes', { classes: 117, image: [5, 6, 7], tile: [3, 5, 4], start: [2, 1, 3], copies: [[], [2], [1]] }],
]

describe.each([
  ["the CPU's loops, contiguous", 0, false],
  ["the CPU's loops, channels-last", 1, false],
  ["the CPU's loops, neither", 2, false],
  ["an accelerator's kernels, contiguous", 0, true],
  ["an accelerator's kernels, channels-last", 1, true],
  ["an accelerator's kernels, neither", 2, true],
])("a tile's sums by %s", (_, layout, kernels) => {
  it.each(problems)('%s', (_, problem) => {
    const { classes, image, tile, start, copies } = problem
    for (const format of [0, 1, 2]) {
      const { outputs, weights, sums, weightSums } = dataOf(problem, format > 0)
      const [foundSums, foundWeightSums] = callOp('accumulate_', [
        { data: sums, shape: [classes, ...image] },
        { data: weightSums, shape: image },
        { data: outputs, shape: [copies.length, classes, ...tile] },
        { data: weights, shape: tile },
        start,
        copies.flatMap((axes) => [0, 1, 2].map((axis) => (axes.includes(axis) ? 1 : 0))),
        format,
        layout,
        kernels,
        1,
      ])
      const expected = reference(problem, format > 0)
      expect(foundSums?.data).toEqual(expected.sums)
      expect(foundWeightSums?.data).toEqual(expected.weightSums)
    }
  })
})
