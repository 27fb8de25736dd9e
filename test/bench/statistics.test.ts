// Quantiles and ratios on numbers that can be worked out by hand.
import { expect, test } from 'vitest'
import { boundOf, ratioOf } from '../../src/bench/result.js'
import { meanOf, quantile, summarize } from '../../src/bench/statistics.js'

test('quantiles interpolate between neighbors, whatever the order', () => {
  expect(summarize([5, 1, 4, 2, 3])).toEqual({ min: 1, p50: 3, p95: 4.8 })
  expect(quantile([10, 20], 0.5)).toBe(15)
  expect(quantile([7], 0.95)).toBe(7)
  expect(quantile([], 0.5)).toBeNaN()
  // 10 is above 9 as a number, below it as text.
  expect(quantile(Float32Array.of(10, 9, 100), 1)).toBe(100)
  expect(meanOf([1, 2, 6])).toBe(3)
})

test('a ratio is the middle of the ratios of pairs, not the ratio of the middles', () => {
  expect(ratioOf([2, 9, 4], [1, 3, 4])).toEqual({ ratio: 2, low: 1.5, high: 2.5 })
})

test.each([
  ['data', 100, 0.6, 0.03, 0.035],
  ['arithmetic', 100, 0.1, 0.06, 0.07],
  ['memory', 100, 0.1, 0.02, 0.08],
  ['kernels', 100, 0.1, 0.02, 0.03],
] as const)('bound by %s where its share is the largest', (bound, stepMs, dataShare, arithmeticSeconds, seconds) => {
  expect(boundOf(stepMs, dataShare, { arithmeticSeconds, seconds })).toBe(bound)
})
