// Lines through noisy values: against whole-matrix goldens, textbook quantiles, and noise of known strength.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { direction, fitLine, flattens, type Line, type Series, studentQuantile } from '../../src/train/trend.js'
import { seededNoise } from './curves/noise.js'

const goldens = JSON.parse(readFileSync(new URL('../goldens/trend.json', import.meta.url), 'utf8')) as (Series & {
  line: Line & { bend: number; bendError: number }
})[]

describe('against computations with whole matrices', () => {
  test.each(goldens.map((golden) => [golden.times.length, golden] as const))('%i values', (_, { line, ...series }) => {
    const found = fitLine(series, Math.log2)
    for (const key of ['slope', 'error', 'freedom', 'level', 'scatter', 'autocorrelation'] as const) {
      expect(found[key] / line[key]).toBeCloseTo(1, 8)
    }
    expect(flattens(series, Math.log2)).toBe(line.bend + studentQuantile(line.freedom) * line.bendError < 0)
  })
})

test("Student's quantiles are those of the tables", () => {
  const table = { 4: 2.131847, 5: 2.015048, 10: 1.812461, 30: 1.697261, 120: 1.657651 }
  for (const [freedom, quantile] of Object.entries(table)) {
    expect(Math.abs(studentQuantile(Number(freedom)) / quantile - 1)).toBeLessThan(3e-4)
  }
})

test('neither the unit of the regressor nor that of the values decides', () => {
  const { times, values } = goldens[2] as Series
  const line = fitLine({ times, values }, Math.log2)
  const scaled = fitLine({ times, values: values.map((value) => 1000 * value) }, (time) => 1e-6 * Math.log2(time))
  expect(scaled.slope / scaled.error).toBeCloseTo(line.slope / line.error, 6)
  expect(scaled.autocorrelation).toBeCloseTo(line.autocorrelation, 8)
})

test('constant values have no direction, noiseless ones a clear one', () => {
  const times = Array.from({ length: 30 }, (_, i) => i + 31)
  const lineOf = (value: (time: number) => number) => fitLine({ times, values: times.map(value) }, Math.log2)
  expect(direction(lineOf(() => 0.1))).toBe(0)
  expect(direction(lineOf(() => 0))).toBe(0)
  expect(direction(lineOf((time) => 0.1 + 0.01 * Math.log2(time)))).toBe(1)
  expect(direction(lineOf((time) => 0.1 - 0.01 * Math.log2(time)))).toBe(-1)
})

test('a curve that levels off flattens, a straight and a steepening one do not', () => {
  const noise = seededNoise(5)
  const times = Array.from({ length: 100 }, (_, i) => i + 101)
  const errors = noise(100, 0.3, 0.002)
  const bends = (curve: (time: number) => number) =>
    flattens({ times, values: times.map((time, i) => curve(time) + (errors[i] as number)) }, Math.log2)
  expect(bends((time) => 0.8 - Math.exp(-time / 30))).toBe(true)
  expect(bends((time) => 0.8 + 0.05 * Math.log2(time))).toBe(false)
  expect(bends((time) => 0.8 + (time / 500) ** 2)).toBe(false)
})
