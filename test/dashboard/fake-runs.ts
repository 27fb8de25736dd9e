// Run folders as a training leaves them, made up: for the dashboard's tests and pictures.
import { appendFile, mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { parseOptions, trainOptionsSchema } from '../../src/config/schema.js'
import { writeNifti } from '../../src/dataset/nifti.js'
import { headerFromAffine } from '../../src/dataset/nifti-geometry.js'
import { modelFolderOf } from '../../src/predict/model.js'

export interface FakeRun {
  /** Folder below the runs' folder. */
  name: string
  epochs: number
  /** Of so many epochs in all; the same without it. */
  totalEpochs?: number
  seed?: number
  status?: 'finished' | 'stopped' | 'failed' | 'running'
}

export const fakeLabels = ['Anterior', 'Posterior', 'Vessel']

/** Numbers in [0, 1), the same for the same seed. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0 || 1
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

/** Lines of metrics.jsonl of epochs [from, to). */
export function fakeLines(run: FakeRun, from: number, to: number): string {
  const random = randomOf((run.seed ?? 1) * 7919 + from)
  const total = run.totalEpochs ?? run.epochs
  const speed = 3 + ((run.seed ?? 1) % 4)
  let ema = 0
  let best = 0
  const lines: object[] = []
  for (let epoch = 0; epoch < to; epoch++) {
    const progress = 1 - Math.exp((-speed * epoch) / total)
    const noise = () => (random() - 0.5) * 0.06
    const dice = fakeLabels.map((_, index) => Math.min(0.97, Math.max(0, (0.94 - 0.09 * index) * progress + noise())))
    const mean = dice.reduce((sum, value) => sum + value, 0) / dice.length
    ema = epoch === 0 ? mean : 0.9 * ema + 0.1 * mean
    const isBest = ema > best
    if (isBest) best = ema
    if (epoch < from) continue
    const step = (epoch + 1) * 250
    lines.push({
      ...{ type: 'epoch', epoch, step, lr: 0.01 * (1 - epoch / total) ** 0.9 },
      ...{ train_loss: 0.9 - 1.7 * progress + noise(), val_loss: 0.92 - 1.6 * progress + 2 * noise() },
      ...{ dice_per_class: dice, mean_fg_dice: mean, ema_fg_dice: ema, seconds: 41 + 4 * random() },
      step_ms: { p50: 148 + 12 * random(), p95: 170 + 40 * random() },
      data_ms: { p50: 21 + 3 * random(), p95: 30 + 8 * random() },
      skipped_steps: 0,
      memory: {
        resident_bytes: 3.1e9 + 1e8 * random(),
        peak_resident_bytes: 3.4e9,
        device_bytes: null,
        peak_device_bytes: null,
      },
      ...{ file_descriptors: 31, threads: 9 },
    })
    if (isBest) lines.push({ type: 'new_best', epoch, step, metric: 'ema_fg_dice', value: ema })
    if (epoch % 50 === 49) {
      const file = path.join('runs', 'checkpoint_latest.pth')
      lines.push({ type: 'checkpoint', file, epoch: epoch + 1, step, stall_ms: 12 + 4 * random(), write_ms: 310 })
    }
  }
  return lines.map((line) => `${JSON.stringify(line)}\n`).join('')
}

/** @returns the run's folder */
export async function writeFakeRun(root: string, run: FakeRun): Promise<string> {
  const folder = path.join(root, run.name)
  await mkdir(folder, { recursive: true })
  const model = path.basename(path.dirname(folder))
  const [, plans = 'nnUNetPlans', configuration = '3d_fullres'] = model.split('__')
  const fold = Number(/fold_(\d)$/.exec(run.name)?.[1] ?? 0)
  const options = parseOptions(
    trainOptionsSchema,
    { dataset: '4', configuration, fold, plans, budget: { epochs: run.totalEpochs ?? run.epochs } },
    'the options of a made-up run',
  )
  await writeFile(
    path.join(folder, 'run.json'),
    JSON.stringify({
      ...{
        format: 1,
        id: run.name,
        status: run.status ?? 'finished',
        reason: run.status ? null : 'completed',
        error: null,
      },
      ...{ dataset: 'Dataset004_Hippocampus', options, resolved: {}, versions: {}, seed: '12345', device: 'cuda:0' },
      ...{ threads: 8, epoch: run.epochs, step: run.epochs * 250, processId: 1 },
      ...{
        startedAt: '2026-03-01T08:00:00.000Z',
        updatedAt: new Date(Date.UTC(2026, 2, 1, 9, run.seed ?? 0)).toISOString(),
      },
    }),
  )
  const labels = Object.fromEntries(['background', ...fakeLabels].map((name, index) => [name, index]))
  const dataset = { channel_names: { 0: 'MRI' }, labels, numTraining: 260, file_ending: '.nii.gz' }
  await writeFile(path.join(modelFolderOf(folder), 'dataset.json'), JSON.stringify(dataset))
  await writeFile(path.join(folder, 'metrics.jsonl'), fakeLines(run, 0, run.epochs))
  return folder
}

/** As a running training does. */
export async function appendEpochs(folder: string, run: FakeRun, from: number, to: number): Promise<void> {
  await appendFile(path.join(folder, 'metrics.jsonl'), fakeLines(run, from, to))
}

/** A ball of a label in a volume of 12 x 12 x 12 voxels, with its middle at (x, 6, 6). */
function ball(x: number, label: number): Uint8Array {
  return Uint8Array.from({ length: 12 ** 3 }, (_, index) => {
    const place = [index % 12, Math.floor(index / 12) % 12, Math.floor(index / 144)] as const
    return (place[0] - x) ** 2 + (place[1] - 6) ** 2 + (place[2] - 6) ** 2 <= 9 ? label : 0
  })
}

/** A finished validation of a made-up run: images in `raw`, truth in `preprocessed`, predictions and summary.json in the run. */
export async function writeFakeValidation(
  run: string,
  { raw, preprocessed }: { raw: string; preprocessed: string },
  dicePerCase: Record<string, number>,
): Promise<void> {
  const folders = {
    image: path.join(raw, 'Dataset004_Hippocampus', 'imagesTr'),
    truth: path.join(preprocessed, 'Dataset004_Hippocampus', 'gt_segmentations'),
    prediction: path.join(run, 'validation'),
  }
  const identity = [0, 1, 2, 3].map((row) => [0, 1, 2, 3].map((column) => Number(row === column)))
  const header = headerFromAffine(identity, [12, 12, 12])
  const cases = []
  for (const [name, dice] of Object.entries(dicePerCase)) {
    const truth = ball(6, 1)
    const image = Int16Array.from(truth, (label, index) => 100 * label + (index % 7))
    await writeNifti(path.join(folders.image, `${name}_0000.nii.gz`), header, image)
    await writeNifti(path.join(folders.truth, `${name}.nii.gz`), header, truth)
    await writeNifti(path.join(folders.prediction, `${name}.nii.gz`), header, ball(5, 1))
    const metrics = Object.fromEntries(
      fakeLabels.map((_, index) => [index + 1, { Dice: index === 2 ? Number.NaN : dice }]),
    )
    cases.push({ metrics, prediction_file: path.join(folders.prediction, `${name}.nii.gz`), reference_file: '' })
  }
  const summary = JSON.stringify({ metric_per_case: cases }, (_, value) => (Number.isNaN(value) ? '@' : value))
  await writeFile(path.join(folders.prediction, 'summary.json'), summary.replaceAll('"@"', 'NaN'))
}
