// Policies of one's own: a learning rate by steps, a best metric that minds the worst class, and an end when it is good enough.
//   npx tsx examples/own-policy.ts [DATASET] [--epochs 60] [--plans nnUNetPlansTiny]
import { parseArgs } from 'node:util'
import { type Policies, train } from 'voxgrad'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { epochs: { type: 'string', default: '60' }, plans: { type: 'string', default: 'nnUNetPlansTiny' } },
})

const policies: Policies = {
  // Full speed for half of the run, then a tenth, then a hundredth.
  learningRate: ({ step, totalSteps, initialLr }) =>
    initialLr * (step < totalSteps / 2 ? 1 : step < (3 * totalSteps) / 4 ? 0.1 : 0.01),

  // The worst class of an epoch, as the mean over the last five.
  bestMetric: (epochs) => {
    const worst = epochs.slice(-5).map(({ dice_per_class }) => Math.min(...dice_per_class.map((dice) => dice ?? 0)))
    return worst.reduce((sum, dice) => sum + dice, 0) / worst.length
  },

  stopEarly: (epochs) => {
    const recent = epochs.slice(-3)
    const isGood = recent.length === 3 && recent.every(({ mean_fg_dice: dice }) => (dice ?? 0) > 0.9)
    return isGood ? 'three epochs in a row above 0.9' : null
  },
}

const run = train(
  {
    dataset: positionals[0] ?? '501',
    configuration: '3d_fullres',
    fold: 0,
    plans: values.plans,
    run: 'runs/own-policy',
    budget: { epochs: Number(values.epochs), stepsPerEpoch: 50, valSteps: 5 },
  },
  { policies },
)
for await (const event of run) {
  if (event.type === 'epoch')
    console.log(`epoch ${event.epoch}: lr ${event.lr}, Dice ${event.mean_fg_dice?.toFixed(3)}`)
  if (event.type === 'new_best') console.log(`  new best: ${event.value.toFixed(3)}`)
}
const { reason, folder } = await run.finished
console.log(`${reason}: ${folder}`)
