// Scalars for TensorBoard: bytes as its own writer makes them, what it reads back from a run's file, and a file that grows with
// the run, also after a resume from before its end. And the same curve as CSV.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { writeCsv } from '../../src/report/csv.js'
import { encodeEvents, type LoggedEpoch, writeEvents } from '../../src/report/tensorboard.js'

const goldens = path.join(import.meta.dirname, '../goldens')
const root = mkdtempSync(path.join(tmpdir(), 'voxgrad-curves-'))
afterAll(() => rmSync(root, { recursive: true }))

const startedAt = 1795392547.779
const labels = ['Anterior, left', 'the "other"']
const epochLine = (epoch: number, loss = 0.5): LoggedEpoch => ({
  epoch,
  step: 40 * (epoch + 1),
  lr: 0.01,
  train_loss: loss - epoch / 8,
  val_loss: epoch === 1 ? null : 0.25,
  mean_fg_dice: 0.75,
  ema_fg_dice: 0.5,
  dice_per_class: [0.5, epoch === 1 ? null : 1],
  seconds: 2.5,
  step_ms: { p50: 140, p95: 150.5 },
  memory: { resident_bytes: 424566784, device_bytes: null },
})
const epochs = (count: number, loss?: number) => Array.from({ length: count }, (_, epoch) => epochLine(epoch, loss))
const eventFile = (folder: string) =>
  path.join(folder, readdirSync(folder).find((name) => name.includes('tfevents')) as string)

test("the bytes are those of TensorBoard's own writer (test/goldens/make_events.py)", () => {
  const golden = JSON.parse(readFileSync(path.join(goldens, 'events.json'), 'utf8'))
  const expected = readFileSync(path.join(goldens, 'events.tfevents'))
  expect(encodeEvents(golden.startedAt, golden.scalars).toString('hex')).toBe(expected.toString('hex'))
})

test('a file grows with its run, and is written anew where a resumed run goes another way', async () => {
  const folder = mkdtempSync(path.join(root, 'grows-'))
  await writeEvents(folder, startedAt, epochs(2), labels)
  const [file, first] = [eventFile(folder), readFileSync(eventFile(folder))]
  const { ino } = statSync(file)
  await writeEvents(folder, startedAt, epochs(3), labels)
  const second = readFileSync(file)
  expect(second.length).toBeGreaterThan(first.length)
  expect(second.subarray(0, first.length).equals(first)).toBe(true)
  await writeEvents(folder, startedAt, epochs(2, 0.25), labels)
  const third = readFileSync(file)
  expect(third.length).toBe(first.length)
  expect(third.equals(first)).toBe(false)
  // What TensorBoard has open.
  expect(statSync(file).ino).toBe(ino)
  expect(readdirSync(folder)).toHaveLength(1)
})

test('a folder that is not there is ERR_DISK, with the file', async () => {
  await expect(writeEvents(path.join(root, 'none'), startedAt, [], [])).rejects.toMatchObject({
    code: 'ERR_DISK',
    message: expect.stringMatching(
      /none.events\.out\.tfevents\.1795392547\.voxgrad: cannot be written, because there is no such file or folder/,
    ) as string,
  })
})

const python = 'python3'
const reader = (() => {
  try {
    execFileSync(python, ['-c', 'import tensorboard'], { stdio: 'ignore' })
    return undefined
  } catch {
    return 'tensorboard is not installed for python3 (pip install tensorboard, or its folder in PYTHONPATH)'
  }
})()

test.skipIf(reader)(
  `TensorBoard reads a run${reader ? `: skipped, because ${reader}` : ''}`,
  { timeout: 60_000 },
  async () => {
    const folder = mkdtempSync(path.join(root, 'read-'))
    await writeEvents(folder, startedAt, epochs(3), labels)
    const script = path.join(goldens, 'make_events.py')
    const output = execFileSync(python, [script, eventFile(folder)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const scalars = JSON.parse(output) as Record<string, [number, number, number][]>
    expect(scalars['loss/training']).toEqual([
      [startedAt + 2.5, 40, 0.5],
      [startedAt + 5, 80, 0.375],
      [startedAt + 7.5, 120, 0.25],
    ])
    expect(scalars['dice/the "other"']?.map(([, step]) => step)).toEqual([40, 120])
    expect(Object.keys(scalars).sort()).toEqual([
      'dice/Anterior, left',
      'dice/mean_foreground',
      'dice/moving_average',
      'dice/the "other"',
      'loss/training',
      'loss/validation',
      'memory/resident_bytes',
      'time/epoch_seconds',
      'time/step_ms_p50',
      'time/step_ms_p95',
      'training/epoch',
      'training/learning_rate',
    ])
  },
)

test('metrics.csv has a line an epoch, and names with commas and quotes', async () => {
  await writeCsv(root, epochs(2), labels)
  expect(readFileSync(path.join(root, 'metrics.csv'), 'utf8').split('\n')).toEqual([
    'epoch,step,lr,train_loss,val_loss,mean_fg_dice,ema_fg_dice,"dice Anterior, left","dice the ""other""",seconds,step_ms_p50,step_ms_p95,resident_bytes,device_bytes',
    '0,40,0.01,0.5,0.25,0.75,0.5,0.5,1,2.5,140,150.5,424566784,',
    '1,80,0.01,0.375,,0.75,0.5,0.5,,2.5,140,150.5,424566784,',
    '',
  ])
})
