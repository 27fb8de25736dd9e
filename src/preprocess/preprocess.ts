// Preprocesses a dataset for one or more configurations into nnU-Net's folder of Blosc2 arrays.
import { existsSync, statSync } from 'node:fs'
import { copyFile, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { type CasePoolOptions, forEachCase } from '../case-pool.js'
import { findDataset, resolveFolders } from '../config/folders.js'
import { type PreprocessInput, parseOptions, preprocessOptionsSchema } from '../config/schema.js'
import { type DatasetJson, readDatasetJson } from '../dataset/dataset-json.js'
import { dataFileOf } from '../dataset/metaimage.js'
import { bytesToRead, listCases, type RawCase } from '../dataset/raw.js'
import { type ReaderName, supportedReader } from '../dataset/readers.js'
import { readOrWriteSplits } from '../dataset/splits.js'
import { VoxgradError } from '../errors.js'
import { diskFailure, makeFolder, readJson, syncFolder } from '../files.js'
import type { PreprocessingPlan } from '../native/binding.js'
import { native } from '../native/load.js'
import { type Configuration, type Fingerprint, type Plans, readPlans, resolveConfiguration } from '../plan/plans.js'
import { preprocessingPlan } from './native-plan.js'
import { readTrainingCase, requireFiles } from './read-case.js'

/** What was preprocessed, and where it is. */
export interface PreprocessResult {
  cases: number
  /** What was written, a folder for each configuration (several may share one). */
  folders: { configuration: string; folder: string }[]
}

/** One folder to fill: configurations with the same data_identifier share it. */
interface Target {
  configuration: Configuration
  plan: PreprocessingPlan
  /** Where the data belong, and where they grow until all cases are done. */
  folder: string
  unfinished: string
}

const defaultConfigurations = ['2d', '3d_fullres', '3d_lowres']
const fewestCasesForSplits = 5

/**
 * Crops, normalizes and resamples all training cases, several at once, and writes CASE.b2nd, CASE_seg.b2nd and CASE.pkl as
 * nnU-Net does; copies the labels into gt_segmentations and writes splits_final.json if there is none. An earlier data
 * folder stays until the new one is complete and is then replaced as a whole. Each case is read once.
 * @throws VoxgradError ERR_CONFIG for unknown configurations or plans, ERR_DATASET with all missing files or all faulty
 * cases, ERR_DISK; the signal's reason after an abort. What was there before is then untouched.
 * Source: nnU-Net default_preprocessor.py, DefaultPreprocessor.run; plan_and_preprocess_api.py, preprocess_dataset.
 */
export async function preprocess(
  input: PreprocessInput,
  { signal, onProgress }: Omit<CasePoolOptions, 'jobs'> = {},
): Promise<PreprocessResult> {
  const options = parseOptions(preprocessOptionsSchema, input, 'options of preprocess')
  const folders = resolveFolders(options.folders)
  const { name } = findDataset(folders, options.dataset)
  const rawFolder = path.join(folders.raw, name)
  const datasetFolder = path.join(folders.preprocessed, name)
  const plansFile = path.join(datasetFolder, `${options.plans}.json`)
  const plans = await readPlans(plansFile)
  const reader = supportedReader(plans.image_reader_writer, plansFile)
  const datasetJson = await readDatasetJson(path.join(rawFolder, 'dataset.json'))
  const chosen =
    options.configurations ?? defaultConfigurations.filter((one) => Object.hasOwn(plans.configurations, one))
  const targets = makeTargets(plans, chosen, datasetFolder, datasetJson)
  const cases = listCases(rawFolder, datasetJson)
  requireFiles(cases)
  const bytesOf = await memoryEstimate(datasetFolder, cases, plans, targets)

  try {
    for (const { unfinished } of targets) await makeEmptyFolder(unfinished)
    await forEachCase(cases, (rawCase) => preprocessCase(rawCase, datasetJson, reader, targets), bytesOf, {
      jobs: options.jobs,
      signal,
      onProgress,
    })
    await copyLabels(cases, path.join(datasetFolder, 'gt_segmentations'), datasetJson.fileEnding)
    for (const target of targets) await putInPlace(target)
  } catch (error) {
    for (const { unfinished } of targets) await rm(unfinished, { recursive: true, force: true }).catch(() => undefined)
    throw error
  }
  if (!existsSync(path.join(datasetFolder, 'splits_final.json')) && cases.length >= fewestCasesForSplits) {
    await readOrWriteSplits(
      datasetFolder,
      cases.map((rawCase) => rawCase.caseId),
    )
  }
  return {
    cases: cases.length,
    folders: chosen.map((configuration) => ({
      configuration,
      folder: path.join(datasetFolder, resolveConfiguration(plans, configuration).data_identifier),
    })),
  }
}

function makeTargets(plans: Plans, chosen: string[], datasetFolder: string, datasetJson: DatasetJson): Target[] {
  const targets = new Map<string, Target>()
  for (const name of chosen) {
    const configuration = resolveConfiguration(plans, name)
    const folder = path.join(datasetFolder, configuration.data_identifier)
    const plan = preprocessingPlan(plans, configuration)
    if (plan.normalizationSchemes.length !== datasetJson.channels.length) {
      throw new VoxgradError('ERR_PLANS', {
        where: `Plans ${plans.plans_name}`,
        required: `the ${datasetJson.channels.length} channels of dataset.json`,
        found: `${plan.normalizationSchemes.length} channels`,
        remedy: 'Plan anew with `voxgrad plan`.',
      })
    }
    if (!targets.has(folder)) targets.set(folder, { configuration, plan, folder, unfinished: `${folder}.unfinished` })
  }
  return [...targets.values()]
}

async function preprocessCase(
  rawCase: RawCase,
  datasetJson: DatasetJson,
  reader: ReaderName,
  targets: Target[],
): Promise<void> {
  const { caseId } = rawCase
  const { image, spacing, segmentation, geometry } = await readTrainingCase(
    rawCase,
    datasetJson.channels.length,
    reader,
  )
  for (const { plan, configuration, unfinished } of targets) {
    await native().preprocessToFolder({
      image,
      segmentation,
      spacing,
      geometry,
      plan,
      labels: locationKeys(datasetJson),
      patchSize: configuration.patch_size,
      folder: unfinished,
      caseId,
    })
  }
}

/**
 * What nnU-Net draws class locations for: each foreground label, or each region in the order of the file; with an ignore
 * label also the annotated voxels, -1 standing for those outside the nonzero mask.
 */
export function locationKeys(datasetJson: DatasetJson): (number | number[])[] {
  const keys = datasetJson.targets.map(({ value }) => value)
  return datasetJson.ignoreLabel === undefined ? keys : [...keys, [-1, ...datasetJson.allLabels]]
}

/** Estimates a case's peak memory from the extents in the fingerprint, or from its files if the fingerprint is another's. */
async function memoryEstimate(
  datasetFolder: string,
  cases: RawCase[],
  plans: Plans,
  targets: Target[],
): Promise<(rawCase: RawCase) => number> {
  const file = path.join(datasetFolder, 'dataset_fingerprint.json')
  const fingerprint = existsSync(file) ? ((await readJson(file, 'fingerprint')) as Fingerprint) : undefined
  if (fingerprint?.shapes_after_crop?.length !== cases.length) return (rawCase) => 3 * bytesToRead(rawCase)
  const product = (numbers: number[]) => numbers.reduce((a, b) => a * b, 1)
  const bytes = cases.map((_, index) => {
    const cropped = product(fingerprint.shapes_after_crop[index] as number[])
    const spacing = product(fingerprint.spacings[index] as number[])
    const whole = cropped / fingerprint.median_relative_size_after_cropping
    return Math.max(
      ...targets.map(({ plan }) => {
        const axis0 = fingerprint.spacings[index]?.[plans.transpose_forward[0] as number] as number
        const target = product(plan.targetSpacing) * (plan.targetSpacing.length === 2 ? axis0 : 1)
        const resampled = (cropped * spacing) / target
        const channels = plan.normalizationSchemes.length
        // float32 as read, cropped and resampled, int16 labels, and two float64 volumes of one channel while resampling.
        return (whole + cropped + resampled) * (4 * channels + 4) + 16 * Math.max(cropped, resampled)
      }),
    )
  })
  const byCase = new Map(cases.map((rawCase, index) => [rawCase.caseId, bytes[index] as number]))
  return (rawCase) => byCase.get(rawCase.caseId) as number
}

/** Copies labels that are missing there or newer than the copy. */
async function copyLabels(cases: RawCase[], folder: string, fileEnding: string): Promise<void> {
  await writing(folder, async () => {
    await makeFolder(folder)
    for (const { caseId, label } of cases) {
      if (label === undefined) continue
      const data = fileEnding === '.mhd' ? await dataFileOf(label) : undefined
      if (data !== undefined) await copyIfNewer(data, path.join(folder, path.basename(data)))
      await copyIfNewer(label, path.join(folder, `${caseId}${fileEnding}`))
    }
  })
}

async function copyIfNewer(file: string, copy: string): Promise<void> {
  const existing = statSync(copy, { throwIfNoEntry: false })
  if (existing !== undefined && existing.mtimeMs >= statSync(file).mtimeMs) return
  await copyFile(file, `${copy}.unfinished`)
  await rename(`${copy}.unfinished`, copy)
}

async function makeEmptyFolder(folder: string): Promise<void> {
  await writing(folder, async () => {
    await rm(folder, { recursive: true, force: true })
    await makeFolder(folder)
  })
}

async function putInPlace({ folder, unfinished }: Target): Promise<void> {
  const replaced = `${folder}.replaced`
  await writing(folder, async () => {
    await rm(replaced, { recursive: true, force: true })
    if (existsSync(folder)) await rename(folder, replaced)
    await rename(unfinished, folder)
    await syncFolder(path.dirname(folder))
    await rm(replaced, { recursive: true, force: true })
  })
}

async function writing(folder: string, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (error instanceof VoxgradError) throw error
    throw diskFailure(folder, error)
  }
}
