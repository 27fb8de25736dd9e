// The verb `plan`: checks a raw dataset, takes its fingerprint, plans, and writes what nnU-Net has in nnUNet_preprocessed.
import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { CaseProgress } from '../case-pool.js'
import { type DatasetName, type Folders, findDataset, resolveFolders } from '../config/folders.js'
import { type PlanInput, parseOptions, planOptionsSchema } from '../config/schema.js'
import { type DatasetJson, readDatasetJson } from '../dataset/dataset-json.js'
import { checkDataset, describeFault, throwIfFaulty } from '../dataset/integrity.js'
import { listCases, type RawCase, readerOfCases } from '../dataset/raw.js'
import { readSplits } from '../dataset/splits.js'
import { VoxgradError } from '../errors.js'
import { readBytes, readJson, writeFileAtomically, writeJson } from '../files.js'
import { extractFingerprint } from '../preprocess/fingerprint.js'
import { planWithPreset } from './planner.js'
import {
  type ConfigurationEntry,
  checkPlans,
  type Fingerprint,
  type Plans,
  readPlans,
  resolveConfiguration,
} from './plans.js'

/** What plan() takes beside its options. */
export interface PlanSettings {
  signal?: AbortSignal | undefined
  /**
   * Changes what the planner has made, before it is checked and written: patch size, features, spacing, ... Give such plans
   * a plansName of their own. They then have their own preprocessed data; where spacing and normalization stay as they are,
   * the data_identifier of the planner's (nnUNetPlans_3d_fullres) shares those that are there.
   */
  change?: ((plans: Plans) => Plans) | undefined
  /** Called after each case that was checked or measured. */
  onProgress?: ((progress: CaseProgress & { stage: 'check' | 'fingerprint' }) => void) | undefined
  /** What does not stop the planning: oddities of the dataset, other plans that no longer fit. */
  onWarning?: ((text: string) => void) | undefined
}

/** What was planned, and where the files are. */
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
 * are checked and measured. Configurations of an existing plans file that the planner does not make are kept; ones that
 * were planned with other numbers from the same data are replaced only with `overwrite`.
 * @throws VoxgradError ERR_CONFIG, ERR_DATASET (all faults at once), ERR_DISK
 */
export async function plan(
  input: PlanInput,
  { change = (plans) => plans, signal, onProgress, onWarning }: PlanSettings = {},
): Promise<PlanResult> {
  const options = parseOptions(planOptionsSchema, input, 'options of plan')
  const folders = resolveFolders(options.folders)
  const dataset = findDataset(folders, options.dataset)
  const target = path.join(folders.preprocessed, dataset.name)
  const raw = rawFolder(folders, dataset)

  const jsonFile = path.join(raw ?? target, 'dataset.json')
  const datasetJson = await readDatasetJson(jsonFile)
  const fingerprintFile = path.join(target, 'dataset_fingerprint.json')
  const fingerprintMade = !existsSync(fingerprintFile)
  if (fingerprintMade) {
    await writeJson(
      fingerprintFile,
      await makeFingerprint(raw, dataset, { jobs: options.jobs, signal, onProgress, onWarning }),
    )
  }
  const fingerprint = (await readJson(fingerprintFile, 'fingerprint')) as Fingerprint

  const made = planWithPreset(fingerprint, datasetJson, {
    preset: options.preset,
    datasetName: dataset.name,
    plansName: options.plansName,
    imageReaderWriter: await readerOfCases(datasetJson, raw === undefined ? [] : casesIfThere(raw, datasetJson)),
    gpuMemoryGb: options.gpuMemoryGb,
  })
  const planned = checkPlans(change(structuredClone(made)), 'What `change` returned')
  for (const name of Object.keys(planned.configurations)) resolveConfiguration(planned, name)
  const plansFile = path.join(target, `${planned.plans_name}.json`)
  const plans = await joinWithExisting(planned, plansFile, options.overwrite)
  if (raw !== undefined) await carrySplits(raw, target)
  if (raw !== undefined) {
    await writeFileAtomically(path.join(target, 'dataset.json'), await readBytes(jsonFile, 'dataset.json'))
  }
  await writeJson(plansFile, plans)
  for (const text of await otherPlansOfTheSameFolders(plans, plansFile)) onWarning?.(text)
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
  { jobs, signal, onProgress, onWarning }: Pick<PlanInput, 'jobs'> & PlanSettings,
): Promise<Fingerprint> {
  if (raw === undefined) {
    throw new VoxgradError('ERR_DATASET_NOT_FOUND', {
      where: dataset.name,
      required: `raw data (nnUNet_raw/${dataset.name}/dataset.json), or a dataset_fingerprint.json in nnUNet_preprocessed`,
      found: 'neither',
      remedy: 'Set nnUNet_raw or --raw to the folder with its images.',
    })
  }
  const faults = await checkDataset(raw, {
    jobs,
    signal,
    onProgress: (progress) => onProgress?.({ stage: 'check', ...progress }),
  })
  throwIfFaulty(raw, faults)
  for (const fault of faults) onWarning?.(describeFault(fault))
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
  throw new VoxgradError('ERR_DATASET', {
    where: copy,
    required: `the splits of ${source}`,
    found: `another fold ${different}`,
    remedy: 'Remove one of the two files.',
  })
}

/**
 * The plans together with the other configurations of an existing file.
 * @throws VoxgradError ERR_CONFIG where the file has other numbers for the same data, because preprocessed data and runs
 * may rely on them
 */
async function joinWithExisting(plans: Plans, file: string, overwrite: boolean): Promise<Plans> {
  if (!existsSync(file)) return plans
  const old = await readPlans(file)
  const changed = Object.entries(plans.configurations).flatMap(([name, configuration]) =>
    isSame(old.configurations[name] ?? configuration, configuration) ? [] : [name],
  )
  if (changed.length > 0 && !overwrite && isSame(dataOf(old), dataOf(plans))) {
    throw new VoxgradError('ERR_PLANS', {
      found: `${file} has other numbers for ${changed.join(', ')}: it was planned for another GPU memory or dataset.json, or edited`,
      remedy:
        'Plan under another name with --plans-name, or replace it with --overwrite; data preprocessed and runs started with it then no longer fit.',
    })
  }
  const kept = Object.entries(old.configurations).filter(([name]) => !Object.hasOwn(plans.configurations, name))
  return { ...plans, configurations: { ...plans.configurations, ...Object.fromEntries(kept) } }
}

/** Says which other plans of the dataset use the same folders of preprocessed data, but expect other data in them. */
async function otherPlansOfTheSameFolders(plans: Plans, plansFile: string): Promise<string[]> {
  const content = (of: Plans, entry: ConfigurationEntry) => [
    of.transpose_forward,
    entry.spacing,
    entry.normalization_schemes,
    entry.use_mask_for_norm,
  ]
  const folder = path.dirname(plansFile)
  const files = readdirSync(folder).filter((file) => file.endsWith('.json') && file !== path.basename(plansFile))
  const texts: string[] = []
  for (const file of files.sort()) {
    const other = (await readJson(path.join(folder, file), 'plans file').catch(() => undefined)) as Plans | undefined
    for (const [name, entry] of Object.entries(other?.configurations ?? {})) {
      const mine = Object.values(plans.configurations).find(
        ({ data_identifier: data }) => data !== undefined && data === entry?.data_identifier,
      )
      if (mine === undefined || isSame(content(other as Plans, entry), content(plans, mine))) continue
      texts.push(
        `${file} expects other data than these plans in ${entry.data_identifier}, for its ${name}: spacing ${entry.spacing?.join(' x ')} in place of ${mine.spacing?.join(' x ')}, or another normalization. Plan it anew too, with the same --gpu-memory, and preprocess before training either.`,
      )
    }
  }
  return texts
}

/** What plans say about the data that they were made for. */
const dataOf = (plans: Plans) => [
  plans.original_median_spacing_after_transp,
  plans.original_median_shape_after_transp,
  plans.foreground_intensity_properties_per_channel,
]

/** Equal but for the last digits of numbers. */
function isSame(a: unknown, b: unknown): boolean {
  const rounded = (value: unknown): unknown =>
    JSON.parse(JSON.stringify(value, (_, entry) => (typeof entry === 'number' ? entry.toPrecision(9) : entry)))
  return isDeepStrictEqual(rounded(a), rounded(b))
}
