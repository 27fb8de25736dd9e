// dataset.json: nnU-Net's label rules, orders as in the file, all faults at once.
import { describe, expect, test } from 'vitest'
import { parseDatasetJson } from '../../src/dataset/dataset-json.js'
import { parseJson } from '../../src/json.js'

const good = {
  channel_names: { '0': 'MRI' },
  labels: { background: 0, a: 1, b: 2 },
  numTraining: 3,
  file_ending: '.nii.gz',
}
const parse = (changes: object) => parseDatasetJson({ ...good, ...changes }, 'dataset.json')

test('plain labels', () => {
  const found = parse({})
  expect(found).toMatchObject({
    channels: ['MRI'],
    allLabels: [0, 1, 2],
    foregroundLabels: [1, 2],
    targets: [
      { name: 'a', value: 1, labels: [1], key: '1' },
      { name: 'b', value: 2, labels: [2], key: '2' },
    ],
    hasRegions: false,
    ignoreLabel: undefined,
    numTraining: 3,
    fileEnding: '.nii.gz',
  })
})

test('channels and labels keep the order of the file, even where the names look like numbers', () => {
  const text =
    '{"modality": {"1": "T2", "0": "T1"}, "labels": {"background": 0, "2": 2, "1": 1}, "numTraining": 1, "file_ending": ".nii"}'
  const found = parseDatasetJson(parseJson(text, 'x'), 'x')
  expect(found.channels).toEqual(['T2', 'T1'])
  expect(found.labels.map((label) => label.name)).toEqual(['background', '2', '1'])
})

test('regions and the ignore label', () => {
  const labels = { background: 0, whole: [1, 2], core: 2, rest: [1], ignore: 3 }
  const found = parse({ labels, regions_class_order: [1, 2, 1] })
  expect(found).toMatchObject({
    hasRegions: true,
    ignoreLabel: 3,
    allLabels: [0, 1, 2],
    targets: [
      { name: 'whole', value: [1, 2], labels: [1, 2], key: '(1, 2)' },
      { name: 'core', value: 2, labels: [2], key: '2' },
      { name: 'rest', value: [1], labels: [1], key: '(1,)' },
    ],
    regionsClassOrder: [1, 2, 1],
  })
})

test('the reader "None" counts as absent', () => {
  expect(parse({ overwrite_image_reader_writer: 'None' }).overwriteImageReaderWriter).toBeUndefined()
})

describe('faults', () => {
  test.each([
    [{ labels: { a: 1 } }, /"labels.background" must be 0, found nothing/],
    [{ labels: { background: 0, a: 2 } }, /consecutive \(0, 1\), found 0, 2/],
    [{ labels: { background: 0, a: 1, ignore: 4 } }, /"labels.ignore" must be 2.*found 4/],
    [
      { labels: { background: 0, a: [1, 2], b: 2 } },
      /"regions_class_order" must list one label per region \(2\), found nothing/,
    ],
    [{ labels: { background: 0, a: 1.5 } }, /"labels.a"/],
    [{ channel_names: undefined }, /"channel_names" is missing/],
    [{ numTraining: '3' }, /"numTraining"/],
    [{ file_ending: 'nii.gz' }, /must be a dot and letters/],
    [{ labels: { background: 0 } }, /at least one label besides background/],
  ])('%j', (changes, message) => {
    expect(() => parse(changes)).toThrow(message)
  })

  test('all are named at once', () => {
    const message = /"numTraining"[\s\S]*"file_ending"/
    expect(() => parse({ numTraining: 0, file_ending: '' })).toThrow(message)
    expect(() => parseDatasetJson([], 'x')).toThrow(/x is not a valid dataset.json/)
  })
})
