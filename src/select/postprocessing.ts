// Postprocessing as nnU-Net chooses it: keep the largest component of all foreground, then of each label or region, where
// that improves the Dice of a cross-validation. Source: nnU-Net, postprocessing/remove_connected_components.py.
import { copyFile, rm } from 'node:fs/promises'
import path from 'node:path'
import { z } from 'zod'
import { type CasePoolOptions, forEachCase } from '../case-pool.js'
import type { DatasetJson } from '../dataset/dataset-json.js'
import { readSegmentation, type Segmentation, writeSegmentation } from '../dataset/image.js'
import { bytesToRead } from '../dataset/raw.js'
import type { ReaderName } from '../dataset/readers.js'
import { VoxgradError } from '../errors.js'
import { diskFailure, makeFolder, readJson, writeFileAtomically } from '../files.js'
import { native } from '../native/load.js'
import { type EvaluatedFiles, evaluateFiles } from '../validate/evaluate.js'
import { meansOf, pythonJson, type Summary, summaryText } from '../validate/summary.js'
import { keepLargestComponent } from './components.js'

/** Keep the largest component of these labels taken together. */
export interface PostprocessingStep {
  /** How nnU-Net's file names them: one label, a region, or a list of labels. */
  form: 'label' | 'region' | 'list'
  labels: number[]
}

/** What every step of nnU-Net's postprocessing calls. */
const functionName = 'remove_all_but_largest_component_from_segmentation'

/** Applies the steps in order. */
export function postprocess({ labels, shape }: Segmentation, steps: readonly PostprocessingStep[]): Float32Array {
  return steps.reduce((changed, step) => keepLargestComponent(changed, shape, step.labels), labels)
}

export interface ChosenPostprocessing {
  steps: PostprocessingStep[]
  before: Summary
  after: Summary
}

/**
 * Tries each step on all predictions and keeps those that improve the Dice: all foreground if the foreground mean rises and
 * no label falls; then each label or region, where there are several, if its own mean rises.
 * @param before the evaluation without postprocessing
 */
export async function choosePostprocessing(
  cases: EvaluatedFiles[],
  before: Summary,
  { reader, dataset }: { reader: ReaderName; dataset: DatasetJson },
  pool: CasePoolOptions,
): Promise<ChosenPostprocessing> {
  const attempt = (steps: PostprocessingStep[]) =>
    evaluateFiles(cases, { reader, dataset, change: (segmentation) => postprocess(segmentation, steps) }, pool)
  const dice = (summary: Summary, key: string) => summary.mean.get(key)?.Dice ?? Number.NaN
  let steps: PostprocessingStep[] = []
  let after = before

  const ofForeground: PostprocessingStep[] = [{ form: 'list', labels: dataset.foregroundLabels }]
  const withForeground = await attempt(ofForeground)
  const rises = withForeground.foregroundMean.Dice > before.foregroundMean.Dice
  const falls = dataset.targets.some(({ key }) => dice(withForeground, key) < dice(before, key))
  if (rises && !falls) [steps, after] = [ofForeground, withForeground]

  if (dataset.targets.length === 1) return { steps, before, after }
  for (const { key, labels, value } of dataset.targets) {
    const longer: PostprocessingStep[] = [...steps, { form: Array.isArray(value) ? 'region' : 'label', labels }]
    const found = await attempt(longer)
    if (dice(found, key) > dice(after, key)) [steps, after] = [longer, found]
  }
  return { steps, before, after }
}

/**
 * Writes postprocessing.json and postprocessing.pkl (which nnU-Net's own programs read) beside the predictions, and the
 * predictions that result, with their summary.json, to the folder postprocessed.
 * @throws VoxgradError ERR_DISK
 */
export async function writePostprocessing(
  folder: string,
  cases: EvaluatedFiles[],
  { steps, before, after }: ChosenPostprocessing,
  reader: ReaderName,
  pool: CasePoolOptions,
): Promise<void> {
  const output = path.join(folder, 'postprocessed')
  await rm(output, { recursive: true, force: true })
  const files = cases.map(({ prediction }) => prediction)
  await postprocessFiles(files, output, steps, reader, pool)
  const moved = after.cases.map((result) => ({
    ...result,
    predictionFile: path.join(output, path.basename(result.predictionFile)),
  }))
  await writeFileAtomically(path.join(output, 'summary.json'), summaryText({ ...after, cases: moved }))
  await copyDescription(folder, output)
  await native().writePostprocessing(path.join(folder, 'postprocessing.pkl'), steps)
  const content = {
    input_folder: meansOf(before),
    postprocessed: meansOf(after),
    postprocessing_fns: steps.map(() => functionName),
    postprocessing_kwargs: steps.map(({ form, labels }) => ({
      labels_or_regions: form === 'label' ? labels[0] : labels,
    })),
  }
  await writeFileAtomically(path.join(folder, 'postprocessing.json'), pythonJson(content))
}

/** dataset.json and plans.json, as far as they are there: what later steps ask a folder of predictions for. */
export async function copyDescription(from: string, to: string): Promise<void> {
  for (const name of ['dataset.json', 'plans.json']) {
    await copyFile(path.join(from, name), path.join(to, name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return
      throw diskFailure(path.join(to, name), error)
    })
  }
}

/**
 * Postprocesses segmentations into another folder, under their names; without steps they are copied.
 * @throws VoxgradError ERR_DATASET naming every file that cannot be read; ERR_DISK
 */
export async function postprocessFiles(
  files: string[],
  output: string,
  steps: readonly PostprocessingStep[],
  reader: ReaderName,
  pool: CasePoolOptions,
): Promise<void> {
  await makeFolder(output)
  const work = async ({ file }: { file: string }) => {
    const target = path.join(output, path.basename(file))
    if (steps.length === 0) return copyFile(file, target)
    const segmentation = await readSegmentation(file, { reader })
    const labels = Uint16Array.from(postprocess(segmentation, steps))
    await writeSegmentation(target, labels, segmentation.shape, segmentation, reader)
  }
  const items = files.map((file) => ({ file, caseId: path.basename(file) }))
  await forEachCase(items, work, ({ file }) => 2 * bytesToRead({ caseId: '', images: [file] }), pool)
}

const label = z.int().nonnegative()
const schema = z.object({
  postprocessing_fns: z.array(z.literal(functionName)),
  postprocessing_kwargs: z.array(
    z.looseObject({ labels_or_regions: z.union([label, z.array(z.union([label, z.array(label)]))]) }),
  ),
})

/**
 * The steps of a postprocessing.json, voxgrad's or nnU-Net's. Of a postprocessing.pkl the .json beside it is read: the pickle
 * names Python functions, which are not executed here.
 * @throws VoxgradError ERR_CONFIG
 */
export async function readPostprocessing(file: string): Promise<PostprocessingStep[]> {
  const json = file.replace(/\.pkl$/, '.json')
  const parsed = schema.safeParse(await readJson(json, 'postprocessing.json', 'ERR_CONFIG'))
  if (!parsed.success) {
    const faults = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`)
    throw new VoxgradError('ERR_CONFIG', {
      where: json,
      required: `postprocessing as best-configuration writes it (${functionName})`,
      found: faults.join('; '),
      remedy: 'Run `voxgrad best-configuration` again.',
    })
  }
  return parsed.data.postprocessing_kwargs.map(({ labels_or_regions: labels }) =>
    Array.isArray(labels) ? { form: 'list', labels: labels.flat() } : { form: 'label', labels: [labels] },
  )
}
