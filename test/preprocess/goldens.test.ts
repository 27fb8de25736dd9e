// Every preprocessing rule on small cases against goldens of the real nnU-Net (test/goldens/make_preprocess.py).
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { parseDatasetJson } from '../../src/dataset/dataset-json.js'
import { type JsonObject, parseJson } from '../../src/json.js'
import type { IntensityProperties, NativeImage, PreprocessingPlan } from '../../src/native/binding.js'
import { native } from '../../src/native/load.js'
import { type Plans, resolveConfiguration } from '../../src/plan/plans.js'
import { preprocessingPlan, resamplingRule } from '../../src/preprocess/native-plan.js'
import { locationKeys } from '../../src/preprocess/preprocess.js'
import { readNpz } from '../npz.js'

interface Golden {
  cases: Record<
    string,
    { plans: Plans; dataset: JsonObject; properties: Record<string, number[] | number[][]>; keys: string[] }
  >
  fingerprint: { shape: number[]; relative: number; statistics: IntensityProperties[] }
}

const folder = fileURLToPath(new URL('../goldens', import.meta.url))
const golden = parseJson(readFileSync(path.join(folder, 'preprocess.json'), 'utf8'), 'preprocess.json') as Golden
const arrays = readNpz(path.join(folder, 'preprocess.npz'))
const output = mkdtempSync(path.join(tmpdir(), 'voxgrad-goldens-'))
afterAll(() => rmSync(output, { recursive: true }))

function array(name: string) {
  const found = arrays[name]
  if (found === undefined) throw new Error(`no golden ${name}`)
  return found
}

function image(name: string): NativeImage {
  const { data, shape } = array(name)
  return { data: Float32Array.from(data as Float32Array), shape: shape as NativeImage['shape'] }
}

/** The largest difference; the goldens' deviation is about one. */
function difference(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  let worst = found.length === expected.length ? 0 : Number.POSITIVE_INFINITY
  for (let i = 0; i < found.length; i += 1)
    worst = Math.max(worst, Math.abs((found[i] as number) - (expected[i] as number)))
  return worst
}

function inputs(name: string) {
  const { plans, dataset, properties } = golden.cases[name] as Golden['cases'][string]
  const configuration = resolveConfiguration(plans, 'golden')
  const plan: PreprocessingPlan = preprocessingPlan(plans, configuration)
  return {
    plan,
    configuration,
    dataset,
    properties,
    image: image(`${name}/image`),
    spacing: properties.spacing as number[],
  }
}

describe.each(Object.keys(golden.cases))('%s', (name) => {
  it('writes the files of nnU-Net', async () => {
    const { plan, configuration, dataset, properties, image, spacing } = inputs(name)
    await native().preprocessToFolder({
      image,
      spacing,
      plan,
      segmentation: Float32Array.from(array(`${name}/segmentation`).data as Int8Array),
      labels: locationKeys(parseDatasetJson({ numTraining: 1, ...dataset }, name)),
      patchSize: configuration.patch_size,
      folder: output,
      caseId: name,
      geometry: { sitk_stuff: { spacing: [1, 1, 1], origin: [0.5, 0, 0], direction: [1, 0, 0, 0, 1, 0, 0, 0, 1] } },
    })
    const data = await native().readBlosc2(path.join(output, `${name}.b2nd`))
    expect(data.shape).toEqual(array(`${name}/data`).shape)
    expect(difference(data.data as Float32Array, array(`${name}/data`).data as Float32Array)).toBeLessThan(1e-6)
    const seg = await native().readBlosc2(path.join(output, `${name}_seg.b2nd`))
    expect(seg).toEqual({ data: array(`${name}/seg`).data, shape: array(`${name}/seg`).shape })
    const { class_locations: locations, ...others } = (await native().readPickle(
      path.join(output, `${name}.pkl`),
    )) as Record<string, Record<string, { data: BigInt64Array } | []>>
    expect(others).toEqual({
      ...properties,
      sitk_stuff: { spacing: [1, 1, 1], origin: [0.5, 0, 0], direction: [1, 0, 0, 0, 1, 0, 0, 0, 1] },
    })
    expect(Object.keys(locations ?? {}).sort()).toEqual([...(golden.cases[name]?.keys ?? [])].sort())
    for (const [key, rows] of Object.entries(locations ?? {})) {
      const expected = arrays[`${name}/locations/${key}`]?.data as Int16Array | undefined
      expect(Array.isArray(rows) ? [] : Array.from(rows.data, Number), key).toEqual(Array.from(expected ?? []))
    }
  })

  it('prepares an image for prediction and brings logits back', async () => {
    const { plan, configuration, properties, image: raw, spacing } = inputs(name)
    const prepared = await native().preprocessForPrediction({ image: raw, spacing, plan })
    const expected = (arrays[`${name}/data_without_labels`] ?? array(`${name}/data`)).data as Float32Array
    expect(difference(prepared.image.data, expected)).toBeLessThan(1e-6)
    expect(prepared.properties).toEqual({
      spacing,
      shapeBeforeCropping: properties.shape_before_cropping,
      boundingBox: properties.bbox_used_for_cropping,
      shapeAfterCropping: properties.shape_after_cropping_and_before_resampling,
    })
    const exported = await native().exportSegmentation({
      logits: image(`${name}/logits`),
      properties: prepared.properties,
      targetSpacing: configuration.spacing,
      transposeForward: plan.transposeForward,
      resampling: resamplingRule(configuration.resampling_fn_probabilities_kwargs),
      regionLabels: null,
    })
    expect(exported.shape).toEqual(array(`${name}/exported`).shape)
    expect(exported.labels).toEqual(array(`${name}/exported`).data)
  })
})

describe('fingerprint', () => {
  it('draws the intensities that nnU-Net draws', async () => {
    const segmentation = Float32Array.from(array('fingerprint/segmentation').data as Int8Array)
    const found = await native().fingerprintCase({ image: image('fingerprint/image'), segmentation, samples: 3000 })
    expect(found.shapeAfterCrop).toEqual(golden.fingerprint.shape)
    expect(found.relativeSizeAfterCrop).toBe(golden.fingerprint.relative)
    expect(found.intensities).toEqual([array('fingerprint/draws0').data, array('fingerprint/draws1').data])
  })

  it('sums in float32, in float64 where a case has no foreground, with the rounding of NumPy', async () => {
    const draws = [array('fingerprint/draws0').data, array('fingerprint/draws1').data] as Float32Array[]
    const [single, double] = golden.fingerprint.statistics
    expect(await native().intensityStatistics(draws)).toEqual(single)
    expect(await native().intensityStatistics([...draws, new Float32Array()])).toEqual(double)
    expect(single?.mean).not.toBe(double?.mean)
  })

  it('refuses a dataset without any foreground', async () => {
    await expect(native().intensityStatistics([new Float32Array()])).rejects.toMatchObject({ code: 'ERR_LABEL' })
  })
})
