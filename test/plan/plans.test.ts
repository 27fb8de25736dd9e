// Inheritance between configurations, plans of older versions, faulty plans files.
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { type Plans, readPlans, resolveConfiguration } from '../../src/plan/plans.js'

const base = {
  data_identifier: 'nnUNetPlans_3d_fullres',
  batch_size: 2,
  patch_size: [32, 32, 32],
  spacing: [1, 1, 1],
  normalization_schemes: ['ZScoreNormalization'],
  use_mask_for_norm: [false],
  resampling_fn_data_kwargs: { is_seg: false, order: 3, order_z: 0, force_separate_z: null },
  resampling_fn_seg_kwargs: { is_seg: true, order: 1, order_z: 0, force_separate_z: null },
  resampling_fn_probabilities_kwargs: { is_seg: false, order: 1, order_z: 0, force_separate_z: null },
  batch_dice: false,
}
const old = {
  UNet_class_name: 'PlainConvUNet',
  UNet_base_num_features: 32,
  unet_max_num_features: 40,
  n_conv_per_stage_encoder: [2, 2],
  n_conv_per_stage_decoder: [2],
  conv_kernel_sizes: [
    [1, 3, 3],
    [3, 3, 3],
  ],
  pool_op_kernel_sizes: [
    [1, 1, 1],
    [1, 2, 2],
  ],
}
const architecture = { network_class_name: 'a.b.PlainConvUNet', arch_kwargs: { n_stages: 2 }, _kw_requires_import: [] }

function plansWith(configurations: Record<string, object>): Plans {
  return {
    dataset_name: 'Dataset001_Test',
    plans_name: 'nnUNetPlans',
    image_reader_writer: 'SimpleITKIO',
    transpose_forward: [0, 1, 2],
    transpose_backward: [0, 1, 2],
    configurations,
  } as unknown as Plans
}

describe('resolveConfiguration', () => {
  test('a child replaces whole entries of its parents', () => {
    const plans = plansWith({
      a: { ...base, architecture },
      b: { inherits_from: 'a', batch_size: 5 },
      c: { inherits_from: 'b', architecture: { network_class_name: 'x.Y' }, previous_stage: 'a' },
    })
    const resolved = resolveConfiguration(plans, 'c')
    expect(resolved).toMatchObject({ batch_size: 5, patch_size: [32, 32, 32], previous_stage: 'a' })
    expect(resolved.architecture).toEqual({ network_class_name: 'x.Y' })
    expect(resolved).not.toHaveProperty('inherits_from')
    resolved.patch_size[0] = 1
    expect(resolveConfiguration(plans, 'a').patch_size).toEqual([32, 32, 32])
  })

  test('unknown names, missing parents, circles and missing keys are named', () => {
    const plans = plansWith({
      a: { inherits_from: 'b' },
      b: { inherits_from: 'a' },
      orphan: { inherits_from: 'nobody' },
      thin: { batch_size: 2, architecture },
    })
    expect(() => resolveConfiguration(plans, '2d')).toThrow(
      /no configuration 2d\. Choose one of theirs: a, b, orphan, thin/,
    )
    expect(() => resolveConfiguration(plans, 'toString')).toThrow(/no configuration toString/)
    expect(() => resolveConfiguration(plans, 'a')).toThrow(/a -> b -> a/)
    expect(() => resolveConfiguration(plans, 'orphan')).toThrow(/orphan inherits from nobody/)
    expect(() => resolveConfiguration(plans, 'thin')).toThrow(/lacks data_identifier, patch_size/)
  })

  test('plans of before 2024 get an architecture', () => {
    const { architecture: rebuilt } = resolveConfiguration(plansWith({ a: { ...base, ...old } }), 'a')
    expect(rebuilt.network_class_name).toBe('dynamic_network_architectures.architectures.unet.PlainConvUNet')
    expect(rebuilt.arch_kwargs).toMatchObject({
      n_stages: 2,
      features_per_stage: [32, 40],
      conv_op: 'torch.nn.modules.conv.Conv3d',
      kernel_sizes: old.conv_kernel_sizes,
      strides: old.pool_op_kernel_sizes,
      n_conv_per_stage: [2, 2],
      n_conv_per_stage_decoder: [2],
    })
    expect(() => resolveConfiguration(plansWith({ a: base }), 'a')).toThrow(
      /expected "architecture", or the keys of older plans.*found neither/,
    )
  })
})

describe('readPlans', () => {
  test('names what is wrong with a file', async () => {
    const file = path.join(mkdtempSync(path.join(tmpdir(), 'voxgrad-plans-')), 'plans.json')
    await expect(readPlans(file)).rejects.toMatchObject({ code: 'ERR_PLANS', message: expect.stringContaining(file) })
    writeFileSync(file, '{"dataset_name": "x"')
    await expect(readPlans(file)).rejects.toMatchObject({ code: 'ERR_FORMAT' })
    writeFileSync(file, '{"dataset_name": "x"}')
    await expect(readPlans(file)).rejects.toThrow(/found a file without plans_name/)
    writeFileSync(file, JSON.stringify(plansWith({ a: base })))
    expect((await readPlans(file)).plans_name).toBe('nnUNetPlans')
    const absent = path.join(path.dirname(file), 'nnUNetPlansOther.json')
    const name = path.basename(file, '.json')
    await expect(readPlans(absent)).rejects.toMatchObject({
      code: 'ERR_PLANS',
      remedy: expect.stringMatching(`--plans ${name},`),
    })
  })
})
