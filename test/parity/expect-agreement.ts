// Runs a comparison of kinds/ in vitest.
import { describe, expect, test } from 'vitest'
import { comparisonOf, type Item } from './item.js'

/** A test that every item in `folder` agrees; skipped, saying why, where `variable` names no folder. */
export function expectAgreement(kind: string, folder: string | undefined, variable: string): void {
  describe(`parity with nnU-Net: ${kind}`, () => {
    const title = folder === undefined ? `skipped: ${variable} names no folder of goldens` : folder
    test.skipIf(folder === undefined)(title, { timeout: 600_000 }, async () => {
      const compare = await comparisonOf(kind)
      let compared = 0
      for await (const item of compare(folder as string)) {
        expect(item.differences, item.name).toEqual([])
        if (item.skipped !== undefined) console.log(`${kind}: ${item.name} skipped: ${item.skipped}`)
        else compared += 1
      }
      console.log(`${kind}: ${compared} items equal`)
      expect(compared).toBeGreaterThan(0)
    })
  })
}

/** Expects that all of `count` items agree, and prints what was found of each, after `title`. */
export async function expectAgreeing(
  items: AsyncIterable<Item> | Iterable<Item>,
  count: number,
  title = '',
): Promise<void> {
  let compared = 0
  for await (const item of items) {
    console.log(`${title}${item.name}: ${item.note}`)
    expect.soft(item.differences, title + item.name).toEqual([])
    compared++
  }
  expect(compared).toBe(count)
}
