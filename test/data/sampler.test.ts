// Properties of the patch sampler: bounds, rates, oversampling and padding, against a plain restatement of the rules.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { callOp } from '../augment/op.js'
import { binomialDeviation } from '../augment/statistics.js'

type Triple = [number, number, number]
const triple = (min: number, max: number) =>
  fc.tuple(...([0, 1, 2].map(() => fc.integer({ min, max })) as [never, never, never])) as fc.Arbitrary<Triple>
const none = { data: new BigInt64Array(0), shape: [0, 4] }

function starts(
  shape: Triple,
  load: Triple,
  patch: Triple,
  forced: boolean,
  classes: number[][],
  seed: number,
  count: number,
): Triple[] {
  const rows = classes.length
    ? { data: BigInt64Array.from(classes.flat().map(BigInt)), shape: [classes.length, 4] }
    : none
  const [result] = callOp('draw_box_starts', [shape, load, patch, forced, rows, seed, count])
  const values = Array.from(result?.data as BigInt64Array, Number)
  return Array.from({ length: count }, (_, i) => values.slice(3 * i, 3 * i + 3) as Triple)
}

/** 1 for every sample of a batch that is forced to show foreground. */
const forced = (batchSize: number, share: number, byProbability: boolean, step: number) =>
  Array.from(callOp('forced_samples', [batchSize, share, byProbability, 3, step])[0]?.data ?? [], Number)

/** Lowest and highest start along an axis. */
function bounds(shape: number, load: number, patch: number): [number, number] {
  const need = Math.max(load - patch, load - shape)
  const half = Math.ceil(need / 2)
  return [half === 0 ? 0 : -half, shape + half - load]
}

describe('patch sampler', () => {
  it('forces the last third of a batch, rounding half to even', () => {
    for (const [i, count] of [0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4].entries()) {
      const expected = Array.from({ length: i + 1 }, (_, sample) => Number(sample > i - count))
      expect(forced(i + 1, 0.33, false, 0)).toEqual(expected)
    }
  })

  it('forces each sample for itself where a probability is asked for', () => {
    const steps = 20000
    const batches = Array.from({ length: steps }, (_, step) => forced(3, 0.33, true, step))
    const rate = (condition: (batch: number[]) => boolean, probability: number) =>
      expect(binomialDeviation(batches.filter(condition).length, steps, probability)).toBeLessThan(3.9)
    for (const sample of [0, 1, 2]) rate((batch) => batch[sample] === 1, 0.33)
    rate((batch) => batch[0] === 1 && batch[2] === 1, 0.33 ** 2)
    rate((batch) => batch.every((value) => value === 0), 0.67 ** 3)
  })

  it('draws every start within the bounds and reaches both ends', () => {
    fc.assert(
      fc.property(triple(1, 12), triple(1, 9), triple(0, 5), fc.nat(1e6), (shape, patch, margin, seed) => {
        const load = patch.map((extent, axis) => extent + (margin[axis] ?? 0)) as Triple
        const drawn = starts(shape, load, patch, false, [], seed, 200)
        for (const axis of [0, 1, 2]) {
          const [lowest, highest] = bounds(shape[axis] ?? 0, load[axis] ?? 0, patch[axis] ?? 0)
          const values = drawn.map((start) => start[axis] ?? Number.NaN)
          expect(Math.min(...values)).toBe(lowest)
          expect(Math.max(...values)).toBe(highest)
        }
      }),
      { numRuns: 40 },
    )
  })

  it('draws starts uniformly (chi-square, p > 1e-6)', () => {
    const count = 9000
    const drawn = starts([20, 20, 20], [12, 12, 12], [12, 12, 12], false, [], 5, count)
    for (const axis of [0, 1, 2]) {
      const histogram = Array(9).fill(0) as number[]
      for (const start of drawn) histogram[start[axis] ?? -1] = (histogram[start[axis] ?? -1] ?? 0) + 1
      const chiSquare = histogram.reduce((sum, observed) => sum + (observed - count / 9) ** 2 / (count / 9), 0)
      expect(chiSquare).toBeLessThan(42.7) // 8 degrees of freedom
    }
  })

  it('centers a forced box on a voxel of a class that occurs, clamped at the lower bound only', () => {
    fc.assert(
      fc.property(
        triple(4, 20),
        triple(3, 9),
        fc.array(fc.tuple(fc.integer({ min: 0, max: 2 }), triple(0, 3)), { minLength: 1, maxLength: 8 }),
        fc.nat(1e6),
        (shape, patch, voxels, seed) => {
          const present = [...new Set(voxels.map(([label]) => label))].sort()
          const rows = voxels.map(([label, voxel]) => [present.indexOf(label), ...voxel])
          const load = patch.map((extent) => extent + 4) as Triple
          const allowed = new Set(
            voxels.map(([, voxel]) =>
              voxel
                .map((v, axis) =>
                  Math.max(
                    bounds(shape[axis] ?? 0, load[axis] ?? 0, patch[axis] ?? 0)[0],
                    v - Math.floor((load[axis] ?? 0) / 2),
                  ),
                )
                .join(),
            ),
          )
          const drawn = new Set(starts(shape, load, patch, true, rows, seed, 300).map((start) => start.join()))
          expect(drawn).toEqual(allowed)
        },
      ),
      { numRuns: 40 },
    )
  })

  it('chooses classes, not voxels, with equal probability', () => {
    const many = Array.from({ length: 90 }, (_, i) => [0, 10, 10, 5 + Math.floor(i / 10)])
    const drawn = starts([40, 40, 40], [8, 8, 8], [8, 8, 8], true, [...many, [1, 30, 30, 30]], 3, 4000)
    const rare = drawn.filter((start) => start[0] === 26).length
    expect(Math.abs(rare / 4000 - 0.5)).toBeLessThan(0.05) // 6 standard deviations
  })

  it('with an ignore label shows annotated voxels in every sample that is not forced', () => {
    const annotated = [
      [-1, 10, 11, 12],
      [-1, 30, 20, 25],
    ]
    const foreground = [[0, 5, 6, 7]]
    const box = [8, 8, 8] as Triple
    const draw = (forced: boolean, classes: number[][]) => {
      const drawn = starts([40, 40, 40], box, box, forced, classes, 4, 2000).map((start) => start.join())
      return Object.fromEntries([...new Set(drawn)].map((start) => [start, drawn.filter((s) => s === start).length]))
    }
    const free = draw(false, [...annotated, ...foreground])
    expect(Object.keys(free).sort()).toEqual(['26,16,21', '6,7,8'])
    expect(Math.abs((free['6,7,8'] ?? 0) - 1000)).toBeLessThan(135) // 6 standard deviations
    // The annotated voxels are no class of their own while there is another.
    expect(Object.keys(draw(true, [...annotated, ...foreground]))).toEqual(['1,2,3'])
    expect(draw(true, annotated)).toEqual(draw(false, annotated))
  })

  it('draws uniformly where a case has no foreground', () => {
    const uniform = starts([9, 9, 9], [5, 5, 5], [5, 5, 5], false, [], 8, 50)
    expect(starts([9, 9, 9], [5, 5, 5], [5, 5, 5], true, [], 8, 50)).toEqual(uniform)
  })

  it('pads the image with 0 and the segmentation with -1', () => {
    fc.assert(
      fc.property(triple(1, 6), triple(-7, 7), triple(1, 7), (shape, start, extent) => {
        const size = shape.reduce((product, n) => product * n, 1)
        const image = { data: Float32Array.from({ length: size }, (_, i) => i + 1), shape: [1, ...shape] }
        const segmentation = { data: Int16Array.from({ length: size }, (_, i) => i), shape: [...shape] }
        const [cut, labels] = callOp('crop', [image, segmentation, start, extent])
        let index = 0
        for (let z = 0; z < extent[0]; z++) {
          for (let y = 0; y < extent[1]; y++) {
            for (let x = 0; x < extent[2]; x++, index++) {
              const [cz, cy, cx] = [z + start[0], y + start[1], x + start[2]]
              const inside = cz >= 0 && cy >= 0 && cx >= 0 && cz < shape[0] && cy < shape[1] && cx < shape[2]
              const source = (cz * shape[1] + cy) * shape[2] + cx
              expect(cut?.data[index]).toBe(inside ? source + 1 : 0)
              expect(labels?.data[index]).toBe(inside ? source : -1)
            }
          }
        }
        expect(cut?.shape).toEqual([1, ...extent])
      }),
      { numRuns: 150 },
    )
  })
})
