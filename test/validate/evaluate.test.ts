// Evaluation of folders: regions, the ignore label, what is found by itself, and every fault at once.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { evaluate } from '../../src/validate/evaluate.js'
import { writeVolume } from '../dataset/raw-dataset.js'

let root: string
beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'voxgrad-evaluate-'))
  for (const folder of ['predictions', 'labelsTr']) mkdirSync(path.join(root, folder))
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const at = (...parts: string[]) => path.join(root, ...parts)
const folders = () => ({ predictions: at('predictions'), truth: at('labelsTr') })

/** One row of voxels. */
function write(folder: string, name: string, labels: number[]): Promise<void> {
  const values = (index: number) => labels[index] as number
  return writeVolume(at(folder, `${name}.nii.gz`), { shape: [1, 1, labels.length], values }, 'label')
}

function describeDataset(folder: string, labels: object, more: object = {}): void {
  const content = { channel_names: { '0': 'MRI' }, labels, numTraining: 1, file_ending: '.nii.gz', ...more }
  writeFileSync(at(folder, 'dataset.json'), JSON.stringify(content))
}

describe('evaluate', () => {
  test('counts regions by their tuples, and leaves out what the reference ignores', async () => {
    const labels = { background: 0, whole: [1, 2], core: 2, ignore: 3 }
    describeDataset('.', labels, { regions_class_order: [1, 2] })
    await write('labelsTr', 'a', [0, 1, 2, 2, 3, 3])
    await write('predictions', 'a', [1, 1, 1, 2, 2, 0])
    const { summary, file } = await evaluate(folders())
    const common = { TN: 0, n_ref: 3 }
    expect(summary.mean.get('(1, 2)')).toMatchObject({ ...common, TP: 3, FP: 1, FN: 0, Dice: 6 / 7 })
    expect(summary.mean.get('2')).toMatchObject({ TP: 1, FP: 0, FN: 1, TN: 2, Dice: 2 / 3 })
    expect(summary.foregroundMean.Dice).toBeCloseTo((6 / 7 + 2 / 3) / 2, 15)
    expect(file).toBe(at('predictions', 'summary.json'))
    expect(readFileSync(file, 'utf8')).toContain('"(1, 2)": {')
  })

  test('names all files without a counterpart, and goes without missing predictions if told so', async () => {
    describeDataset('predictions', { background: 0, a: 1 })
    for (const name of ['a', 'b', 'c']) await write('labelsTr', name, [0, 1])
    await write('predictions', 'a', [0, 1])
    await expect(evaluate(folders())).rejects.toThrow(/lacks predictions for .*: b\.nii\.gz, c\.nii\.gz/)
    const { summary } = await evaluate({ ...folders(), skipMissing: true })
    expect(summary.cases).toHaveLength(1)
    await write('predictions', 'z', [0, 1])
    await expect(evaluate({ ...folders(), skipMissing: true })).rejects.toThrow(/lacks references for: z\.nii\.gz/)
  })

  test('names every case whose grids differ, and a missing dataset.json', async () => {
    await write('labelsTr', 'a', [0, 1])
    await write('predictions', 'a', [0, 1, 1])
    await expect(evaluate(folders())).rejects.toMatchObject({
      code: 'ERR_CONFIG',
      message: /name it by --dataset-json/,
    })
    describeDataset('.', { background: 0, a: 1 })
    await expect(evaluate(folders())).rejects.toThrow(/a: expected both segmentations on one grid/)
  })
})
