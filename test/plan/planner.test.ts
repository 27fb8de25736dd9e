// The planner equals the real nnU-Net's (test/goldens/make_plans.py); presets, Python's rounding and numpy's percentiles.
import path from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseDatasetJson } from '../../src/dataset/dataset-json.js'
import { lastArgmax, median, percentile, roundHalfToEven } from '../../src/plan/numpy.js'
import { planWithPreset } from '../../src/plan/planner.js'
import type { Fingerprint } from '../../src/plan/plans.js'
import type { PresetName } from '../../src/plan/presets.js'
import { summaryOf } from '../../src/plan/summary.js'
import { convsOfResidualBlocks, featureMapSize, topologyOf } from '../../src/plan/topology.js'
import { compareWithGolden, goldensIn } from '../parity/kinds/plans.js'

const goldens = path.join(import.meta.dirname, '../goldens/plans')

describe('against nnU-Net', () => {
  test.each(goldensIn(goldens))('$name', (golden) => {
    const { differences, plans, expected } = compareWithGolden(golden)
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

const planWith = (preset: PresetName, fingerprint: Fingerprint, gpuMemoryGb?: number) =>
  planWithPreset(fingerprint, datasetJson, {
    preset,
    datasetName: 'Dataset004_Hippocampus',
    imageReaderWriter: 'SimpleITKIO',
    gpuMemoryGb,
  })

describe('presets', () => {
  test('default on Hippocampus', () => {
    const { configurations } = planWith('default', hippocampus)
    expect(configurations['3d_fullres']).toMatchObject({ patch_size: [40, 56, 40], batch_size: 7, batch_dice: false })
    expect(configurations['2d']).toMatchObject({ patch_size: [56, 40], batch_size: 292, batch_dice: true })
  })

  test('tiny shares the default data and divides the features by four', () => {
    const plans = planWith('tiny', hippocampus)
    expect(plans.plans_name).toBe('nnUNetPlansTiny')
    const { '2d': flat, '3d_fullres': volume } = plans.configurations
    expect(volume).toMatchObject({ data_identifier: 'nnUNetPlans_3d_fullres', batch_size: 2, patch_size: [40, 56, 40] })
    expect(volume?.architecture?.arch_kwargs.features_per_stage).toEqual([8, 16, 32, 64])
    expect(flat).toMatchObject({ data_identifier: 'nnUNetPlans_2d', batch_size: 32 })
    expect(flat?.architecture?.arch_kwargs.features_per_stage).toEqual([8, 16, 32, 64])
  })

  test("the residual encoder presets have nnU-Net's names and share the data of 2d and 3d_fullres", () => {
    const large = { ...hippocampus, shapes_after_crop: Array(208).fill([900, 900, 900]) }
    const identifiers = (preset: PresetName, gpuMemoryGb?: number) =>
      Object.values(planWith(preset, large, gpuMemoryGb).configurations).map((entry) => entry.data_identifier)
    for (const size of ['M', 'L', 'XL']) {
      const plans = planWith(`resenc-${size.toLowerCase()}` as PresetName, large)
      const name = `nnUNetResEncUNet${size}Plans`
      expect(plans).toMatchObject({ plans_name: name, experiment_planner_used: `nnUNetPlannerResEnc${size}` })
      const [flat, lowres, fullres] = Object.values(plans.configurations).map((entry) => entry.data_identifier)
      expect([flat, lowres, fullres]).toEqual(['nnUNetPlans_2d', `${name}_3d_lowres`, 'nnUNetPlans_3d_fullres'])
    }
    expect(identifiers('tiny').slice(0, 2)).toEqual(['nnUNetPlans_2d', 'nnUNetPlans_3d_lowres'])
    // Less memory makes 3d_lowres coarser than that of the default plans.
    expect(identifiers('tiny', 4).slice(0, 2)).toEqual(['nnUNetPlans_2d', 'nnUNetPlansTiny_3d_lowres'])
  })

  test('a slab of two voxels, for which nnU-Net rounds an extent of 3d_lowres to none, is planned', () => {
    const slab = { ...hippocampus, shapes_after_crop: Array(208).fill([2, 3000, 3000]) }
    const { configurations } = planWith('default', slab)
    expect(configurations['3d_lowres']?.median_image_size_in_voxels?.[0]).toBe(1)
    expect(configurations['3d_lowres']?.patch_size?.every((extent) => extent >= 1)).toBe(true)
  })

  test('more memory gives larger patches, far too little a clear error', () => {
    const large = { ...hippocampus, shapes_after_crop: Array(208).fill([300, 300, 300]) }
    const voxels = (memory: number) => {
      const patch = planWith('default', large, memory).configurations['3d_fullres']?.patch_size ?? []
      return patch.reduce((result, extent) => result * extent, 1)
    }
    expect(voxels(24)).toBeGreaterThan(voxels(8))
    expect(() => planWith('default', large, 1e-6)).toThrow(/expected enough for a patch of .*, found/)
  })

  test('an empty or foreign fingerprint is refused', () => {
    expect(() => planWith('default', { ...hippocampus, spacings: [], shapes_after_crop: [] })).toThrow(/0 spacings/)
    expect(() => planWith('default', { ...hippocampus, spacings: Array(208).fill([1, 0, 1]) })).toThrow(/\[1,0,1\]/)
  })
})

test('the summary says what each configuration will be', () => {
  const plans = planWith('resenc-m', {
    ...hippocampus,
    median_relative_size_after_cropping: 0.5,
    shapes_after_crop: Array(208).fill([512, 512, 300]),
    spacings: Array(208).fill([0.75, 0.75, 2]),
  })
  expect(summaryOf(plans)).toEqual([
    'nnUNetResEncUNetMPlans by nnUNetPlannerResEncM: ResidualEncoderUNet',
    '  channels: ZScoreNormalization within the nonzero mask',
    '  axes: 2 0 1 of the images, the coarsest first',
    '  2d: patch 512 x 512, batch 12, spacing 0.75 x 0.75 mm',
    '    median image 512 x 512; 8 stages of 32 to 512 features, 7 x 7 poolings',
    '    preprocessed data shared: nnUNetPlans_2d',
    '  3d_lowres: patch 112 x 160 x 128, batch 2, spacing 3.4 x 1.72 x 1.72 mm',
    '    median image 176 x 224 x 224; 6 stages of 32 to 320 features, 4 x 5 x 5 poolings',
    '  3d_fullres: patch 80 x 160 x 128, batch 2, spacing 2 x 0.75 x 0.75 mm',
    '    median image 300 x 512 x 512; 6 stages of 32 to 320 features, 4 x 5 x 5 poolings',
    '    preprocessed data shared: nnUNetPlans_3d_fullres',
    '  3d_cascade_fullres: as 3d_fullres, with the segmentation of 3d_lowres as input',
  ])
})

describe('topology', () => {
  // dynamic_network_architectures' compute_conv_feature_map_size for one input channel and three outputs.
  test.each([
    ['plain', [40, 56, 40], 4, 19_174_400],
    ['plain', [128, 128, 128], 6, 452_796_416],
    ['residual', [40, 56, 40], 4, 23_609_600],
    ['residual', [128, 128, 128], 6, 557_420_544],
  ])('the memory of a %s network for %j', (kind, patchSize, stages, expected) => {
    const numbers = Array.from({ length: stages }, (_, stage) => stage)
    const strides = numbers.map((stage) => Array(3).fill(stage === 0 ? 1 : 2))
    const found = featureMapSize(
      { strides, kernelSizes: [], patchSize, divisors: [] },
      {
        features: numbers.map((stage) => Math.min(320, 32 * 2 ** stage)),
        encoder: numbers.map((stage) => (kind === 'plain' ? 2 : convsOfResidualBlocks([1, 3, 4, 6][stage] ?? 6))),
        decoder: numbers.slice(1).map(() => (kind === 'plain' ? 2 : 1)),
        outputs: 3,
      },
    )
    expect(found).toBe(expected)
  })

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
