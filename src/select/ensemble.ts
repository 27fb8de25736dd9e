// The mean of several predictions' probabilities, as segmentations. Source: nnU-Net, ensembling/ensemble.py.
import { existsSync } from 'node:fs'
import { copyFile } from 'node:fs/promises'
import path from 'node:path'
import { type CasePoolOptions, forEachCase } from '../case-pool.js'
import { type EnsembleInput, ensembleOptionsSchema, parseOptions } from '../config/schema.js'
import { type DatasetJson, readDatasetJson } from '../dataset/dataset-json.js'
import { geometryOfProperties } from '../dataset/file-image.js'
import { writeSegmentation } from '../dataset/image.js'
import { bytesToRead, visibleNames } from '../dataset/raw.js'
import { type ReaderName, supportedReader } from '../dataset/readers.js'
import { VoxgradError } from '../errors.js'
import { makeFolder } from '../files.js'
import type { NativeImage } from '../native/binding.js'
import { native } from '../native/load.js'
import { type FloatArray, readNpz, writeNpz } from '../npz.js'
import { readPlans } from '../plan/plans.js'
import { labelsOfProbabilities, probabilitiesKey } from '../preprocess/export-case.js'
import { copyDescription } from './postprocessing.js'

/** One case of an ensemble: its CASE.npz from each member. */
export interface EnsembleCase {
  caseId: string
  files: string[]
}

/**
 * Ensembles folders that `predict --save-probabilities` wrote.
 * @returns the number of cases
 * @throws VoxgradError ERR_DATASET naming every case that a folder lacks; ERR_CONFIG, ERR_DISK
 */
export async function ensemble(input: EnsembleInput, pool: CasePoolOptions = {}): Promise<number> {
  const options = parseOptions(ensembleOptionsSchema, input, 'options of ensemble')
  const folders = options.inputs.map((folder) => path.resolve(folder))
  const output = path.resolve(options.output)
  const [first] = folders as [string]
  const dataset = await readDatasetJson(path.join(first, 'dataset.json'))
  const plansFile = path.join(first, 'plans.json')
  const reader = supportedReader((await readPlans(plansFile)).image_reader_writer, plansFile)
  const places = folders.map((folder) => ({ name: folder, files: npzFilesOf([folder]) }))
  const cases = commonCases(places, (missing) => `${missing}\nPredict them with --save-probabilities.`)
  const how = { dataset, reader, saveProbabilities: options.saveProbabilities }
  await ensembleCases(cases, output, how, { jobs: options.jobs, ...pool })
  await copyDescription(first, output)
  return cases.length
}

/** The .npz files of several folders by the id of their case. */
export function npzFilesOf(folders: string[]): Map<string, string> {
  const files = folders.flatMap((folder) =>
    visibleNames(folder)
      .filter((name) => name.endsWith('.npz'))
      .map((name): [string, string] => [name.slice(0, -'.npz'.length), path.join(folder, name)]),
  )
  return new Map(files)
}

/**
 * The cases that all members have.
 * @param explain the message around the list of what is missing
 * @throws VoxgradError ERR_DATASET if there is none, or one that a member lacks
 */
export function commonCases(
  members: { name: string; files: Map<string, string> }[],
  explain: (missing: string) => string,
): EnsembleCase[] {
  const caseIds = [...new Set(members.flatMap(({ files }) => [...files.keys()]))].sort()
  const faults = members.flatMap(({ name, files }) => {
    const missing = caseIds.filter((caseId) => !files.has(caseId))
    if (files.size === 0) return [`${name} holds no probabilities (.npz)`]
    return missing.length === 0 ? [] : [`${name} lacks the probabilities (.npz) of ${missing.join(', ')}`]
  })
  if (faults.length > 0) throw new VoxgradError('ERR_DATASET', explain(faults.join('\n')))
  return caseIds.map((caseId) => ({ caseId, files: members.map(({ files }) => files.get(caseId) as string) }))
}

/**
 * Writes the segmentation of each case's mean probabilities, and if wanted the mean and CASE.pkl of the first member.
 * @throws VoxgradError ERR_DATASET naming every case whose files are missing, damaged or of different shapes; ERR_DISK
 */
export async function ensembleCases(
  cases: EnsembleCase[],
  output: string,
  how: { dataset: DatasetJson; reader: ReaderName; saveProbabilities: boolean },
  pool: CasePoolOptions,
): Promise<void> {
  await makeFolder(output)
  const work = async ({ caseId, files }: EnsembleCase) => {
    const pickle = (files[0] as string).replace(/\.npz$/, '.pkl')
    if (!existsSync(pickle))
      throw new VoxgradError('ERR_DATASET', { found: `${pickle} is missing`, remedy: 'Predict the case again.' })
    const properties = (await native().readPickle(pickle)) as { spacing: number[] }
    const mean = await meanProbabilities(files, how.dataset)
    const { labels, shape } = labelsOfProbabilities(mean, how.dataset.regionsClassOrder ?? null)
    const stem = path.join(output, caseId)
    if (how.saveProbabilities) {
      await writeNpz(`${stem}.npz`, probabilitiesKey, mean)
      await copyFile(pickle, `${stem}.pkl`)
    }
    const grid = { geometry: geometryOfProperties(properties), spacing: properties.spacing }
    await writeSegmentation(stem + how.dataset.fileEnding, labels, shape, grid, how.reader)
  }
  // Probabilities are packed about ten to one; two arrays are held at a time.
  await forEachCase(cases, work, ({ files }) => 4 * bytesToRead({ caseId: '', images: files.slice(0, 1) }), pool)
}

/** Added and divided in float32, as nnU-Net does. */
async function meanProbabilities(files: string[], dataset: DatasetJson): Promise<NativeImage> {
  const heads = dataset.hasRegions ? dataset.targets.length : dataset.allLabels.length
  let sum: FloatArray | undefined
  for (const file of files) {
    const { data, shape } = await readNpz(file, probabilitiesKey, 'ERR_DATASET')
    const expected = sum ? sum.shape : [heads, ...shape.slice(1)]
    if (shape.length !== 4 || shape.join() !== expected.join()) {
      throw new VoxgradError('ERR_DATASET', {
        where: file,
        required: `probabilities of shape ${expected.join(' x ')}`,
        found: `${shape.join(' x ')}`,
        remedy: 'Predict the case again from the same image and with the same labels.',
      })
    }
    if (sum === undefined) sum = { data, shape }
    else for (let i = 0; i < data.length; i++) sum.data[i] = (sum.data[i] as number) + (data[i] as number)
  }
  const { data, shape } = sum as FloatArray
  return { data: data.map((value) => value / files.length), shape: shape as NativeImage['shape'] }
}
