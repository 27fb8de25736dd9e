// The planner equals the real nnU-Net's (test/goldens/make_plans.py); presets, Python's rounding and numpy's percentiles.
import path from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseDatasetJson } from '../../src/dataset/dataset-json.js'
import { lastArgmax, median, percentile, roundHalfToEven } from '../../src/plan/numpy.js'
import { planExperiment } from '../../src/plan/planner.js'
import type { Fingerprint } from '../../src/plan/plans.js'
import { type Preset, type planners, presets } from '../../src/plan/presets.js'
import { topologyOf } from '../../src/plan/topology.js'
import { compareWithGolden, goldensIn } from '../parity/kinds/plans.js'

const goldens = path.join(import.meta.dirname, '../goldens/plans')

describe('against nnU-Net', () => {
  const all = goldensIn(goldens).map((golden) => ({ name: path.basename(golden.folder), ...golden }))
  test.each(all)('$name $planner', ({ folder, planner }) => {
    const { differences, plans, expected } = compareWithGolden(folder, planner as keyof typeof planners)
    expect(differences).toEqual([])
    expect(JSON.stringify(plans)).toBe(JSON.stringify(expected))
  })
})

const statistics = { max: 1, mean: 0, median: 0, min: 0, percentile_00_5: 0, percentile_99_5: 1, std: 1 }
const hippocampus: Fingerprint = {
  foreground_intensity_properties_per_channel: { '0': statistics },
  median_relative_size_after_cropping: 1,
  shapes_after_crop: Array(208).fill([36, 50, 35]),
  spacings: Array(208).fill([1, 1, 1]),
}
const datasetJson = parseDatasetJson(
  {
    channel_names: { '0': 'MRI' },
    labels: { background: 0, Anterior: 1, Posterior: 2 },
    numTraining: 208,
    file_ending: '.nii.gz',
  },
  'dataset.json',
)

function planWith(preset: Preset, fingerprint: Fingerprint, gpuMemoryGb?: number) {
  const plans = planExperiment(fingerprint, datasetJson, {
    datasetName: 'Dataset004_Hippocampus',
    imageReaderWriter: 'SimpleITKIO',
    planner: preset.planner,
    plansName: preset.plansName,
    dataOf: preset.dataOf,
    gpuMemoryGb,
  })
  return preset.adapt?.(plans) ?? plans
}

describe('presets', () => {
  test('default on Hippocampus', () => {
    const { configurations } = planWith(presets.default, hippocampus)
    expect(configurations['3d_fullres']).toMatchObject({ patch_size: [40, 56, 40], batch_size: 7, batch_dice: false })
    expect(configurations['2d']).toMatchObject({ patch_size: [56, 40], batch_size: 292, batch_dice: true })
  })

  test('tiny shares the default data and divides the features by four', () => {
    const plans = planWith(presets.tiny, hippocampus)
    expect(plans.plans_name).toBe('nnUNetPlansTiny')
    const { '2d': flat, '3d_fullres': volume } = plans.configurations
    expect(volume).toMatchObject({ data_identifier: 'nnUNetPlans_3d_fullres', batch_size: 2, patch_size: [40, 56, 40] })
    expect(volume?.architecture?.arch_kwargs.features_per_stage).toEqual([8, 16, 32, 64])
    expect(flat).toMatchObject({ data_identifier: 'nnUNetPlans_2d', batch_size: 32 })
    expect(flat?.architecture?.arch_kwargs.features_per_stage).toEqual([8, 16, 32, 64])
  })

  test('more memory gives larger patches, far too little a clear error', () => {
    const large = { ...hippocampus, shapes_after_crop: Array(208).fill([300, 300, 300]) }
    const voxels = (memory: number) => {
      const patch = planWith(presets.default, large, memory).configurations['3d_fullres']?.patch_size ?? []
      return patch.reduce((result, extent) => result * extent, 1)
    }
    expect(voxels(24)).toBeGreaterThan(voxels(8))
    expect(() => planWith(presets.default, large, 1e-6)).toThrow(/too little/)
  })

  test('an empty or foreign fingerprint is refused', () => {
    expect(() => planWith(presets.default, { ...hippocampus, spacings: [], shapes_after_crop: [] })).toThrow(
      /0 spacings/,
    )
    expect(() => planWith(presets.default, { ...hippocampus, spacings: Array(208).fill([1, 0, 1]) })).toThrow(
      /\[1,0,1\]/,
    )
  })
})

describe('topology', () => {
  test('the padded patch is divided by its strides, and holds the one asked for', () => {
    const axis = fc.tuple(fc.double({ min: 0.3, max: 6, noNaN: true }), fc.integer({ min: 4, max: 400 }))
    fc.assert(
      fc.property(fc.array(axis, { minLength: 2, maxLength: 3 }), (axes) => {
        const patch = axes.map(([, extent]) => extent)
        const topology = topologyOf(
          axes.map(([spacing]) => spacing),
          patch,
        )
        for (const [i, extent] of topology.patchSize.entries()) {
          const divisor = topology.strides.reduce((result, stride) => result * (stride[i] ?? 1), 1)
          expect(extent % divisor).toBe(0)
          expect(extent).toBeGreaterThanOrEqual(patch[i] ?? 0)
          expect(extent / divisor).toBeGreaterThanOrEqual(4)
        }
        expect(topology.kernelSizes.length).toBe(topology.strides.length)
      }),
    )
  })
})

describe('numbers as in Python', () => {
  test('halves go to the even neighbor', () => {
    expect([0.5, 1.5, 2.5, -0.5, -1.5, 292.5, 2.4999999, 7.3125].map(roundHalfToEven)).toEqual([
      0, 2, 2, 0, -2, 292, 2, 7,
    ])
  })

  test('percentile, median, argmax', () => {
    // numpy.percentile([1, 2, 4, 8], [0, 10, 50, 90, 100])
    expect([0, 10, 50, 90, 100].map((percent) => percentile([8, 1, 4, 2], percent))).toEqual([
      1, 1.3, 3, 6.800000000000001, 8,
    ])
    expect(median([4, 1, 3])).toBe(3)
    expect(median([4, 1, 3, 2])).toBe(2.5)
    expect(lastArgmax([2, 5, 5, 1])).toBe(2)
  })
})
