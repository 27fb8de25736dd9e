// A few thousand damaged files of each format, always the same; `npm run fuzz` reads a million of each.
import { expect, test } from 'vitest'
import { formats } from './formats.js'
import { fuzz } from './fuzz.js'

test.each(formats)('damaged files: $name', async (format) => {
  const { read } = await fuzz(format, { runs: 2000, seed: 20261123 })
  // The mutations leave some files as they were, and harm others where it does not matter.
  expect(read).toBeGreaterThan(100)
})
