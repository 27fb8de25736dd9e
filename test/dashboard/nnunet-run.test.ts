// A run of nnU-Net in the dashboard: its logs as lines of metrics.jsonl, its state, and what happens when voxgrad takes it over.
import { existsSync } from 'node:fs'
import { appendFile, mkdir, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { RunsWatch } from '../../src/dashboard/runs.js'
import { writeFakeRun } from './fake-runs.js'

let root: string
const name = 'Dataset004_Hippocampus/nnUNetTrainer__nnUNetPlans__3d_fullres/fold_0'
const file = (one: string) => path.join(root, name, one)

beforeAll(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'voxgrad-nnunet-run-'))
})
afterAll(() => rm(root, { recursive: true }))

/** Lines of an epoch as nnU-Net 2.8.1 prints them. */
const epochText = (epoch: number, dice: string, best?: number) =>
  [
    '',
    `Epoch ${epoch}`,
    'Current learning rate: 0.00955',
    'train_loss -0.1392',
    'val_loss -0.1876',
    `Pseudo dice [${dice}]`,
    'Epoch time: 43.91 s',
    ...(best === undefined ? [] : [`Yayy! New best EMA pseudo Dice: ${best}`]),
  ]
    .map((text) => `2026-11-22 20:48:47.923410: ${text} \n`)
    .join('')

const head =
  "\n####\nPlease cite ...\n \n2026-11-22 20:45:09.854652: do_dummy_2d_data_aug: False \n {'batch_size': 2}\n"

/** Looks once at everything, as a dashboard that begins does. */
async function look() {
  const watch = new RunsWatch(root)
  await watch.start()
  await watch.stop()
  const [run] = watch.all()
  const { rows = [], notes = [] } = run?.lines ?? {}
  return { state: run?.state, rows, notes }
}

test('epochs come from all logs, those of a resumed run in place of earlier ones', async () => {
  await mkdir(file('.'), { recursive: true })
  await writeFile(
    file('debug.json'),
    JSON.stringify({ num_epochs: '20', num_iterations_per_epoch: '100', device: 'cuda' }),
  )
  await writeFile(
    file('training_log_2026_11_22_20_45_09.txt'),
    head + epochText(0, 'np.float32(0.5), nan', 0.5) + epochText(1, '0.7, 0.9') + epochText(2, '0.1, 0.1'),
  )
  await writeFile(file('training_log_2026_11_22_21_23_10.txt'), head + epochText(2, 'np.float32(0.8), np.float32(1.0)'))
  const { state, rows, notes } = await look()
  expect(state).toMatchObject({
    ...{ dataset: 'Dataset004_Hippocampus', configuration: '3d_fullres', plans: 'nnUNetPlans', fold: '0' },
    ...{ status: 'running', epoch: 3, epochs: 20, step: 300, totalSteps: 2000, device: 'cuda' },
    best: { metric: 'ema_fg_dice', value: 0.5, epoch: 0 },
  })
  // epoch, step, seconds, learning rate, losses, mean, nnU-Net's moving average, ..., Dice of each class
  const shown = rows.map((row) => [...row.slice(0, 8), ...row.slice(15)])
  expect(shown).toEqual([
    [0, 100, 43.91, 0.00955, -0.1392, -0.1876, 0.5, 0.5, 0.5, null],
    [1, 200, 43.91, 0.00955, -0.1392, -0.1876, 0.8, 0.53, 0.7, 0.9],
    [2, 300, 43.91, 0.00955, -0.1392, -0.1876, 0.9, 0.567, 0.8, 1],
  ])
  expect(notes).toMatchObject([{ kind: 'new_best', epoch: 0, value: 0.5 }])
})

test('a log that is silent, or a final checkpoint, is the end', async () => {
  const long = new Date(Date.now() - 3_600_000)
  await utimes(file('training_log_2026_11_22_21_23_10.txt'), long, long)
  expect((await look()).state?.status).toBe('stopped')
  await appendFile(
    file('training_log_2026_11_22_21_23_10.txt'),
    '2026-11-22 21:06:35.53: Mean Validation Dice:  0.82 \n',
  )
  expect((await look()).state?.status).toBe('running')
  await writeFile(file('checkpoint_final.pth'), '')
  // Of an earlier training, as long as epochs are left.
  expect((await look()).state?.status).toBe('running')
  await writeFile(
    file('debug.json'),
    JSON.stringify({ num_epochs: '3', num_iterations_per_epoch: '100', device: 'cuda' }),
  )
  const { state, notes } = await look()
  expect(state?.status).toBe('finished')
  expect(notes.at(-1)).toMatchObject({ kind: 'stop', text: 'Mean Validation Dice:  0.82' })
})

test('a training that begins again in the same folder takes the place of the one before', async () => {
  const again = file('training_log_2026_11_23_00_00_00.txt')
  await writeFile(again, head + epochText(0, '0.2, 0.4', 0.3))
  const { state, rows, notes } = await look()
  expect([state?.status, rows.length]).toEqual(['running', 1])
  expect(notes).toMatchObject([{ kind: 'new_best', value: 0.3 }])
  await rm(again)
})

test('a damaged debug.json is said, and a run that voxgrad takes over is shown from its own files', async () => {
  const whole = await readFile(file('debug.json'), 'utf8')
  await writeFile(file('debug.json'), '{')
  expect((await look()).state).toMatchObject({ status: 'unreadable', reason: expect.stringContaining('debug.json') })
  await writeFile(file('debug.json'), whole)

  const watch = new RunsWatch(root)
  await watch.start()
  expect(watch.all()[0]?.state.totalSteps).toBe(300)
  await writeFakeRun(root, { name, epochs: 4 })
  expect(existsSync(file('run.json'))).toBe(true)
  await expect.poll(() => watch.all()[0]?.lines.rows.length, { timeout: 20_000 }).toBe(4)
  await watch.stop()
})
