// What training does to a cascade's previous stage: against nnU-Net's operators, and the rates of its draws.
import { readFileSync } from 'node:fs'
import { describe, expect, it, test } from 'vitest'
import type { NativeTensor } from '../../src/native/binding.js'
import { readNpz } from '../npz.js'
import { da5Config, defaultConfig, flatten } from './default-config.js'
import { callOp1 } from './op.js'

const file = (name: string) => new URL(`../goldens/${name}`, import.meta.url).pathname
const { operators } = JSON.parse(readFileSync(file('labels.json'), 'utf8')) as {
  operators: { mask: string; operation: string; radius: number }[]
}
const arrays = readNpz(file('labels.npz'))
const array = (name: string) => arrays[name] as unknown as NativeTensor
const kinds = ['dilation', 'erosion', 'closing', 'opening']

test.each(operators.map((entry, index) => ({ ...entry, index })))(
  "$operation of $mask by $radius voxels is nnU-Net's",
  ({ mask, operation, radius, index }) => {
    const found = callOp1('previous_operator', [array(mask), 1, kinds.indexOf(operation), radius])
    expect(Array.from(found.data, Number)).toEqual(Array.from(array(`operator${index}`).data, Number))
  },
)

const volume = (rows: string[]): NativeTensor => ({
  data: Int16Array.from([...rows.join('')].map(Number)),
  shape: [rows.length, rows[0]?.length ?? 0],
})
const rowsOf = ({ data, shape }: NativeTensor) =>
  Array.from({ length: shape[0] as number }, (_, row) =>
    Array.from(data.slice(row * (shape[1] as number), (row + 1) * (shape[1] as number)), String).join(''),
  )

test('a label that grows takes voxels from others, and leaves background where it shrinks', () => {
  const labels = volume(['00000', '01220', '02220', '02220', '00000'])
  expect(rowsOf(callOp1('previous_operator', [labels, 1, 0, 1]))).toEqual(['01000', '11120', '01220', '02220', '00000'])
  expect(rowsOf(callOp1('previous_operator', [labels, 2, 1, 1]))).toEqual(['00000', '01000', '00200', '00000', '00000'])
})

describe('removal of a component', () => {
  const labels = volume(['1100000', '1100001', '0010010', '2000100', '2222222'])
  const removed = (choice: number, share: number) => rowsOf(callOp1('previous_removal', [labels, 1, choice, share]))

  it('connects by corners and chooses among those that are small enough', () => {
    expect(removed(0.4, 0.5)).toEqual(['0000000', '0000001', '0000010', '2000100', '2222222'])
    expect(removed(0.6, 0.5)).toEqual(['1100000', '1100000', '0010000', '2000000', '2222222'])
    // Five of 35 voxels are not less than a seventh.
    expect(removed(0.1, 1 / 7)).toEqual(removed(0.6, 0.5))
    expect(removed(0.5, 0.01)).toEqual(rowsOf(labels))
  })
})

describe.each([
  ['default', defaultConfig, 0.5],
  ['da5', da5Config, 1],
] as const)('draws of %s', (_, config, perLabel) => {
  const [labels, steps] = [3, 20_000]
  const { data } = callOp1('draw_previous_stage', [flatten({ ...config, maskImage: [false] }), labels, 7, steps])
  const rows = Array.from({ length: steps }, (__, step) => Array.from(data.slice(step * 15, step * 15 + 15), Number))
  const operations = rows.map((row) => [0, 3, 6].map((i) => row.slice(i, i + 3)).filter(([label]) => label !== 0))
  const removals = rows.map((row) => [9, 11, 13].map((i) => row.slice(i, i + 2)).filter(([label]) => label !== 0))
  // Six standard deviations of a share of n draws.
  const expectShare = (found: number, share: number, n: number) =>
    expect(Math.abs(found / n - share)).toBeLessThanOrEqual(6 * Math.sqrt((share * (1 - share)) / n))

  it('acts as often as in nnU-Net', () => {
    const none = (1 - perLabel) ** labels
    expectShare(operations.filter((row) => row.length > 0).length, 0.4 * (1 - none), steps)
    expectShare(removals.filter((row) => row.length > 0).length, 0.2 * (1 - none), steps)
    expect(Math.abs(operations.flat().length / steps - 0.4 * labels * perLabel)).toBeLessThan(0.04)
    expect(Math.abs(removals.flat().length / steps - 0.2 * labels * perLabel)).toBeLessThan(0.04)
  })

  it('draws operators, radii, choices and orders evenly', () => {
    const all = operations.flat()
    for (const kind of [0, 1, 2, 3]) expectShare(all.filter((row) => row[1] === kind).length, 0.25, all.length)
    const radii = all.map((row) => row[2] as number)
    expect(Math.min(...radii)).toBeGreaterThanOrEqual(1)
    expect(Math.max(...radii)).toBeLessThan(8)
    expectShare(radii.filter((radius) => radius < 4.5).length, 0.5, radii.length)
    expectShare(removals.flat().filter((row) => (row[1] as number) < 0.5).length, 0.5, removals.flat().length)
    const complete = operations.filter((row) => row.length === labels)
    for (const label of [1, 2, 3]) {
      expectShare(complete.filter((row) => row[0]?.[0] === label).length, 1 / 3, complete.length)
    }
  })
})
