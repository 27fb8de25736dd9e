// A sweep on one device: the same fold with several learning rates, one run after the other, and a table of what came out.
// Runs that are finished are not trained again, and one that was interrupted goes on: start the script as often as you like.
//   npx tsx examples/sweep-learning-rates.ts [DATASET] [--rates 0.003,0.01,0.03] [--epochs 20] [--plans nnUNetPlansTiny]
import { parseArgs } from 'node:util'
import { train } from 'voxgrad'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rates: { type: 'string', default: '0.003,0.01,0.03' },
    epochs: { type: 'string', default: '20' },
    plans: { type: 'string', default: 'nnUNetPlansTiny' },
  },
})

const results: { rate: number; dice: number | null }[] = []
for (const rate of values.rates.split(',').map(Number)) {
  await using run = train({
    dataset: positionals[0] ?? '501',
    configuration: '3d_fullres',
    fold: 0,
    plans: values.plans,
    run: `runs/learning-rate-${rate}`,
    continue: true,
    optimizer: { initialLr: rate },
    budget: { epochs: Number(values.epochs), stepsPerEpoch: 50, valSteps: 5 },
  })
  for await (const event of run) {
    if (event.type === 'epoch') console.log(`${rate}: epoch ${event.epoch}, Dice ${event.mean_fg_dice?.toFixed(3)}`)
  }
  const { validations } = await run.finished
  results.push({ rate, dice: validations[0]?.meanForegroundDice ?? null })
}

results.sort((a, b) => (b.dice ?? 0) - (a.dice ?? 0))
console.log('learning rate  mean Dice')
for (const { rate, dice } of results) console.log(`${String(rate).padEnd(13)}  ${dice?.toFixed(4) ?? '-'}`)
