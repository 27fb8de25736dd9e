// Durations, paces and rates as people read them.
import { describe, expect, test } from 'vitest'
import { formatBytes, formatDuration, formatFixed, formatPace, formatRate } from '../../src/report/format.js'

describe('formatDuration', () => {
  test.each([
    [0, '0s'],
    [59.4, '59s'],
    [59.6, '1m00s'],
    [185, '3m05s'],
    [3599.7, '1h00m'],
    [8040, '2h14m'],
    [86_370, '1d00h'],
    [270_000, '3d03h'],
    [null, '-'],
    [Number.NaN, '-'],
    [-1, '-'],
  ])('%s seconds is %s', (seconds, text) => expect(formatDuration(seconds)).toBe(text))
})

test('learning rates keep three digits and stay short', () => {
  expect([0.01, 0.0095312, 0.00031234, 3.14e-6, 0].map(formatRate)).toEqual([
    '0.01',
    '0.00953',
    '0.000312',
    '3.1e-6',
    '0',
  ])
})

test('numbers that are missing or not finite are dashes', () => {
  expect([0.12345, null, undefined, Number.NaN].map((value) => formatFixed(value, 3))).toEqual(['0.123', '-', '-', '-'])
})

test('a slow pace is given in seconds a step', () => {
  expect([3.12, 0.25, 0].map((pace) => formatPace(pace, 'step'))).toEqual(['3.1 steps/s', '4.0 s/step', ''])
})

test('bytes come in binary units', () => {
  expect([0, 512, 2 ** 20, 3.4 * 2 ** 30].map(formatBytes)).toEqual(['0 B', '512 B', '1.0 MiB', '3.4 GiB'])
})
