// Splits equal those of scikit-learn and numpy (test/goldens/make_splits.py); splits_final.json is read and checked.
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { RandomState } from '../../src/dataset/numpy-random.js'
import { casesOfFold, makeSplits, readOrWriteSplits } from '../../src/dataset/splits.js'

const golden = JSON.parse(readFileSync(path.join(import.meta.dirname, '../goldens/splits.json'), 'utf8')) as {
  folds: Record<string, number[][]>
  beyond: { n: number; fold: number; train: number[] }[]
}
const cases = (count: number) => Array.from({ length: count }, (_, i) => `case_${String(i).padStart(4, '0')}`)

describe('makeSplits', () => {
  test.each(Object.entries(golden.folds))('%s cases as scikit-learn', (count, folds) => {
    const ids = cases(Number(count))
    const splits = makeSplits([...ids].reverse())
    expect(splits.map((split) => split.val)).toEqual(folds.map((fold) => fold.map((index) => ids[index])))
    for (const split of splits) expect([...split.train, ...split.val].sort()).toEqual(ids)
  })

  test('Hippocampus: fold sizes and the first shuffled indices', () => {
    expect(makeSplits(cases(208)).map((split) => split.val.length)).toEqual([42, 42, 42, 41, 41])
    expect(new RandomState(12345).permutation(208).slice(0, 6)).toEqual([67, 178, 132, 152, 151, 68])
  })

  test('every case is held out exactly once', () => {
    fc.assert(
      fc.property(fc.integer({ min: 5, max: 300 }), (count) => {
        const held = makeSplits(cases(count)).flatMap((split) => split.val)
        expect(held.sort()).toEqual(cases(count))
      }),
      { numRuns: 30 },
    )
  })

  test('fewer than five cases are refused', () => {
    expect(() => makeSplits(cases(4))).toThrow(/at least 5 cases for cross-validation, found 4/)
  })
})

describe('casesOfFold', () => {
  test.each(golden.beyond)('fold $fold beyond the list, $n cases', ({ n, fold, train }) => {
    const ids = cases(n)
    const split = casesOfFold([], ids, fold)
    expect(split.train).toEqual(train.map((index) => ids[index]))
    expect([...split.train, ...split.val].sort()).toEqual(ids)
  })

  test('all: every case in both', () => {
    expect(casesOfFold([], ['b', 'a'], 'all')).toEqual({ train: ['a', 'b'], val: ['a', 'b'] })
  })
})

describe('readOrWriteSplits', () => {
  const folder = () => mkdtempSync(path.join(tmpdir(), 'voxgrad-splits-'))

  test('writes once, then reads', async () => {
    const target = folder()
    const made = await readOrWriteSplits(target, cases(9))
    const file = path.join(target, 'splits_final.json')
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(made)
    const own = [{ train: ['case_0001'], val: ['case_0002'] }]
    writeFileSync(file, JSON.stringify(own))
    expect(await readOrWriteSplits(target, cases(9))).toEqual(own)
  })

  test('names cases that are not there, and faulty files', async () => {
    const target = folder()
    const file = path.join(target, 'splits_final.json')
    writeFileSync(file, JSON.stringify([{ train: ['x'], val: ['case_0002', 'y'] }]))
    await expect(readOrWriteSplits(target, cases(9))).rejects.toThrow(/lack: x, y/)
    writeFileSync(file, JSON.stringify([{ train: 'x' }]))
    await expect(readOrWriteSplits(target, cases(9))).rejects.toMatchObject({ code: 'ERR_DATASET' })
    writeFileSync(file, '[{ "train"')
    await expect(readOrWriteSplits(target, cases(9))).rejects.toMatchObject({ code: 'ERR_FORMAT' })
  })
})
