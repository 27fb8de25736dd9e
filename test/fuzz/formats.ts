// Every format that is read in TypeScript, with small valid files of it.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { zipSync } from 'fflate'
import { parseConfigFile } from '../../src/cli/options.js'
import { parseDatasetJson } from '../../src/dataset/dataset-json.js'
import { decodeMetaImage } from '../../src/dataset/metaimage.js'
import { decodeNaturalImage } from '../../src/dataset/natural-image.js'
import { decodeNifti, encodeNifti, type NiftiHeader } from '../../src/dataset/nifti.js'
import { imageOfNifti } from '../../src/dataset/nifti-image.js'
import { decodeNrrd } from '../../src/dataset/nrrd.js'
import { parseSplits } from '../../src/dataset/splits.js'
import { parseJson } from '../../src/json.js'
import { decodeNpz } from '../../src/npz.js'
import { checkPlans } from '../../src/plan/plans.js'
import type { Format } from './fuzz.js'

const goldens = path.join(import.meta.dirname, '../goldens')
const images = JSON.parse(readFileSync(path.join(goldens, 'images.json'), 'utf8')) as Record<string, { bytes: string }>
const mostBytes = 1500

/** The small ones of the images that nnU-Net's readers were asked about. */
const imagesOf = (ending: RegExp): Uint8Array[] =>
  Object.entries(images)
    .filter(([name]) => ending.test(name))
    .map(([, { bytes }]) => Buffer.from(bytes, 'base64'))
    .filter((bytes) => bytes.length <= mostBytes)

const grid: Omit<NiftiHeader, 'version' | 'datatype'> = {
  extents: [3, 4, 2],
  intentCode: 0,
  pixdim: [1, 1.5, 1, 2, 0, 0, 0, 0],
  slope: 2,
  intercept: 1,
  units: 2,
  qformCode: 1,
  quaternion: [0, 0, 0],
  qformOffset: [1, 2, 3],
  sformCode: 1,
  sform: [
    [1.5, 0, 0, 1],
    [0, 1, 0, 2],
    [0, 0, 2, 3],
  ],
}
const nifti = encodeNifti(
  grid,
  Int16Array.from({ length: 24 }, (_, i) => i),
)
const nifti2D = encodeNifti({ ...grid, extents: [3, 2], qformCode: 0 }, new Float32Array(6))
const niftis = [nifti, nifti2D, encodeNifti({ ...grid, sformCode: 0, extents: [2, 2, 1, 1, 3] }, new Uint8Array(12))]

const json = (value: unknown) => Buffer.from(JSON.stringify(value))
const text = (lines: string) => Buffer.from(lines)
const jsonWords = ['{', '}', '[', ']', '":', ',', '\\u', '"', 'NaN', '-Infinity', 'null', 'true', '\ufeff']
/** A reader of parsed JSON. */
const ofJson = (check: (content: unknown, file: string) => unknown) => (bytes: Buffer) =>
  check(parseJson(bytes.toString('utf8'), 'input.json'), 'input.json')

const dataset = {
  channel_names: { 0: 'CT', 1: 'MRI' },
  labels: { background: 0, kidney: [1, 2], tumor: 2, ignore: 3 },
  regions_class_order: [1, 2],
  numTraining: 2,
  file_ending: '.nii.gz',
  overwrite_image_reader_writer: 'SimpleITKIO',
  dataset: { a: { images: ['./imagesTr/a.nii.gz'], label: './labelsTr/a.nii.gz' } },
}
const plans = {
  dataset_name: 'Dataset001_A',
  plans_name: 'nnUNetPlans',
  image_reader_writer: 'SimpleITKIO',
  transpose_forward: [0, 1, 2],
  transpose_backward: [0, 1, 2],
  configurations: {
    '2d': { batch_size: 2, patch_size: [8, 8] },
    child: { inherits_from: '2d', patch_size: [16, 16] },
  },
}

/** A file with an array of 60 numbers and another one. */
function npz(options: { level: 0 | 6 }): Uint8Array {
  const header = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4, 5), }".padEnd(117)
  const magic = Buffer.from('\x93NUMPY\x01\x00\x76\x00', 'latin1')
  const image = Buffer.concat([magic, Buffer.from(`${header}\n`), Buffer.alloc(240, 1)])
  return zipSync({ 'other.npy': image, 'image.npy': image }, options)
}

export const formats: Format[] = [
  {
    name: 'nifti',
    seeds: [...niftis, ...niftis.map((bytes) => gzipSync(bytes))],
    words: ['n+1\0', 'n+2\0', 'ni1\0', '\x1f\x8b\x08'],
    read: async (bytes) => {
      const decoded = await decodeNifti(bytes, 'input.nii')
      imageOfNifti(decoded, 'input.nii', 'NibabelIO')
      imageOfNifti(decoded, 'input.nii', 'SimpleITKIO')
    },
  },
  {
    name: 'nrrd',
    seeds: imagesOf(/\.nrrd$/),
    words: [
      'NRRD0004\n',
      'sizes: ',
      'encoding: ascii\n',
      'encoding: gzip\n',
      'endian: big\n',
      'space directions: (',
      'none',
    ],
    read: (bytes) => decodeNrrd(bytes, 'input.nrrd'),
  },
  {
    name: 'metaimage',
    seeds: imagesOf(/\.mha$/),
    words: [
      'DimSize = ',
      'CompressedData = True\n',
      'ElementDataFile = LOCAL\n',
      'NDims = 4\n',
      'MET_DOUBLE',
      '\n',
      ' ',
    ],
    read: (bytes) => decodeMetaImage(bytes, '/nonexistent/input.mha'),
  },
  {
    name: 'tiff',
    seeds: imagesOf(/\.tiff?$/),
    words: ['II*\0', 'MM\0*', '{"shape": [2, 3, 4]}', 'ImageJ=1\nimages=9\nslices=9\n', '\x00\x01', '\x50\xc3'],
    read: (bytes) => decodeNaturalImage(bytes, 'input.tif'),
  },
  {
    name: 'png',
    seeds: imagesOf(/\.png$/),
    words: ['IHDR', 'IDAT', 'PLTE', 'tRNS', 'IEND', 'acTL', 'iCCP', 'tEXt', '\x89PNG'],
    read: (bytes) => decodeNaturalImage(bytes, 'input.png'),
  },
  {
    name: 'bmp',
    seeds: imagesOf(/\.bmp$/),
    words: ['BM', '\x28\0\0\0', '\x6c\0\0\0', '\x7c\0\0\0', '\x03\0\0\0', '\x20\0', '\x01\0', '\x04\0'],
    read: (bytes) => decodeNaturalImage(bytes, 'input.bmp'),
  },
  {
    name: 'npz',
    seeds: [npz({ level: 0 }), npz({ level: 6 })],
    words: ['PK\x01\x02', 'PK\x03\x04', 'PK\x05\x06', 'PK\x06\x06', "'<f2'", "'shape': (", 'image.npy', '../'],
    read: (bytes) => decodeNpz(bytes, 'input.npz', 'image', 'ERR_DATASET'),
  },
  {
    name: 'json',
    seeds: [json({ a: [1, -2.5e3, null, true, 'x\u00e9"'], 2: { b: {} }, 1: [[[]]] }), text('[NaN, -Infinity, "NaN"]')],
    words: jsonWords,
    read: ofJson((content) => content),
  },
  {
    name: 'dataset.json',
    seeds: [json(dataset), json({ ...dataset, labels: { background: 0, a: 1 }, dataset: undefined })],
    words: [...jsonWords, '"ignore"', '"background"', '"dataset"', '"modality"', '"../', '[1, 2]'],
    read: ofJson(parseDatasetJson),
  },
  {
    name: 'plans',
    seeds: [json(plans)],
    words: [...jsonWords, '"inherits_from"', '"configurations"', '"child"', '"2d"'],
    read: ofJson(checkPlans),
  },
  {
    name: 'splits',
    seeds: [
      json([
        { train: ['a', 'b'], val: ['c'] },
        { train: ['c'], val: ['a', 'b'] },
      ]),
    ],
    words: [...jsonWords, '"train"', '"val"', '../'],
    read: ofJson(parseSplits),
  },
  {
    name: 'yaml',
    seeds: [
      text('budget: { epochs: 100, maxTime: 12h } # a note\ndevice: "cpu"\nseed: 0x1f\nfolders:\n  raw: ./a\n'),
      text('a:\n  - 1\n  - [2, ~]\n  - |\n    text\n  - >-\n    more\n? key\n: value\n'),
    ],
    words: [
      '&a ',
      '*a',
      '<<: ',
      '!!int ',
      '!!binary ',
      '---\n',
      '%YAML 1.1\n',
      '- ',
      ': ',
      '\n  ',
      '? ',
      '|',
      "'",
      '\t',
    ],
    read: (bytes) => parseConfigFile(bytes.toString('utf8'), 'input.yaml'),
  },
]
