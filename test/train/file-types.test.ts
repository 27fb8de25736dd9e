// From raw images that are not .nii.gz to a trained model and predictions in the same file type, in the same place in space.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { decode, encode } from 'fast-png'
import { afterAll, expect, test } from 'vitest'
import type { Geometry } from '../../src/dataset/file-image.js'
import { readSegmentation, writeSegmentation } from '../../src/dataset/image.js'
import { checkDataset } from '../../src/dataset/integrity.js'
import type { ReaderName } from '../../src/dataset/readers.js'
import { predict, train } from '../../src/train/jobs.js'

const root = mkdtempSync(path.join(tmpdir(), 'voxgrad-file-types-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
const cases = 5

/** A square of label 1 that wanders with the case. */
const labelAt = (index: number, width: number, shift: number) => {
  const [x, y] = [index % width, Math.floor(index / width) % width]
  return Math.abs(x - 10 - shift) < 6 && Math.abs(y - 12) < 5 ? 1 : 0
}

interface Kind {
  ending: string
  reader: ReaderName
  configuration: string
  channels: string[]
  shape: [number, number, number]
  /** As the reader gives it: z, y, x. */
  spacing: [number, number, number]
  geometry: Geometry
}

/** Turned by the angle whose cosine is 0.8 about z, with y reversed and the origin elsewhere; 1 x 1 x 2 mm. */
const affine = [
  [0.8, 0.6, 0, 12.5],
  [0.6, -0.8, 0, -40],
  [0, 0, 2, 7.25],
  [0, 0, 0, 1],
]

const kinds: Kind[] = [
  {
    ending: '.png',
    reader: 'NaturalImage2DIO',
    configuration: '2d',
    channels: ['rgb_to_0_1', 'rescale_to_0_1', 'noNorm'],
    shape: [1, 26, 26],
    spacing: [999, 1, 1],
    geometry: {},
  },
  {
    ending: '.tif',
    reader: 'Tiff3DIO',
    configuration: '3d_fullres',
    channels: ['CT'],
    shape: [14, 24, 24],
    spacing: [2, 1, 1],
    geometry: {},
  },
  {
    ending: '.nii',
    reader: 'NibabelIO',
    configuration: '3d_fullres',
    channels: ['CT'],
    shape: [14, 24, 24],
    spacing: [2, 1, 1],
    geometry: { nibabel_stuff: { original_affine: affine } },
  },
]

async function writeRaw(folder: string, { ending, reader, channels, shape, spacing, geometry }: Kind): Promise<void> {
  for (const part of ['imagesTr', 'labelsTr']) mkdirSync(path.join(folder, part), { recursive: true })
  const size = shape[0] * shape[1] * shape[2]
  const grid = { geometry, spacing }
  for (let i = 0; i < cases; i += 1) {
    const labels = Uint8Array.from({ length: size }, (_, index) => labelAt(index, shape[2], i))
    const image = Uint8Array.from({ length: channels.length * size }, (_, index) => {
      const label = labels[Math.floor(index / channels.length)] as number
      return 60 + 90 * label + ((index * 37 + i) % 23)
    })
    const file = path.join(folder, `imagesTr/c${i}_0000${ending}`)
    if (reader === 'NaturalImage2DIO') {
      writeFileSync(file, encode({ width: shape[2], height: shape[1], data: image, channels: 3 }))
    } else {
      await writeSegmentation(file, image, shape, grid, reader)
    }
    if (reader === 'Tiff3DIO') {
      // Beside images the spacing file has the name of the case.
      renameSync(path.join(folder, `imagesTr/c${i}_0000.json`), path.join(folder, `imagesTr/c${i}.json`))
    }
    await writeSegmentation(path.join(folder, `labelsTr/c${i}${ending}`), labels, shape, grid, reader)
  }
  const description = {
    channel_names: Object.fromEntries(channels.map((name, index) => [index, name])),
    labels: { background: 0, square: 1 },
    numTraining: cases,
    file_ending: ending,
  }
  writeFileSync(path.join(folder, 'dataset.json'), JSON.stringify(description))
}

test.each(kinds)('$reader: raw $ending to predictions', { timeout: 300_000 }, async (kind) => {
  const { ending, reader, configuration, channels, shape, spacing, geometry } = kind
  const base = path.join(root, reader)
  const folders = { raw: `${base}/raw`, preprocessed: `${base}/preprocessed`, results: `${base}/results` }
  const raw = path.join(folders.raw, 'Dataset011_Squares')
  await writeRaw(raw, kind)
  expect(await checkDataset(raw)).toEqual([])

  const { folder } = await train({
    dataset: 11,
    configuration: configuration as '2d',
    fold: 0,
    plans: 'nnUNetPlansTiny',
    folders,
    threads: 1,
    seed: 3,
    budget: { epochs: 1, stepsPerEpoch: 2, valSteps: 1 },
    validation: { mirroring: false },
  }).finished
  // Every case is there as a picture, in color where the files are.
  const report = readFileSync(path.join(folder, 'report.html'), 'utf8')
  const pictures = [...report.matchAll(/data:image\/png;base64,([^"]+)/g)]
  expect(report).not.toContain('No picture')
  expect(pictures).toHaveLength(1)
  expect(decode(Buffer.from(pictures[0]?.[1] as string, 'base64'))).toMatchObject({
    width: shape[2],
    height: shape[1],
    channels: channels.length,
  })
  const output = path.join(base, 'predicted')
  await predict({ input: path.join(raw, 'imagesTr'), output, run: folder, mirroring: false, threads: 1 }).finished
  const written = readdirSync(output).filter((name) => name.endsWith(ending))
  expect(written).toEqual(Array.from({ length: cases }, (_, i) => `c${i}${ending}`))
  const validated = readdirSync(path.join(folder, 'validation')).filter((name) => name.endsWith(ending))
  expect(validated.length).toBeGreaterThan(0)
  for (const name of validated) {
    const [ours, theirs] = await Promise.all(
      [output, path.join(folder, 'validation')].map((place) => readSegmentation(path.join(place, name), { reader })),
    )
    expect(ours).toEqual(theirs)
    expect(ours?.shape).toEqual(shape)
    expect(ours?.spacing).toEqual(spacing)
    const found = ours?.geometry.nibabel_stuff?.original_affine.flat() ?? []
    const expected = geometry.nibabel_stuff?.original_affine.flat() ?? []
    expect(found).toHaveLength(expected.length)
    // NIfTI's header holds float32.
    for (const [i, value] of expected.entries()) expect(found[i]).toBeCloseTo(value, 5)
  }
})
