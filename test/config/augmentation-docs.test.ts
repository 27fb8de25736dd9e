// docs/augmentation.md states the presets' numbers as they are.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { augmentationPresets } from '../../src/config/augmentation-presets.js'

test('the table of the chain holds every number of default and da5', () => {
  const page = readFileSync(new URL('../../docs/augmentation.md', import.meta.url), 'utf8')
  const rows = [...page.matchAll(/^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|/gm)].map(([, ...cells]) => cells as string[])
  const column = (index: number) =>
    Object.fromEntries(
      rows
        .filter(([name]) => (name as string) in augmentationPresets.default)
        .map((row) => [row[0], JSON.parse(row[index] as string)]),
    )
  expect(column(1)).toEqual(augmentationPresets.default)
  expect(column(2)).toEqual(augmentationPresets.da5)
})
