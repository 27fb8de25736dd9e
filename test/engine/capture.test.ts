// Captured checkpoints: what they hold, when they are refused, and that training goes on meanwhile.

import { readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import { afterEach, beforeAll, expect, it } from 'vitest'
import type { NativeTrainer } from '../../src/native/binding.js'
import { native } from '../../src/native/load.js'
import { failureOf, temporaryFolder } from '../io/support.js'
import { ordinary, smallConfig, writeCase } from './preprocessed-cases.js'

const folder = temporaryFolder()
const entries = { grad_scaler_state: null, current_epoch: 3, logging: { lrs: [0.5, 0.25] } }
let trainer: NativeTrainer

beforeAll(() => writeCase(folder, 'case', ordinary))
afterEach(() => trainer.dispose())

async function trainSteps(...learningRates: number[]): Promise<void> {
  trainer = await native().createTrainer(smallConfig)
  await trainer.loadCases({ folder, training: ['case'], validation: [], labels: [0, 1, 2] })
  await trainer.runTraining({ learningRates: Float64Array.from(learningRates) })
}

it('is what a save at that moment is, also after more steps, for every path', async () => {
  await trainSteps(0.1, 0.1)
  const saved = `${folder}/saved.pth`
  const save = async () =>
    native().writeCheckpoint(saved, await trainer.captureCheckpoint({ entries, learningRate: 0.125 }))
  await save()
  const captured = await trainer.captureCheckpoint({ entries, learningRate: 0.125 })
  await trainer.runTraining({ learningRates: Float64Array.of(0.1, 0.1) })
  const files = ['first.pth', 'another-name.of-it.pth'].map((name) => `${folder}/${name}`)
  await Promise.all(files.map((file) => native().writeCheckpoint(file, captured)))
  for (const file of files) {
    expect(await native().readTorchFile(file)).toEqual(await native().readTorchFile(saved))
    expect(statSync(file).size).toBeGreaterThan(captured.bytes)
    // torch.save's name for the container's folder.
    expect(readFileSync(file).toString('latin1', 30, 100)).toContain(`${path.basename(file, '.pth')}/data.pkl`)
  }
  const read = (await native().readTorchFile(files[0] as string)) as Record<string, unknown>
  expect(read).toMatchObject({ ...entries, optimizer_state: { param_groups: [{ lr: 0.125 }] } })
  await save()
  expect(read).not.toEqual(await native().readTorchFile(saved))
})

it('is written while the trainer works, and after its end', async () => {
  await trainSteps(0.1)
  const captured = await trainer.captureCheckpoint({ entries, learningRate: 0.1 })
  const training = trainer.runTraining({ learningRates: new Float64Array(20).fill(0.1) })
  await native().writeCheckpoint(`${folder}/meanwhile.pth`, captured)
  await training
  await trainer.dispose()
  await native().writeCheckpoint(`${folder}/afterwards.pth`, captured)
  const [meanwhile, afterwards] = ['meanwhile', 'afterwards'].map((name) =>
    native().readTorchFile(`${folder}/${name}.pth`),
  )
  expect(await meanwhile).toEqual(await afterwards)
})

it('refuses weights that are not finite, and says which', async () => {
  await trainSteps(0.1, 1e39)
  const error = await failureOf(() => trainer.captureCheckpoint({ entries, learningRate: 0.1 }))
  expect(error.code).toBe('ERR_NON_FINITE')
  expect(error.message).toMatch(/^(encoder|decoder)\.\S+ holds values that are not finite$/)
})

it('a folder that is not there is a failed write, and only captured checkpoints can be written', async () => {
  await trainSteps(0.1)
  const captured = await trainer.captureCheckpoint({ entries, learningRate: 0.1 })
  const missing = await failureOf(() => native().writeCheckpoint(`${folder}/none/file.pth`, captured))
  expect(missing.code).toBe('ERR_DISK')
  const foreign = await failureOf(() => native().writeCheckpoint(`${folder}/file.pth`, { bytes: captured.bytes }))
  expect(foreign.code).toBe('ERR_CONFIG')
})
