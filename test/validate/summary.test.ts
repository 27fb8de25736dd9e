// Metrics and summary.json against the text that nnU-Net wrote for the same label maps.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { caseMetrics } from '../../src/validate/metrics.js'
import { summarize, summaryText } from '../../src/validate/summary.js'

const targets = [1, 2, 3].map((value) => ({ key: String(value), labels: [value] }))
const { summary: golden } = JSON.parse(
  readFileSync(new URL('../goldens/training_rules.json', import.meta.url), 'utf8'),
) as { summary: { text: string; cases: { id: string; prediction: number[]; reference: number[] }[] } }

test("the same label maps give nnU-Net's text, byte for byte", () => {
  const results = golden.cases.map(({ id, prediction, reference }) => ({
    metrics: caseMetrics(prediction, reference, targets),
    predictionFile: `/data/0/${id}.nii.gz`,
    referenceFile: `/data/1/${id}.nii.gz`,
  }))
  expect(summaryText(summarize(results, ['1', '2', '3']))).toBe(golden.text)
})

test('regions and an ignore label likewise', () => {
  const { summary } = JSON.parse(readFileSync(new URL('../goldens/labels.json', import.meta.url), 'utf8')) as {
    summary: typeof golden
  }
  const regions = [
    { key: '(1, 2, 3)', labels: [1, 2, 3] },
    { key: '(2, 3)', labels: [2, 3] },
    { key: '3', labels: [3] },
  ]
  const results = summary.cases.map(({ id, prediction, reference }) => ({
    metrics: caseMetrics(prediction, reference, regions, 4),
    predictionFile: `/data/0/${id}.nii.gz`,
    referenceFile: `/data/1/${id}.nii.gz`,
  }))
  const keys = regions.map(({ key }) => key)
  expect(summaryText(summarize(results, keys))).toBe(summary.text)
})

test('numbers are written as Python writes them', () => {
  const metrics = caseMetrics([1], [1], targets)
  const tiny = { ...(metrics.get('1') as ReturnType<typeof Object>), Dice: 1.25e-7, IoU: 1e-5 }
  const text = summaryText(
    summarize([{ metrics: new Map([['1', tiny as never]]), predictionFile: 'p', referenceFile: 'r' }], ['1']),
  )
  expect(text).toContain('"Dice": 1.25e-07')
  expect(text).toContain('"IoU": 1e-05')
  expect(text).toContain('"TN": 0.0')
})
