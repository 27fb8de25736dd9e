// Predictions of nnU-Net: DIR/{model/, in/, with_mirroring/, without_mirroring/}, of all folds in model/. Probabilities
// (.npz) are compared where they are there, segmentations and their place in space always.
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Fold } from '../../../src/config/schema.js'
import { readDatasetJson } from '../../../src/dataset/dataset-json.js'
import { readSegmentation } from '../../../src/dataset/image.js'
import { supportedReader } from '../../../src/dataset/readers.js'
import { readNpz } from '../../../src/npz.js'
import { readPlans } from '../../../src/plan/plans.js'
import { predict } from '../../../src/train/jobs.js'
import type { Comparison, Item } from '../item.js'

/** What may differ where nnU-Net adds tiles in float16, as it does, and in float32, as voxgrad does; see docs/numerics.md. */
const tolerances = {
  float16: { meanProbability: 2e-5, anyProbability: 0.02, shareOfVoxels: 2e-4 },
  float32: { meanProbability: 1e-6, anyProbability: 5e-5, shareOfVoxels: 5e-5 },
}
export type Tiles = keyof typeof tolerances

export const compare: Comparison = async function* (root) {
  const model = path.join(root, 'model')
  const modes = ['with_mirroring', 'without_mirroring'].filter((name) => existsSync(path.join(root, name)))
  if (!existsSync(model) || modes.length === 0) {
    throw new Error(`${root}: expected model/, in/, and with_mirroring/ or without_mirroring/`)
  }
  for (const mode of modes) {
    const output = mkdtempSync(path.join(tmpdir(), 'voxgrad-predict-'))
    try {
      const folds = foldsOf(model)
      const mirroring = mode === 'with_mirroring'
      const input = path.join(root, 'in')
      await predict({ input, output, run: model, folds, mirroring, saveProbabilities: true, threads: 1 }).finished
      const name = (caseId: string) => `${mode} folds ${folds.join(',')} ${caseId}`
      for await (const item of comparePredictions(output, path.join(root, mode), model)) {
        yield { ...item, name: name(item.name) }
      }
    } finally {
      rmSync(output, { recursive: true, force: true })
    }
  }
}

/** Those with final weights; fold_all only if there is no other, as in nnU-Net. */
function foldsOf(model: string): Fold[] {
  const names = readdirSync(model).filter((name) => existsSync(path.join(model, name, 'checkpoint_final.pth')))
  const numbers = names.flatMap((name) => /^fold_(\d+)$/.exec(name)?.[1] ?? []).map(Number)
  if (numbers.length > 0) return numbers.sort((a, b) => a - b)
  return ['all']
}

/**
 * Case by case, for each segmentation in `expected`.
 * @param model dataset.json and plans.json lie there
 * @param tiles in what nnU-Net added them
 */
export async function* comparePredictions(
  found: string,
  expected: string,
  model: string,
  tiles: Tiles = 'float16',
): AsyncGenerator<Item> {
  const limits = tolerances[tiles]
  const { fileEnding } = await readDatasetJson(path.join(model, 'dataset.json'))
  const plansFile = path.join(model, 'plans.json')
  const reader = supportedReader((await readPlans(plansFile)).image_reader_writer, plansFile)
  for (const file of readdirSync(expected).sort()) {
    if (!file.endsWith(fileEnding)) continue
    const name = file.slice(0, -fileEnding.length)
    const [ours, theirs] = [found, expected].map((folder) => path.join(folder, file)) as [string, string]
    if (!existsSync(ours)) {
      yield { name, differences: [`${file} was not predicted`] }
      continue
    }
    const differences: string[] = []
    const mine = await readSegmentation(ours, { reader })
    const reference = await readSegmentation(theirs, { reader })
    const place = ({ geometry, spacing, shape }: typeof mine) => JSON.stringify({ geometry, spacing, shape })
    if (place(mine) !== place(reference)) differences.push(`geometry: ${place(mine)}, expected ${place(reference)}`)
    const voxels = reference.labels.length
    const different = mine.labels.filter((label, i) => label !== reference.labels[i]).length
    if (different > limits.shareOfVoxels * voxels) differences.push(`${different} of ${voxels} voxels differ`)
    const notes = [`${different} of ${voxels} voxels differ`]
    if (existsSync(path.join(expected, `${name}.npz`))) {
      const { mean, largest } = await probabilityDifferences(path.join(found, name), path.join(expected, name))
      const text = `probabilities differ by ${mean.toExponential(1)} on average, ${largest.toExponential(1)} at most`
      notes.push(text)
      if (!(mean <= limits.meanProbability && largest <= limits.anyProbability)) differences.push(text)
    }
    yield { name, differences, note: notes.join('; ') }
  }
}

/** Of the arrays of two .npz. @param ours @param theirs paths without the ending */
export async function probabilityDifferences(ours: string, theirs: string): Promise<{ mean: number; largest: number }> {
  const [mine, reference] = await Promise.all(
    [ours, theirs].map((stem) => readNpz(`${stem}.npz`, 'probabilities', 'ERR_DATASET')),
  )
  if (mine?.shape.join() !== reference?.shape.join() || !mine || !reference)
    return { mean: Infinity, largest: Infinity }
  let [sum, largest] = [0, 0]
  for (const [i, value] of reference.data.entries()) {
    const difference = Math.abs((mine.data[i] as number) - value)
    sum += difference
    // Not Math.max, which is quick to hide a NaN from the comparison below it.
    if (!(difference <= largest)) largest = difference
  }
  return { mean: sum / reference.data.length, largest }
}
