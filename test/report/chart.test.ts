// The drawing process: a chart from metrics.jsonl alone, and one clear error where it cannot be written or drawn.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { writeCurves } from '../../src/report/curves.js'

const root = mkdtempSync(path.join(tmpdir(), 'voxgrad-chart-'))
afterAll(() => rmSync(root, { recursive: true }))

const line = (epoch: number) => ({
  type: 'epoch',
  epoch,
  step: epoch + 1,
  lr: 0.01,
  train_loss: -epoch,
  dice_per_class: [0.5],
  seconds: 2,
})

test('draws the epochs of a run that is still being written', async () => {
  const lines = [line(0), { type: 'warning', text: 'no epoch' }, line(1)].map((entry) => JSON.stringify(entry))
  writeFileSync(path.join(root, 'metrics.jsonl'), `${lines.join('\n')}\n{"type": "epo`)
  writeFileSync(path.join(root, 'run.json'), JSON.stringify({ format: 1, startedAt: '2026-01-02T03:04:05.000Z' }))
  const dataset = {
    channel_names: { 0: 'MRI' },
    labels: { background: 0, a: 1 },
    numTraining: 1,
    file_ending: '.nii.gz',
  }
  writeFileSync(path.join(root, 'dataset.json'), JSON.stringify(dataset))
  await writeCurves(root)
  expect(readFileSync(path.join(root, 'progress.svg'), 'utf8')).toContain('</svg>')
  expect(readFileSync(path.join(root, 'progress.png')).subarray(1, 4).toString()).toBe('PNG')
  expect(readFileSync(path.join(root, 'metrics.csv'), 'utf8')).toMatch(/^epoch,.*,dice a,.*\n0,1,0\.01,/)
  expect(readdirSync(root).filter((name) => name.startsWith('events.out.tfevents.'))).toHaveLength(1)
})

test('a chart that cannot be written is ERR_DISK, with the file', async () => {
  const folder = path.join(root, 'blocked')
  mkdirSync(path.join(folder, 'progress.svg/x'), { recursive: true })
  await expect(writeCurves(folder)).rejects.toMatchObject({
    code: 'ERR_DISK',
    message: expect.stringContaining('progress.svg') as string,
  })
})

test('metrics that cannot be drawn are an error of the drawing, not of this process', async () => {
  const folder = path.join(root, 'wrong')
  mkdirSync(path.join(folder, 'metrics.jsonl'), { recursive: true })
  await expect(writeCurves(folder)).rejects.toMatchObject({
    code: 'ERR_INTERNAL',
    message: expect.stringMatching(/progress\.png: cannot be drawn, because .*EISDIR/) as string,
  })
})
