// How many operators a step runs with networks of as many stages as nnU-Net's Hippocampus (4) and 128^3 (6) plans have. The
// counts do not depend on patch and features. They may fall; what raises one should be worth it. The functors of our own
// kernels are no operators: they do not count here.
import { expect, test } from 'vitest'
import { native } from '../../src/native/load.js'
import { trainerConfig } from './trainer-config.js'

// nnU-Net's own steps have 335 and 567 (views left out, without clipping and SGD).
test.each([
  [4, 85, 41],
  [6, 137, 65],
])('%d stages: at most %d operators a training step, %d a validation batch', async (stages, training, validation) => {
  const axes = <T>(value: T) => [value, value, value]
  const config = trainerConfig({
    featuresPerStage: Array<number>(stages).fill(2),
    kernelSizes: Array.from({ length: stages }, () => axes(3)),
    strides: Array.from({ length: stages }, (_, stage) => axes(stage === 0 ? 1 : 2)),
    inputChannels: 1,
    outputChannels: 3,
    patchSize: axes(2 ** stages),
    batchSize: 2,
    batchDice: false,
    deepSupervisionWeights: Array.from({ length: stages - 1 }, (_, level) => (level < stages - 2 ? 2 ** -level : 0)),
  })
  const trainer = await native().createTrainer(config)
  try {
    await trainer.benchmark({ what: 'cases', count: 1, shape: [70, 70, 70] })
    await trainer.benchmark({ what: 'training', steps: 1, held: true })
    const counts = await trainer.benchmark({ what: 'counts' })
    const calls = (list: typeof counts.training) => list.reduce((sum, operator) => sum + operator.calls, 0)
    expect(calls(counts.training)).toBeLessThanOrEqual(training)
    expect(calls(counts.validation)).toBeLessThanOrEqual(validation)
    expect(counts.allocations.growth).toBe(0)
  } finally {
    await trainer.dispose()
  }
})
