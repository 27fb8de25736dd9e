// What a chart leaves out of many points, and what it must keep.
import { describe, expect, it } from 'vitest'
import { decimate, nearest } from '../../src/dashboard/page/decimate.js'

const count = 100_000
const width = 500
const x = Array.from({ length: count }, (_, index) => index)

describe('decimate', () => {
  it('keeps the lowest and highest value of every pixel column, and few points', () => {
    const values = x.map((index) => Math.sin(index / 900) + ((index * 7919) % 1000) / 5000)
    const kept = decimate(x, [values], [0, count - 1], width)
    expect(kept.length).toBeLessThanOrEqual(4 * (width + 1))
    const columnOf = (index: number) => Math.floor((index * width) / (count - 1))
    const extremes = (indices: readonly number[]) => {
      const found = new Map<number, [number, number]>()
      for (const index of indices) {
        const value = values[index] as number
        const [low, high] = found.get(columnOf(index)) ?? [value, value]
        found.set(columnOf(index), [Math.min(low, value), Math.max(high, value)])
      }
      return found
    }
    expect(extremes(kept)).toEqual(extremes(x))
  })

  it('keeps a lone spike, and the ends', () => {
    const values = x.map((index) => (index === 61_803 ? 9 : 0))
    const kept = decimate(x, [values], [0, count - 1], width)
    expect(kept).toContain(61_803)
    expect([kept[0], kept.at(-1)]).toEqual([0, count - 1])
  })

  it('keeps the extremes of several lines with gaps, in ascending order', () => {
    const first = x.map((index) => (index % 3 === 0 ? null : index === 5000 ? -4 : 1))
    const second = x.map((index) => (index === 70_001 ? 4 : null))
    const kept = decimate(x, [first, second], [0, count - 1], width)
    expect(kept).toContain(5000)
    expect(kept).toContain(70_001)
    expect(kept).toEqual([...new Set(kept)].sort((a, b) => a - b))
  })

  it('leaves all points of a narrow range, with one beyond each end', () => {
    const kept = decimate(x, [x], [1000.5, 1010.5], width)
    expect(kept).toEqual(Array.from({ length: 12 }, (_, index) => 1000 + index))
  })

  it('has nothing to keep of nothing', () => {
    expect(decimate([], [[]], [0, 1], width)).toEqual([])
    expect(nearest([], 3)).toBe(-1)
  })
})
