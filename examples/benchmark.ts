// How fast this machine trains: step times of a plan with several batch sizes, as a table.
//   npx tsx examples/benchmark.ts [PLAN] [--batches 1,2,4] [--repeat 20] [--device cpu]
// PLAN is a named shape (`voxgrad bench step --help` lists them) or a plans file.
import { parseArgs } from 'node:util'
import { bench } from 'voxgrad'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    batches: { type: 'string', default: '1,2,4' },
    repeat: { type: 'string', default: '20' },
    device: { type: 'string', default: 'cpu' },
  },
})

console.log('batch    p50 ms    p95 ms  patches/s')
for (const batchSize of values.batches.split(',').map(Number)) {
  const { p50_ms, p95_ms } = await bench({
    kind: 'step',
    plan: positionals[0] ?? 'tiny',
    batchSize,
    repeat: Number(values.repeat),
    device: values.device,
  })
  const columns = [
    p50_ms.toFixed(1).padStart(9),
    p95_ms.toFixed(1).padStart(9),
    ((1000 * batchSize) / p50_ms).toFixed(2),
  ]
  console.log(`${String(batchSize).padStart(5)} ${columns[0]} ${columns[1]}  ${columns[2]?.padStart(9)}`)
}
