// Fingerprints and preprocessed data: DIR has raw/ and what nnU-Net made of it, preprocessed/ in nnU-Net's layout or
// expected/DATASET/CONFIGURATION/CASE.{npz,json} as plain files, or both.
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { readDatasetJson } from '../../../src/dataset/dataset-json.js'
import { parseJson } from '../../../src/json.js'
import { native } from '../../../src/native/load.js'
import { type Fingerprint, readPlans, resolveConfiguration } from '../../../src/plan/plans.js'
import { extractFingerprint } from '../../../src/preprocess/fingerprint.js'
import { preprocess } from '../../../src/preprocess/preprocess.js'
import { readNpz } from '../../npz.js'
import type { Comparison, Item } from '../item.js'

/** Statistics of the fingerprint, relative: NumPy and voxgrad sum in the same order, most are equal. */
const statisticsTolerance = 1e-6
/** In standard deviations of a channel. */
const imageTolerance = 1e-4
/** Share of voxels of a resampled segmentation, on label borders. */
const segmentationTolerance = 1e-3

export const compare: Comparison = async function* (root) {
  const [theirs, plain] = [path.join(root, 'preprocessed'), path.join(root, 'expected')]
  const names = [theirs, plain].flatMap((folder) => (existsSync(folder) ? readdirSync(folder) : []))
  for (const name of [...new Set(names)].sort()) {
    if (!existsSync(path.join(root, 'raw', name, 'dataset.json'))) {
      yield { name, differences: [], skipped: `${path.join(root, 'raw', name)} is missing` }
      continue
    }
    const ours = mkdtempSync(path.join(tmpdir(), 'voxgrad-preprocess-'))
    try {
      yield* compareDataset(root, name, ours)
    } finally {
      rmSync(ours, { recursive: true })
    }
  }
}

async function* compareDataset(root: string, name: string, ours: string): AsyncIterable<Item> {
  const [theirs, plain] = [path.join(root, 'preprocessed', name), path.join(root, 'expected', name)]
  const golden = existsSync(path.join(theirs, 'nnUNetPlans.json')) ? theirs : plain
  const raw = path.join(root, 'raw', name)
  yield {
    name: `${name} fingerprint`,
    differences: await fingerprintDifferences(raw, path.join(golden, 'dataset_fingerprint.json')),
  }
  const target = path.join(ours, name)
  mkdirSync(target)
  for (const file of ['nnUNetPlans.json', 'dataset.json', 'dataset_fingerprint.json']) {
    copyFileSync(path.join(golden, file), path.join(target, file))
  }
  const folders = { raw: path.join(root, 'raw'), preprocessed: ours }
  const started = performance.now()
  const written = await preprocess({ folders, dataset: name })
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  const plans = await readPlans(path.join(golden, 'nnUNetPlans.json'))
  for (const { configuration, folder } of written.folders) {
    const exported = path.join(plain, configuration)
    const stored = path.join(theirs, resolveConfiguration(plans, configuration).data_identifier)
    const places = { found: folder, stored, exported }
    for (const caseId of caseIdsOf(existsSync(stored) ? stored : exported)) {
      yield { name: `${name} ${configuration} ${caseId}`, ...(await compareCase(caseId, places)) }
    }
    if (existsSync(stored)) {
      const differs = !isDeepStrictEqual(readdirSync(folder).sort(), readdirSync(stored).sort())
      yield { name: `${name} ${configuration} file names`, differences: differs ? [`${folder} and ${stored}`] : [] }
    }
  }
  const splits = path.join(golden, 'splits_final.json')
  if (existsSync(splits)) {
    const [found, expected] = [path.join(target, 'splits_final.json'), splits].map(readJson)
    const differences = isDeepStrictEqual(found, expected) ? [] : ['other folds than nnU-Net']
    yield { name: `${name} splits`, differences, note: `${written.cases} cases preprocessed in ${seconds} s` }
  }
}

const readJson = (file: string) => parseJson(readFileSync(file, 'utf8'), file)

function caseIdsOf(folder: string): string[] {
  if (!existsSync(folder)) return []
  const endings = /\.(pkl|json)$/
  return readdirSync(folder)
    .filter((file) => endings.test(file))
    .map((file) => file.replace(endings, ''))
    .sort()
}

async function fingerprintDifferences(raw: string, file: string): Promise<string[]> {
  const expected = readJson(file) as Fingerprint
  const found = await extractFingerprint(raw, await readDatasetJson(path.join(raw, 'dataset.json')))
  const keys = ['shapes_after_crop', 'spacings', 'median_relative_size_after_cropping'] as const
  const differences: string[] = keys.filter((key) => !isDeepStrictEqual(found[key], expected[key]))
  for (const [channel, statistics] of Object.entries(expected.foreground_intensity_properties_per_channel)) {
    for (const [key, value] of Object.entries(statistics)) {
      const ours = found.foreground_intensity_properties_per_channel[channel]?.[key as keyof typeof statistics]
      const isClose = Math.abs((ours ?? Number.NaN) - value) <= statisticsTolerance * Math.abs(value)
      if (!isClose) differences.push(`channel ${channel} ${key}: ${ours}, expected ${value}`)
    }
  }
  return differences
}

interface PreparedCase {
  image: Float32Array
  segmentation: Int16Array
  shape: number[]
  /** Rows and SHA-256 of the int64 array, by key. */
  locations: Record<string, { rows: number; sha256: string }>
  /** Of the pickle, but for the class locations. */
  properties?: unknown
}

async function compareCase(
  caseId: string,
  { found, stored, exported }: { found: string; stored: string; exported: string },
): Promise<Pick<Item, 'differences' | 'note'>> {
  const ours = await readStored(found, caseId)
  const pickled = existsSync(path.join(stored, `${caseId}.pkl`)) ? await readStored(stored, caseId) : undefined
  const plain = existsSync(path.join(exported, `${caseId}.npz`)) ? readExported(exported, caseId) : undefined
  const expected = plain ?? pickled
  if (expected === undefined) return { differences: ['nnU-Net has no such case'] }
  if (!isDeepStrictEqual(ours.shape, expected.shape)) {
    return { differences: [`shape ${ours.shape.join(' x ')}, expected ${expected.shape.join(' x ')}`] }
  }
  const differences: string[] = []
  const image = largestDifference(ours.image, expected.image, ours.shape[0] as number)
  if (!(image <= imageTolerance)) differences.push(`image: ${image} standard deviations apart`)
  const labels = shareOfOthers(ours.segmentation, expected.segmentation)
  if (labels > segmentationTolerance) differences.push(`segmentation: ${100 * labels} % of the voxels differ`)
  // The same voxels give the same draws; other voxels give at least as many.
  const [locations, wanted] = [ours.locations, expected.locations].map((all) => (labels === 0 ? all : rowsOf(all)))
  if (!isDeepStrictEqual(locations, wanted)) differences.push('class locations')
  if (pickled !== undefined && !isDeepStrictEqual(ours.properties, pickled.properties)) differences.push('properties')
  const note = `${image.toExponential(1)} standard deviations, ${(100 * labels).toFixed(3)} % of the labels`
  return { differences, note }
}

const rowsOf = (locations: PreparedCase['locations']) =>
  Object.fromEntries(Object.entries(locations).map(([key, { rows }]) => [key, rows]))

async function readStored(folder: string, caseId: string): Promise<PreparedCase> {
  const image = await native().readBlosc2(path.join(folder, `${caseId}.b2nd`))
  const segmentation = await native().readBlosc2(path.join(folder, `${caseId}_seg.b2nd`))
  const pickle = (await native().readPickle(path.join(folder, `${caseId}.pkl`))) as Record<string, unknown>
  const { class_locations: locations, ...properties } = pickle
  return {
    image: image.data as Float32Array,
    segmentation: segmentation.data as Int16Array,
    shape: image.shape,
    locations: describeLocations(locations as Record<string, { data: BigInt64Array } | []>),
    // Through JSON, where -0 is 0.
    properties: JSON.parse(JSON.stringify(properties)),
  }
}

function describeLocations(locations: Record<string, { data: BigInt64Array } | []>): PreparedCase['locations'] {
  const entries = Object.entries(locations).map(([key, value]) => {
    const array = Array.isArray(value) ? new BigInt64Array() : value.data
    const sha256 = createHash('sha256').update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength))
    return [key, { rows: array.length / 4, sha256: sha256.digest('hex') }]
  })
  return Object.fromEntries(entries)
}

function readExported(folder: string, caseId: string): PreparedCase {
  const arrays = readNpz(path.join(folder, `${caseId}.npz`))
  const properties = JSON.parse(readFileSync(path.join(folder, `${caseId}.json`), 'utf8'))
  const locations = Object.entries(properties.class_locations as PreparedCase['locations'])
  return {
    image: arrays.data?.data as Float32Array,
    segmentation: arrays.seg?.data as Int16Array,
    shape: arrays.data?.shape as number[],
    locations: Object.fromEntries(locations.map(([key, { rows, sha256 }]) => [key, { rows, sha256 }])),
  }
}

/** The largest difference of a channel in units of its standard deviation. */
function largestDifference(found: Float32Array, expected: Float32Array, channels: number): number {
  const size = expected.length / channels
  let worst = 0
  for (let channel = 0; channel < channels; channel += 1) {
    let [sum, squares, difference] = [0, 0, 0]
    for (let i = channel * size; i < (channel + 1) * size; i += 1) {
      const value = expected[i] as number
      sum += value
      squares += value * value
      difference = Math.max(difference, Math.abs((found[i] as number) - value))
    }
    const deviation = Math.sqrt(Math.max(squares / size - (sum / size) ** 2, 1e-16))
    worst = Math.max(worst, difference / deviation)
  }
  return worst
}

function shareOfOthers(found: Int16Array, expected: Int16Array): number {
  let count = found.length === expected.length ? 0 : found.length
  for (const [i, label] of found.entries()) if (label !== expected[i]) count += 1
  return count / found.length
}
