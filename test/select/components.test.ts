// Removal of all but the largest component, against a naive search and by hand.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { keepLargestComponent } from '../../src/select/components.js'

type Shape = [number, number, number]

/** Components by repeated spreading of the smallest index among neighbors. */
function naive(labels: Float32Array, [depth, height, width]: Shape, wanted: number[]): Float32Array {
  const group = Array.from(labels, (label, i) => (wanted.includes(label) ? i : -1))
  const at = (i: number) => [Math.floor(i / (height * width)), Math.floor(i / width) % height, i % width] as const
  for (let changed = true; changed; ) {
    changed = false
    for (let i = 0; i < group.length; i++) {
      for (let j = 0; j < group.length; j++) {
        const near = at(i).every((position, axis) => Math.abs(position - (at(j)[axis] as number)) <= 1)
        const [a, b] = [group[i] as number, group[j] as number]
        if (!near || a < 0 || b < 0 || a <= b) continue
        group[i] = b
        changed = true
      }
    }
  }
  const size = (id: number) => group.filter((other) => other === id).length
  const largest = Math.max(...group.filter((id) => id >= 0).map(size))
  expect(depth * height * width).toBe(labels.length)
  return labels.map((label, i) => ((group[i] as number) >= 0 && size(group[i] as number) < largest ? 0 : label))
}

describe('keepLargestComponent', () => {
  test('equals a naive search on random labels', () => {
    const cases = fc.tuple(
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 5 }),
    )
    const labelled = cases.chain((shape) => {
      const count = shape[0] * shape[1] * shape[2]
      const values = fc.array(fc.constantFrom(0, 0, 0, 1, 2, 3), { minLength: count, maxLength: count })
      return fc.tuple(fc.constant(shape as Shape), values, fc.subarray([1, 2, 3], { minLength: 1 }))
    })
    fc.assert(
      fc.property(labelled, ([shape, values, wanted]) => {
        const labels = Float32Array.from(values)
        expect(keepLargestComponent(labels, shape, wanted)).toEqual(naive(labels, shape, wanted))
      }),
      { numRuns: 200 },
    )
  })

  test('joins over corners, keeps all of the largest size, and other labels', () => {
    const joined = Float32Array.of(1, 0, 0, 1)
    expect(keepLargestComponent(joined, [1, 2, 2], [1])).toBe(joined)
    const equal = Float32Array.of(1, 0, 1, 2, 0, 2, 2)
    expect([...keepLargestComponent(equal, [1, 1, 7], [1])]).toEqual([...equal])
    expect([...keepLargestComponent(equal, [1, 1, 7], [2])]).toEqual([1, 0, 1, 0, 0, 2, 2])
    expect([...keepLargestComponent(equal, [1, 1, 7], [1, 2])]).toEqual([0, 0, 1, 2, 0, 2, 2])
  })
})
