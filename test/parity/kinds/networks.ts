// Networks, losses, gradients and SGD steps of nnU-Net: DIR/NAME.json (architecture, labels, losses), NAME.pth (start
// weights) and NAME.npz (batches, outputs, gradients, parameters after the steps).
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { resolveTrainerConfig } from '../../../src/config/resolve.js'
import { trainOptionsSchema } from '../../../src/config/schema.js'
import { parseDatasetJson } from '../../../src/dataset/dataset-json.js'
import { parseJson } from '../../../src/json.js'
import type { FloatTensor } from '../../../src/native/binding.js'
import { native } from '../../../src/native/load.js'
import type { Architecture } from '../../../src/plan/plans.js'
import { compareTrace } from '../../engine/compare-trace.js'
import { readNpz } from '../../npz.js'
import type { Comparison } from '../item.js'

interface Golden {
  architecture: Architecture
  input_channels: number
  labels: Record<string, number | number[]>
  regions_class_order: number[] | null
  batch_dice: boolean
  patch_size: number[]
  batch_size: number
  deep_supervision_weights: number[]
  steps: { losses: number[]; gradient_norms_before_clipping: number[]; learning_rates: number[] }
}

export const compare: Comparison = async function* (folder) {
  for (const file of readdirSync(folder).sort()) {
    if (!file.endsWith('.json')) continue
    const name = path.basename(file, '.json')
    const golden = parseJson(readFileSync(path.join(folder, file), 'utf8'), file) as unknown as Golden
    yield { name, ...(await compareWithGolden(golden, path.join(folder, name))) }
  }
}

async function compareWithGolden(golden: Golden, base: string): Promise<{ differences: string[]; note: string }> {
  const config = configOf(golden, base)
  const weights = config.loss.deepSupervisionWeights
  const expectedWeights = golden.deep_supervision_weights
  const arrays = readNpz(`${base}.npz`)
  const { losses, gradient_norms_before_clipping: gradientNorms, learning_rates: learningRates } = golden.steps
  const batches = <Values>(kind: string) =>
    losses.map((_, step) => arrays[`${kind}.${step}`] as unknown as { data: Values; shape: number[] })
  const trace = await native().traceSteps({
    config,
    checkpoint: `${base}.pth`,
    images: batches<Float32Array>('step_input'),
    labels: batches<Int16Array>('step_seg').map(({ data, shape }) => ({ data, shape: shape.toSpliced(1, 1) })),
    learningRates,
  })
  const { network_weights: startWeights } = (await native().readTorchFile(`${base}.pth`)) as {
    network_weights: Record<string, FloatTensor>
  }
  const { found, differences } = compareTrace(trace, { arrays, startWeights, losses, gradientNorms })
  const sameWeights =
    weights.length === expectedWeights.length &&
    weights.every((weight, level) => Math.abs(weight - (expectedWeights[level] ?? Number.NaN)) < 1e-12)
  return {
    differences: [
      ...(sameWeights ? [] : [`deep supervision weights: ${weights}, expected ${expectedWeights}`]),
      ...differences,
    ],
    note: Object.entries(found)
      .map(([quantity, value]) => `${quantity} ${value.toExponential(1)}`)
      .join(' '),
  }
}

/** The engine's configuration from the plans and the dataset that the golden stands for. */
function configOf(golden: Golden, origin: string) {
  const channels = Array.from({ length: golden.input_channels }, (_, index) => [String(index), 'MRI'])
  const dataset = parseDatasetJson(
    {
      channel_names: Object.fromEntries(channels),
      labels: golden.labels,
      ...(golden.regions_class_order && { regions_class_order: golden.regions_class_order }),
      numTraining: 1,
      file_ending: '.nii.gz',
    },
    origin,
  )
  return resolveTrainerConfig(
    {
      architecture: golden.architecture,
      batch_size: golden.batch_size,
      patch_size: golden.patch_size,
      batch_dice: golden.batch_dice,
      use_mask_for_norm: channels.map(() => false),
    },
    dataset,
    trainOptionsSchema.parse({
      dataset: 1,
      configuration: 'any',
      fold: 0,
      threads: 1,
      loss: { ignoredMean: 'nnunet' },
    }),
  )
}
