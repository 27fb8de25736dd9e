// Fine-tuning: a training that starts from another run's weights, with segmentation layers of its own.
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { FloatTensor } from '../../src/native/binding.js'
import { native } from '../../src/native/load.js'
import { plan } from '../../src/plan/plan.js'
import { resume, train } from '../../src/train/jobs.js'
import { recordOf } from './run-files.js'
import { makeSmallDataset, type SmallDataset, smallRun, writeLeastPlans } from './small-dataset.js'

let dataset: SmallDataset
let pretrained: string
/** So small a rate that the weights stay as they were. */
const frozen = { optimizer: { initialLr: 1e-30 }, budget: { epochs: 1, stepsPerEpoch: 1, valSteps: 1 } }
const changes = { plans: 'nnUNetPlansLeast', validateAtEnd: false } as const

beforeAll(async () => {
  dataset = await makeSmallDataset()
  await plan({ dataset: '9', folders: dataset.folders, preset: 'tiny' })
  writeLeastPlans(dataset)
  const { folder } = await train(smallRun(dataset, { ...changes, seed: 1 })).finished
  pretrained = path.join(folder, 'checkpoint_final.pth')
})
afterAll(() => rmSync(dataset.root, { recursive: true, force: true }))

type Weights = Record<string, FloatTensor>
const weightsOf = async (file: string) =>
  ((await native().readTorchFile(file)) as { network_weights: Weights }).network_weights

/** The dataset once more, with a third foreground label, as dataset 10. */
function addOtherDataset(): void {
  for (const root of [dataset.folders.raw, dataset.folders.preprocessed]) {
    const copy = path.join(root, 'Dataset010_Other')
    cpSync(path.join(root, 'Dataset009_Boxes'), copy, { recursive: true })
    const file = path.join(copy, 'dataset.json')
    const content = JSON.parse(readFileSync(file, 'utf8')) as { labels: object }
    writeFileSync(file, JSON.stringify({ ...content, labels: { ...content.labels, more: 3 } }))
  }
}

test('takes over all weights but those of the heads, whose number may differ, and says so', async () => {
  addOtherDataset()
  const { folder } = await train(smallRun(dataset, { ...changes, ...frozen, dataset: 10, pretrained })).finished
  const [begun, given] = [await weightsOf(path.join(folder, 'checkpoint_final.pth')), await weightsOf(pretrained)]
  const names = Object.keys(given)
  expect(Object.keys(begun)).toEqual(names)
  const isHead = (name: string) => name.includes('.seg_layers.')
  const same = names.filter((name) =>
    Buffer.from(begun[name]?.data.buffer as ArrayBuffer).equals(Buffer.from(given[name]?.data.buffer as ArrayBuffer)),
  )
  expect(same).toEqual(names.filter((name) => !isHead(name)))
  expect(begun['decoder.seg_layers.0.weight']?.shape[0]).toBe(4)
  expect(recordOf(folder).options.pretrained).toBe(pretrained)
  expect(readFileSync(path.join(folder, 'training_log.txt'), 'utf8')).toContain(`weights of ${pretrained}`)
  // Resumed from the start, it starts from the same weights again.
  for (const name of ['final', 'best', 'latest']) rmSync(path.join(folder, `checkpoint_${name}.pth`), { force: true })
  await resume({ run: folder }).finished
  const again = await weightsOf(path.join(folder, 'checkpoint_final.pth'))
  expect(again['decoder.stages.0.convs.0.conv.weight']).toEqual(begun['decoder.stages.0.convs.0.conv.weight'])
})

test('refuses another network by naming its weights, a missing file and --continue, and leaves no run behind', async () => {
  const run = path.join(dataset.root, 'refused')
  const refused = (more: object) => train(smallRun(dataset, { ...changes, run, ...more })).finished
  await expect(refused({ plans: 'nnUNetPlansTiny', pretrained })).rejects.toMatchObject({
    code: 'ERR_CHECKPOINT_MISFIT',
    message: expect.stringMatching(
      /do not fit.*\n {2}encoder\.stages\.0\.0\.convs\.0\.conv\.weight has shape/,
    ) as string,
  })
  await expect(refused({ pretrained: 'nowhere.pth' })).rejects.toMatchObject({ code: 'ERR_CHECKPOINT' })
  await expect(refused({ pretrained, continue: true })).rejects.toThrow(/Leave one of the two out/)
  expect(existsSync(run)).toBe(false)
})

test('goes on when a supervisor starts it again after a crash', async () => {
  const run = path.join(dataset.root, 'restarted')
  const options = smallRun(dataset, { ...changes, ...frozen, run, pretrained, continue: true })
  const restart = { because: 'It crashed.', secondsUsed: 1 }
  expect(await train(options, { restart }).finished).toMatchObject({ status: 'finished' })
})
