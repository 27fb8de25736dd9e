// The demo's generator: a sound dataset, the same voxels for the same seed, labels that touch.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { readSegmentation } from '../../src/dataset/image.js'
import { checkDataset } from '../../src/dataset/integrity.js'

const script = path.join(import.meta.dirname, '../../examples/make-dataset.mjs')
const make = (seed: number) => {
  const raw = mkdtempSync(path.join(tmpdir(), 'voxgrad-demo-'))
  execFileSync(process.execPath, [script, raw, '--seed', String(seed), '--cases', '5'], { stdio: 'pipe' })
  return path.join(raw, 'Dataset501_Demo')
}
const first = 'imagesTr/demo_001_0000.nii.gz'

describe('make-dataset', () => {
  let folder = ''
  beforeAll(() => {
    folder = make(3)
  })

  test('writes a raw dataset without fault, and test images with labels', async () => {
    expect(await checkDataset(folder)).toEqual([])
    const names = ['demo_006', 'demo_007', 'demo_008', 'demo_009'].map((id) => `${id}.nii.gz`)
    expect(readdirSync(path.join(folder, 'labelsTs')).sort()).toEqual(names)
    expect(readdirSync(path.join(folder, 'imagesTs')).length).toBe(4)
  })

  test('the seed decides every voxel', () => {
    expect(readFileSync(path.join(make(3), first))).toEqual(readFileSync(path.join(folder, first)))
    expect(readFileSync(path.join(make(4), first))).not.toEqual(readFileSync(path.join(folder, first)))
  })

  test('both parts are there and touch', async () => {
    for (const id of ['demo_001', 'demo_002', 'demo_003']) {
      const { labels, shape } = await readSegmentation(path.join(folder, `labelsTr/${id}.nii.gz`))
      const count = (value: number) => labels.reduce((sum, label) => sum + Number(label === value), 0)
      expect(Math.min(count(1), count(2)), id).toBeGreaterThan(300)
      const row = shape[2]
      const touching = labels.some((label, i) => label === 1 && (labels[i + row] === 2 || labels[i - row] === 2))
      expect(touching, id).toBe(true)
    }
  })

  test('never overwrites', () => {
    const again = () =>
      execFileSync(process.execPath, [script, path.dirname(folder), '--cases', '5'], { stdio: 'pipe' })
    expect(again).toThrow(/already there/)
  })
})
