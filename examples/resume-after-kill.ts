// Nothing is lost: a training is killed in the middle, as a power cut would, and goes on from its newest checkpoint.
//   npx tsx examples/resume-after-kill.ts [DATASET] [--plans nnUNetPlansTiny]
import { fork } from 'node:child_process'
import { rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { type RunEvent, resume, train } from 'voxgrad'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { plans: { type: 'string', default: 'nnUNetPlansTiny' }, child: { type: 'boolean', default: false } },
})
const folder = 'runs/resume-after-kill'

if (values.child) {
  const run = train({
    dataset: positionals[0] ?? '501',
    configuration: '3d_fullres',
    fold: 0,
    plans: values.plans,
    run: folder,
    budget: { epochs: 6, stepsPerEpoch: 10, valSteps: 2 },
    checkpoint: { everyEpochs: 1 },
  })
  for await (const event of run) process.send?.(event)
} else {
  rmSync(folder, { recursive: true, force: true })
  const child = fork(fileURLToPath(import.meta.url), [...process.argv.slice(2), '--child'])
  child.on('message', (event: RunEvent) => {
    if (event.type === 'epoch') console.log(`epoch ${event.epoch}, loss ${event.train_loss?.toFixed(4)}`)
    if (event.type === 'checkpoint' && event.epoch === 3) child.kill('SIGKILL')
  })
  const signal = await new Promise((resolve) => child.on('close', (_, signal) => resolve(signal)))
  console.log(`killed by ${signal}`)

  const run = resume({ run: folder })
  for await (const event of run) {
    if (event.type === 'resume') console.log(`going on at step ${event.step}: ${event.text}`)
    if (event.type === 'epoch') console.log(`epoch ${event.epoch}, loss ${event.train_loss?.toFixed(4)}`)
  }
  const { status, epochs } = await run.finished
  console.log(`${status} after ${epochs} epochs`)
}
