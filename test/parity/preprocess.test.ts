// Fingerprint and preprocessed data against those of the real nnU-Net. VOXGRAD_PEER_DATA names a folder with raw/ and
// preprocessed/ in nnU-Net's layout and, where the arrays were exported, expected/DATASET/CONFIGURATION/CASE.{npz,json}.
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { resolveFolders } from '../../src/config/folders.js'
import { readDatasetJson } from '../../src/dataset/dataset-json.js'
import { parseJson } from '../../src/json.js'
import { native } from '../../src/native/load.js'
import type { Fingerprint } from '../../src/plan/plans.js'
import { extractFingerprint } from '../../src/preprocess/fingerprint.js'
import { preprocess } from '../../src/preprocess/preprocess.js'
import { readNpz } from '../npz.js'

const peer = process.env.VOXGRAD_PEER_DATA ?? ''
const there = existsSync(path.join(peer, 'preprocessed'))
const datasets = there ? readdirSync(path.join(peer, 'preprocessed')) : []
const ours = mkdtempSync(path.join(tmpdir(), 'voxgrad-preprocess-'))
afterAll(() => rmSync(ours, { recursive: true }))

interface Expected {
  image: Float32Array
  segmentation: Int16Array
  shape: number[]
  /** Rows and SHA-256 of the int64 array, by key. */
  locations: Record<string, { rows: number; sha256: string }>
}

interface Locations {
  [key: string]: { data: BigInt64Array; shape: number[] } | []
}

function describeLocations(locations: Locations): Expected['locations'] {
  const entries = Object.entries(locations).map(([key, value]) => {
    const array = Array.isArray(value) ? new BigInt64Array() : value.data
    const sha256 = createHash('sha256').update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength))
    return [key, { rows: array.length / 4, sha256: sha256.digest('hex') }]
  })
  return Object.fromEntries(entries)
}

async function readCase(folder: string, caseId: string): Promise<Expected & { properties: Record<string, unknown> }> {
  const image = await native().readBlosc2(path.join(folder, `${caseId}.b2nd`))
  const segmentation = await native().readBlosc2(path.join(folder, `${caseId}_seg.b2nd`))
  const pickle = (await native().readPickle(path.join(folder, `${caseId}.pkl`))) as Record<string, unknown>
  const { class_locations: locations, ...properties } = pickle
  return {
    image: image.data as Float32Array,
    segmentation: segmentation.data as Int16Array,
    shape: image.shape,
    locations: describeLocations(locations as Locations),
    // Through JSON, where -0 is 0.
    properties: JSON.parse(JSON.stringify(properties)),
  }
}

function readExpected(exported: string, caseId: string): Expected {
  const arrays = readNpz(path.join(exported, `${caseId}.npz`))
  const properties = JSON.parse(readFileSync(path.join(exported, `${caseId}.json`), 'utf8'))
  return {
    image: arrays.data?.data as Float32Array,
    segmentation: arrays.seg?.data as Int16Array,
    shape: arrays.data?.shape as number[],
    locations: Object.fromEntries(
      Object.entries(properties.class_locations as Expected['locations']).map(([key, { rows, sha256 }]) => [
        key,
        { rows, sha256 },
      ]),
    ),
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

it.skipIf(there)('is skipped: VOXGRAD_PEER_DATA names no folder with data of the real nnU-Net', (test) => test.skip())

describe.each(datasets)('%s', (name) => {
  const theirs = path.join(peer, 'preprocessed', name)
  const target = path.join(ours, name)

  it('has the fingerprint of nnU-Net', async () => {
    const expected = parseJson(
      readFileSync(path.join(theirs, 'dataset_fingerprint.json'), 'utf8'),
      'fingerprint',
    ) as Fingerprint
    const rawFolder = path.join(peer, 'raw', name)
    const found = await extractFingerprint(rawFolder, await readDatasetJson(path.join(rawFolder, 'dataset.json')))
    expect(found.shapes_after_crop).toEqual(expected.shapes_after_crop)
    expect(found.spacings).toEqual(expected.spacings)
    expect(found.median_relative_size_after_cropping).toBe(expected.median_relative_size_after_cropping)
    for (const [channel, wanted] of Object.entries(expected.foreground_intensity_properties_per_channel)) {
      const statistics = found.foreground_intensity_properties_per_channel[channel]
      for (const [key, value] of Object.entries(wanted)) {
        const difference = Math.abs((statistics?.[key as keyof typeof wanted] as number) - value)
        expect(difference, `${channel} ${key}`).toBeLessThanOrEqual(1e-6 * Math.abs(value))
      }
    }
  })

  it('has the preprocessed cases of nnU-Net', { timeout: 300_000 }, async () => {
    mkdirSync(target)
    for (const file of ['nnUNetPlans.json', 'dataset.json', 'dataset_fingerprint.json']) {
      copyFileSync(path.join(theirs, file), path.join(target, file))
    }
    const folders = resolveFolders({ raw: path.join(peer, 'raw'), preprocessed: ours })
    const started = performance.now()
    const written = await preprocess({ folders, dataset: name })
    const seconds = (performance.now() - started) / 1000
    for (const { configuration, folder } of written.folders) {
      const identifier = path.basename(folder)
      const exported = path.join(peer, 'expected', name, configuration)
      expect(readdirSync(folder).sort()).toEqual(readdirSync(path.join(theirs, identifier)).sort())
      const caseIds = readdirSync(folder).flatMap((file) => (file.endsWith('.pkl') ? [file.slice(0, -4)] : []))
      let worst = 0
      let equal = 0
      for (const caseId of caseIds) {
        const peerCase = await readCase(path.join(theirs, identifier), caseId)
        const expected = existsSync(exported) ? readExpected(exported, caseId) : peerCase
        const found = await readCase(folder, caseId)
        expect(found.shape, caseId).toEqual(expected.shape)
        const difference = largestDifference(found.image, expected.image, found.shape[0] as number)
        expect(difference, caseId).toBeLessThan(1e-4)
        expect(Buffer.from(found.segmentation.buffer).equals(Buffer.from(expected.segmentation.buffer)), caseId).toBe(
          true,
        )
        expect(found.locations, caseId).toEqual(expected.locations)
        expect(found.properties, caseId).toEqual(peerCase.properties)
        worst = Math.max(worst, difference)
        equal += difference === 0 ? 1 : 0
      }
      console.log(
        `${name} ${configuration}: ${caseIds.length} cases, ${equal} bit-equal, largest difference ${worst.toExponential(1)} standard deviations`,
      )
    }
    console.log(`${name}: ${written.cases} cases, ${written.folders.length} configurations in ${seconds.toFixed(1)} s`)
    const splits = path.join(theirs, 'splits_final.json')
    if (existsSync(splits)) {
      expect(parseJson(readFileSync(path.join(target, 'splits_final.json'), 'utf8'), 'ours')).toEqual(
        parseJson(readFileSync(splits, 'utf8'), 'theirs'),
      )
    }
  })
})
