// The verb `plan`: checks a raw dataset, takes its fingerprint, plans, and writes what nnU-Net has in nnUNet_preprocessed.
import { existsSync } from 'node:fs'
import path from 'node:path'
import type { CaseProgress } from '../case-pool.js'
import { type DatasetName, type FolderOptions, type Folders, findDataset, resolveFolders } from '../config/folders.js'
import { type DatasetJson, readDatasetJson } from '../dataset/dataset-json.js'
import { checkDataset, type Fault, throwIfFaulty } from '../dataset/integrity.js'
import { listCases, type RawCase, readerOfCases } from '../dataset/raw.js'
import { readSplits } from '../dataset/splits.js'
import { VoxgradError } from '../errors.js'
import { readBytes, readJson, writeFileAtomically, writeJson } from '../files.js'
import { extractFingerprint } from '../preprocess/fingerprint.js'
import { planExperiment } from './planner.js'
import { type Fingerprint, type Plans, readPlans } from './plans.js'
import { type Preset, type PresetName, presets } from './presets.js'

export interface PlanOptions extends FolderOptions {
  /** Id or name. */
  dataset: string
  preset?: PresetName | undefined
  /** GPU memory to plan for, in GB. */
  gpuMemoryGb?: number | undefined
  /** Cases at once. */
  jobs?: number | undefined
  signal?: AbortSignal | undefined
  onProgress?: ((progress: CaseProgress & { stage: 'check' | 'fingerprint' }) => void) | undefined
  /** Faults of the dataset that do not stop the planning. */
  onWarning?: ((fault: Fault) => void) | undefined
}

export interface PlanResult {
  dataset: DatasetName
  plans: Plans
  /** Path of the plans file. */
  plansFile: string
  /** false: the dataset_fingerprint.json that was there has been used. */
  fingerprintMade: boolean
}

/**
 * Plans a dataset. A fingerprint that is there is used, as nnU-Net does; then no image is needed. Without one, all cases
 * are checked and measured. Configurations of an existing plans file that the planner does not make are kept.
 * @throws VoxgradError ERR_CONFIG, ERR_DATASET (all faults at once), ERR_DISK
 */
export async function plan(options: PlanOptions): Promise<PlanResult> {
  const folders = resolveFolders(options)
  const dataset = findDataset(folders, options.dataset)
  const target = path.join(folders.preprocessed, dataset.name)
  const raw = rawFolder(folders, dataset)
  const preset: Preset = presets[options.preset ?? 'default']

  const jsonFile = path.join(raw ?? target, 'dataset.json')
  const datasetJson = await readDatasetJson(jsonFile)
  const fingerprintFile = path.join(target, 'dataset_fingerprint.json')
  const fingerprintMade = !existsSync(fingerprintFile)
  if (fingerprintMade) {
    await writeJson(fingerprintFile, await makeFingerprint(raw, dataset, options))
  }
  const fingerprint = (await readJson(fingerprintFile, 'fingerprint')) as Fingerprint

  if (raw !== undefined) await carrySplits(raw, target)
  const planned = planExperiment(fingerprint, datasetJson, {
    datasetName: dataset.name,
    planner: preset.planner,
    plansName: preset.plansName,
    dataOf: preset.dataOf,
    imageReaderWriter: await readerOfCases(datasetJson, raw === undefined ? [] : casesIfThere(raw, datasetJson)),
    gpuMemoryGb: options.gpuMemoryGb,
  })
  const plansFile = path.join(target, `${preset.plansName}.json`)
  const plans = await withKeptConfigurations(preset.adapt?.(planned) ?? planned, plansFile)
  if (raw !== undefined) {
    await writeFileAtomically(path.join(target, 'dataset.json'), await readBytes(jsonFile, 'dataset.json'))
  }
  await writeJson(plansFile, plans)
  return { dataset, plans, plansFile, fingerprintMade }
}

function rawFolder(folders: Folders, dataset: DatasetName): string | undefined {
  try {
    const folder = path.join(folders.raw, dataset.name)
    return existsSync(path.join(folder, 'dataset.json')) ? folder : undefined
  } catch {
    // nnUNet_raw is not set: a fingerprint may still be there.
    return undefined
  }
}

/** With a fingerprint, planning works where dataset.json lies without images. */
function casesIfThere(raw: string, datasetJson: DatasetJson): RawCase[] {
  return datasetJson.listing !== undefined || existsSync(path.join(raw, 'imagesTr')) ? listCases(raw, datasetJson) : []
}

async function makeFingerprint(
  raw: string | undefined,
  dataset: DatasetName,
  { jobs, signal, onProgress, onWarning }: PlanOptions,
): Promise<Fingerprint> {
  if (raw === undefined) {
    throw new VoxgradError(
      'ERR_DATASET',
      `${dataset.name} has neither raw data (nnUNet_raw/${dataset.name}/dataset.json) nor a dataset_fingerprint.json in nnUNet_preprocessed. Set nnUNet_raw or --raw to the folder with its images.`,
    )
  }
  const faults = await checkDataset(raw, {
    jobs,
    signal,
    onProgress: (progress) => onProgress?.({ stage: 'check', ...progress }),
  })
  throwIfFaulty(raw, faults)
  for (const fault of faults) onWarning?.(fault)
  const datasetJson = await readDatasetJson(path.join(raw, 'dataset.json'))
  return extractFingerprint(raw, datasetJson, {
    jobs,
    signal,
    onProgress: (progress) => onProgress?.({ stage: 'fingerprint', ...progress }),
  })
}

/** Source: nnU-Net default_experiment_planner.py, _maybe_copy_splits_file. */
async function carrySplits(raw: string, target: string): Promise<void> {
  const source = path.join(raw, 'splits_final.json')
  const copy = path.join(target, 'splits_final.json')
  if (!existsSync(source)) return
  const splits = await readSplits(source)
  if (!existsSync(copy)) {
    await writeFileAtomically(copy, await readBytes(source, 'splits file'))
    return
  }
  const present = await readSplits(copy)
  const same = (a: string[] = [], b: string[]) => JSON.stringify([...a].sort()) === JSON.stringify([...b].sort())
  const different = splits.findIndex(
    (split, i) => !same(present[i]?.train, split.train) || !same(present[i]?.val, split.val),
  )
  if (different < 0) return
  throw new VoxgradError(
    'ERR_DATASET',
    `${copy}: expected the splits of ${source}, found another fold ${different}. Remove one of the two files.`,
  )
}

async function withKeptConfigurations(plans: Plans, file: string): Promise<Plans> {
  if (!existsSync(file)) return plans
  const { configurations: old } = await readPlans(file)
  const kept = Object.entries(old).filter(([name]) => !Object.hasOwn(plans.configurations, name))
  return { ...plans, configurations: { ...plans.configurations, ...Object.fromEntries(kept) } }
}
