// A plan of one's own: nnU-Net's, with smaller patches, more of them in a batch, and fewer features; then a first training.
//   npx tsx examples/custom-plan.ts [DATASET] [--epochs 10]
import { parseArgs } from 'node:util'
import { plan, preprocess, train } from 'voxgrad'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { epochs: { type: 'string', default: '10' } },
})
const dataset = positionals[0] ?? '501'
const plansName = 'nnUNetPlansSmallPatches'

const { plans, plansFile } = await plan(
  { dataset, preset: 'tiny', plansName },
  {
    change: (plans) => {
      const full = plans.configurations['3d_fullres']
      if (full?.architecture === undefined || full.patch_size === undefined) throw new Error('there is no 3d_fullres')
      const { arch_kwargs: network } = full.architecture
      // The network's strides divide a patch: halve it only where that leaves a whole number of its lowest voxels.
      const divisor = [0, 1, 2].map((axis) =>
        network.strides.reduce((product, stride) => product * (stride[axis] ?? 1), 1),
      )
      full.patch_size = full.patch_size.map((extent, axis) => {
        const half = extent / 2
        return half % (divisor[axis] ?? 1) === 0 ? half : extent
      })
      full.batch_size = 4
      network.features_per_stage = network.features_per_stage.map((features) => Math.min(features, 32))
      return { ...plans, configurations: { '3d_fullres': full } }
    },
  },
)
console.log(`${plansFile}: patch ${plans.configurations['3d_fullres']?.patch_size?.join(' x ')}`)

const { cases } = await preprocess({ dataset, configurations: ['3d_fullres'], plans: plansName })
console.log(`${cases} cases preprocessed`)

const { folder, validations } = await train({
  dataset,
  configuration: '3d_fullres',
  fold: 0,
  plans: plansName,
  run: 'runs/custom-plan',
  continue: true,
  budget: { epochs: Number(values.epochs), stepsPerEpoch: 20, valSteps: 2 },
}).finished
console.log(`${folder}: mean Dice ${validations[0]?.meanForegroundDice?.toFixed(3)}`)
