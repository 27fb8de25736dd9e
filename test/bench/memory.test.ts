// The memory of a training step against the least that backward needs: one activation a layer (keptBytes, as nnU-Net's network
// would need with norm and activation fused).
import { expect, test } from 'vitest'
import { bench } from '../../src/bench/measure.js'

test.each([
  [1, 'one thread'],
  [2, 'a thread for each sample'],
])('%d threads: at most 1.3 times the kept activations', async (threads) => {
  const { counts } = await bench({ kind: 'step', plan: 'tiny', threads, warmup: 0, repeat: 1 })
  const ratio = (counts?.peak_bytes ?? Number.NaN) / (counts?.least_kept_bytes ?? Number.NaN)
  console.log(`tiny, ${threads} threads: ${ratio.toFixed(3)} times the kept activations`)
  expect(ratio).toBeLessThanOrEqual(1.3)
  expect(ratio).toBeGreaterThan(1)
})
