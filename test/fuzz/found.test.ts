// What damaged files did to the readers before they were refused: each once, in a few bytes.
import { expect, test } from 'vitest'
import { parseConfigFile } from '../../src/cli/options.js'
import { decodeMetaImage } from '../../src/dataset/metaimage.js'
import { decodeNrrd } from '../../src/dataset/nrrd.js'
import { parseSplits } from '../../src/dataset/splits.js'
import { decodeTiff, encodeTiff } from '../../src/dataset/tiff.js'
import { parseJson } from '../../src/json.js'
import { checkPlans } from '../../src/plan/plans.js'
import { failureOf } from '../io/support.js'

const tiff = () => Buffer.from(encodeTiff(Uint8Array.from([1, 2, 3, 4]), [2, 2], 'a.tif', { compressed: false }))

/** Where the entry of a tag begins in the only directory of encodeTiff's file. */
function entryOf(bytes: Buffer, tag: number): number {
  let at = bytes.readUInt32LE(4) + 2
  while (bytes.readUInt16LE(at) !== tag) at += 12
  return at
}

test('TIFF pages that follow each other in a circle, which geotiff counts without end', async () => {
  const bytes = tiff()
  const directory = bytes.readUInt32LE(4)
  bytes.writeUInt32LE(directory, directory + 2 + 12 * bytes.readUInt16LE(directory))
  expect((await failureOf(() => decodeTiff(bytes, 'a.tif'))).message).toMatch(/in a circle/)
})

test('a TIFF value of billions of numbers, for which memory was taken', async () => {
  const bytes = tiff()
  bytes.writeUInt32LE(0xfffffff0, entryOf(bytes, 273) + 4)
  expect((await failureOf(() => decodeTiff(bytes, 'a.tif'))).message).toMatch(/tag 273 reaches beyond its end/)
})

test('TIFF strips of so small a fraction of a row that they never make up a page', async () => {
  const bytes = tiff()
  const entry = entryOf(bytes, 278)
  const small = Buffer.alloc(8)
  small.writeDoubleLE(1e-300)
  bytes.writeUInt16LE(12, entry + 2)
  bytes.writeUInt32LE(bytes.length, entry + 8)
  const failure = await failureOf(() => decodeTiff(Buffer.concat([bytes, small]), 'a.tif'))
  expect(failure.message).toMatch(/pages with pixels/)
})

test('TIFF strips that are not there, or that all share the same data, which geotiff decodes at once', async () => {
  const bytes = Buffer.from(encodeTiff(Uint8Array.from([1, 2, 3, 4]), [2, 2], 'a.tif', { compressed: true }))
  bytes.writeUInt32LE(1, entryOf(bytes, 278) + 8)
  const missing = Buffer.from(bytes)
  missing.writeUInt32LE(9000, entryOf(bytes, 257) + 8)
  expect((await failureOf(() => decodeTiff(missing, 'a.tif'))).message).toMatch(/9000 strips or tiles, found 1/)
  for (const tag of [273, 279]) {
    const entry = entryOf(bytes, tag)
    const value = tag === 273 ? bytes.readUInt32LE(entry + 8) : bytes.length
    bytes.writeUInt16LE(3, entry + 2)
    bytes.writeUInt32LE(2, entry + 4)
    bytes.writeUInt16LE(value, entry + 8)
    bytes.writeUInt16LE(value, entry + 10)
  }
  expect((await failureOf(() => decodeTiff(bytes, 'a.tif'))).message).toMatch(/do not overlap/)
})

test('element types with the names of what every object has', async () => {
  const nrrd = Buffer.from('NRRD0004\ntype: constructor\ndimension: 2\nsizes: 1 1\n\n1234')
  expect((await failureOf(() => decodeNrrd(nrrd, 'a.nrrd'))).message).toMatch(/a type of one number/)
  const space = Buffer.from(
    'NRRD0004\ntype: uchar\ndimension: 2\nspace: constructor\nsizes: 1 1\nspace directions: (1,0) (0,1)\n\n1',
  )
  expect((await decodeNrrd(space, 'a.nrrd')).values).toEqual(Float32Array.of(49))
  const metaImage = Buffer.from('NDims = 2\nDimSize = 1 1\nElementType = constructor\nElementDataFile = LOCAL\n1234')
  expect((await failureOf(() => decodeMetaImage(metaImage, 'a.mha'))).message).toMatch(/ElementType of one number/)
})

test('JSON that is nested too deeply, or has a key that changes what every object has', async () => {
  const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`
  expect((await failureOf(() => parseJson(deep, 'a.json'))).message).toMatch(/nested deeper than 100/)
  const key = '{"labels": {"__proto__": {"background": 0}}}'
  expect((await failureOf(() => parseJson(key, 'a.json'))).message).toMatch(/the key "__proto__"/)
  expect(parseJson(`"${'x'.repeat(10_000_000)}"`, 'a.json')).toHaveLength(10_000_000)
  const escaped = `"${'\\n'.repeat(10_000_000)}"`
  expect((await failureOf(() => parseJson(escaped, 'a.json'))).message).toMatch(/millions of escaped characters/)
})

test('YAML that is nested too deeply, has lists for keys, aliases, or is no file of options at all', async () => {
  const cases: [string, RegExp][] = [
    [`a: ${'['.repeat(20_000)}`, /nested too deeply/],
    ['? [1, 2]\n: 3', /names of options as keys/],
    ['? !!binary aGVsbG8=\n: 3', /names of options as keys/],
    ['__proto__: { seed: 1 }', /names of options as keys/],
    ['a: &a [1, 1]\nb: &b [*a, *a]\nc: [*b, *b]', /aliases/],
    [`a: "${'x'.repeat(200_000)}"`, /found 200005 characters/],
  ]
  for (const [text, reason] of cases) {
    expect((await failureOf(() => parseConfigFile(text, 'a.yaml'))).message).toMatch(reason)
  }
})

test('names in plans, splits and MetaImage headers that lead to another folder', async () => {
  const plans = {
    dataset_name: 'Dataset001_A',
    plans_name: 'nnUNetPlans',
    image_reader_writer: 'SimpleITKIO',
    transpose_forward: [0, 1, 2],
    transpose_backward: [0, 1, 2],
    configurations: { '2d': { data_identifier: 'nnUNetPlans_2d' } },
  }
  expect(checkPlans(structuredClone(plans), 'plans.json')).toMatchObject(plans)
  for (const faulty of [
    { ...plans, plans_name: '../x' },
    { ...plans, dataset_name: '/x' },
    { ...plans, configurations: { '../x': {} } },
    { ...plans, configurations: { '2d': { data_identifier: 'a/../../x' } } },
    { ...plans, configurations: { '2d': { next_stage: ['a', '..'] } } },
  ]) {
    expect(() => checkPlans(faulty, 'plans.json')).toThrow(/name of a file or folder/)
  }
  expect(() => parseSplits([{ train: ['../a'], val: [] }], 'splits.json')).toThrow(/file name/)
  for (const name of ['../a.raw', '/etc/hostname', 'a/b.raw']) {
    const bytes = Buffer.from(`NDims = 2\nDimSize = 1 1\nElementType = MET_UCHAR\nElementDataFile = ${name}\n`)
    expect((await failureOf(() => decodeMetaImage(bytes, 'a.mhd'))).message).toMatch(/one file name/)
  }
})
