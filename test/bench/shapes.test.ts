// Shapes by name and from plans files.
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { arithmeticOf, layersOf } from '../../src/bench/roofline.js'
import { namedShapes, readShape } from '../../src/bench/shapes.js'
import { resolveTrainerConfig } from '../../src/config/resolve.js'
import { parseOptions, trainOptionsSchema } from '../../src/config/schema.js'

const options = parseOptions(trainOptionsSchema, { dataset: '1', configuration: '2d', fold: 0 }, 'options')
const shapeOf = (plan: string, configuration = '3d_fullres') => readShape({ plan, configuration, classes: 5 })

// nnU-Net's published plans: FLOP of a step of Hippocampus with batch 9, of Liver's 128^3 and of its ResEnc L.
test.each([
  ['hippocampus', 1.032],
  ['128', 5.721],
  ['resenc-l', 28.23],
])('%s has %d TFLOP a step', async (name, teraflop) => {
  const { configuration, dataset } = await shapeOf(name)
  const { network, patchSize, batchSize } = resolveTrainerConfig(configuration, dataset, options)
  const { stepFlop } = arithmeticOf(layersOf({ network, patchSize, batchSize }))
  expect(stepFlop / 1e12 / teraflop).toBeCloseTo(1, 3)
})

test.each(Object.keys(namedShapes))('%s resolves to a trainer', async (name) => {
  const { configuration, dataset } = await shapeOf(name)
  expect(resolveTrainerConfig(configuration, dataset, options).network.outputChannels).toBe(3)
})

const golden = fileURLToPath(new URL('../goldens/plans/regions/plans.ExperimentPlanner.json', import.meta.url))

test('a plans file takes labels and channels from dataset.json beside it', async () => {
  const { name, configuration, dataset } = await shapeOf(golden)
  expect(name).toMatch(/3d_fullres$/)
  expect(dataset.hasRegions).toBe(true)
  expect(resolveTrainerConfig(configuration, dataset, options).labels.overlapping).toBe(true)
})

test('a plans file alone takes the classes that are asked for', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'voxgrad-shapes-'))
  const file = path.join(folder, 'plans.json')
  copyFileSync(golden, file)
  const { configuration, dataset } = await shapeOf(file)
  rmSync(folder, { recursive: true })
  const { network, labels } = resolveTrainerConfig(configuration, dataset, options)
  expect(network.inputChannels).toBe(configuration.use_mask_for_norm.length)
  expect(labels.outputs).toEqual([[0], [1], [2], [3], [4]])
})

test('an unknown configuration is named', async () => {
  await expect(shapeOf(golden, '3d_half')).rejects.toMatchObject({ code: 'ERR_PLANS' })
})
