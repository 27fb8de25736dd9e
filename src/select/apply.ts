// Applies postprocessing that best-configuration chose to a folder of predictions (nnU-Net's apply_postprocessing).
import { existsSync } from 'node:fs'
import path from 'node:path'
import type { CasePoolOptions } from '../case-pool.js'
import { type PostprocessInput, parseOptions, postprocessOptionsSchema } from '../config/schema.js'
import { readDatasetJson } from '../dataset/dataset-json.js'
import { visibleNames } from '../dataset/raw.js'
import { supportedReader } from '../dataset/readers.js'
import { VoxgradError } from '../errors.js'
import { readPlans } from '../plan/plans.js'
import { copyDescription, type PostprocessingStep, postprocessFiles, readPostprocessing } from './postprocessing.js'

/**
 * Postprocesses every segmentation of a folder into another.
 * @throws VoxgradError ERR_CONFIG where dataset.json, plans.json or the steps are missing; ERR_DATASET, ERR_DISK
 */
export async function applyPostprocessing(
  input: PostprocessInput,
  pool: CasePoolOptions = {},
): Promise<{ cases: number; steps: PostprocessingStep[] }> {
  const options = parseOptions(postprocessOptionsSchema, input, 'options of postprocess')
  const folder = path.resolve(options.input)
  const output = path.resolve(options.output)
  if (folder === output)
    throw new VoxgradError('ERR_CONFIG', {
      where: 'output',
      required: 'another folder than that of the input',
      found: folder,
    })
  const steps = await readPostprocessing(path.resolve(options.steps))
  const { fileEnding } = await readDatasetJson(required(folder, 'dataset.json', options.datasetJson, '--dataset-json'))
  const plansFile = required(folder, 'plans.json', options.plans, '--plans')
  const reader = supportedReader((await readPlans(plansFile)).image_reader_writer, plansFile)
  const names = visibleNames(folder).filter((name) => name.endsWith(fileEnding))
  if (names.length === 0)
    throw new VoxgradError('ERR_DATASET', {
      found: `${folder} holds no segmentation (*${fileEnding})`,
      remedy: 'Name the folder that `voxgrad predict` wrote.',
    })
  const files = names.map((name) => path.join(folder, name))
  await postprocessFiles(files, output, steps, reader, { jobs: options.jobs, ...pool })
  await copyDescription(folder, output)
  return { cases: files.length, steps }
}

function required(folder: string, name: string, given: string | undefined, flag: string): string {
  const file = given ?? path.join(folder, name)
  if (existsSync(file)) return file
  throw new VoxgradError('ERR_CONFIG', {
    found: `${file} is missing`,
    remedy: `Name one by ${flag}; predict writes it beside its segmentations.`,
  })
}
