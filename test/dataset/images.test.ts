// Reads and writes PNG, BMP, TIFF, MetaImage and NRRD as nnU-Net's readers do (test/goldens/make_images.py), and refuses
// damaged files.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import { type Geometry, readCaseImages, readSegmentation, writeSegmentation } from '../../src/dataset/image.js'
import type { ReaderName } from '../../src/dataset/readers.js'
import { parseJson } from '../../src/json.js'

const goldens = path.join(
  process.env.VOXGRAD_PEER_IMAGES ?? path.join(import.meta.dirname, '../goldens'),
  'images.json',
)
const temporary = mkdtempSync(path.join(tmpdir(), 'voxgrad-images-'))
afterAll(() => rmSync(temporary, { recursive: true }))

type Itk = NonNullable<Geometry['sitk_stuff']>

interface Read {
  refused?: true
  shape: number[]
  values: string
  properties: { spacing: number[]; sitk_stuff?: Itk }
  written?: string
}
type Golden = { bytes: string } & Partial<Record<ReaderName, Read>>
const expected = parseJson(readFileSync(goldens, 'utf8'), 'images.json') as Record<string, Golden>

/** What nnU-Net takes for something else than it is, or what is too rare: refused with a way out. */
const refusedOnPurpose: Record<string, RegExp> = {
  'color4_8.png': /gray, RGB or RGBA/,
  'rgb16.bmp': /convert it to PNG/,
  'three_channels.mha': /one number per voxel/,
  'vector.nrrd': /one number per voxel/,
  'list.nrrd': /one number per voxel/,
  'list_last.nrrd': /one number per voxel/,
  'hex.nrrd': /raw, gzip or ascii/,
}

const items = Object.entries(expected).flatMap(([file, { bytes, ...readers }]) =>
  Object.entries(readers).map(([reader, read]) => ({ file, reader: reader as ReaderName, read, bytes })),
)

function floats(base64: string): number[] {
  const bytes = Uint8Array.from(Buffer.from(base64, 'base64'))
  return Array.from(new Float32Array(bytes.buffer))
}

/** Equal but for the last digits, which products and quotients of a header's numbers may lose; -0 is 0. */
function close(found: number[], reference: number[]): void {
  expect(found.length).toBe(reference.length)
  for (const [i, value] of found.entries()) expect(value).toBeCloseTo(reference[i] as number, 10)
}

function closeGeometry(
  { sitk_stuff: found }: Geometry,
  { sitk_stuff: reference }: { sitk_stuff?: Itk | undefined },
): void {
  expect(Object.keys(found ?? {}).sort()).toEqual(Object.keys(reference ?? {}).sort())
  for (const key of ['spacing', 'origin', 'direction'] as const) close(found?.[key] ?? [], reference?.[key] ?? [])
}

function place(file: string, bytes: string, reader: string): string {
  const folder = path.join(temporary, reader)
  mkdirSync(folder, { recursive: true })
  const full = path.join(folder, file.replace('.', '_0000.'))
  writeFileSync(full, Buffer.from(bytes, 'base64'))
  return full
}

/** Refused by nnU-Net for a fault of its library. */
const readNonetheless = ['palette4_ramp.bmp']

const isRefused = ({ file, read }: (typeof items)[number]) => read.refused || file in refusedOnPurpose

test.each(items.filter((item) => !isRefused(item)))('$reader reads $file', async ({ file, reader, read, bytes }) => {
  const full = place(file, bytes, reader)
  const { image, spacing, geometry } = await readCaseImages([full], file, { reader })
  expect(image.shape).toEqual(read.shape)
  expect(Array.from(image.data)).toEqual(floats(read.values))
  close(spacing, read.properties.spacing)
  closeGeometry(geometry, { sitk_stuff: read.properties.sitk_stuff })
})

test.each(items.filter((item) => item.read.written !== undefined && !isRefused(item)))(
  '$reader writes labels like $file, read as those of nnU-Net',
  async ({ file, reader, read, bytes }) => {
    const { image, spacing, geometry } = await readCaseImages([place(file, bytes, reader)], file, { reader })
    const [, ...shape] = image.shape
    const size = shape[0] * shape[1] * shape[2]
    const [ours, theirs] = ['ours', 'theirs'].map((name) => path.join(temporary, `${name}_${file}`)) as [string, string]
    const labels = Uint16Array.from({ length: size }, (_, i) => i % 3)
    await writeSegmentation(ours, labels, shape, { geometry, spacing }, reader)
    writeFileSync(theirs, Buffer.from(read.written ?? '', 'base64'))
    const found = await readSegmentation(ours, { reader })
    const reference = await readSegmentation(theirs, { reader })
    expect(found.labels).toEqual(Float32Array.from(labels))
    expect(reference.labels).toEqual(found.labels)
    expect(found.shape).toEqual(reference.shape)
    close(found.spacing, reference.spacing)
    closeGeometry(found.geometry, reference.geometry)
    const large = writeSegmentation(ours, labels.fill(300), shape, { geometry, spacing }, reader)
    if (file.endsWith('.bmp')) return expect(large).rejects.toThrow(/labels below 255 for BMP/)
    await large
    expect((await readSegmentation(ours, { reader })).labels).toEqual(new Float32Array(size).fill(300))
  },
)

test.each(items.filter((item) => isRefused(item) && !readNonetheless.includes(item.file)))(
  '$reader refuses $file',
  async ({ file, reader, bytes }) => {
    const full = place(file, bytes, reader)
    const attempt = readCaseImages([full], file, { reader })
    await expect(attempt).rejects.toThrow(refusedOnPurpose[file] ?? /expected .*found /)
    await expect(attempt).rejects.toMatchObject({ code: 'ERR_IMAGE', message: expect.stringContaining(full) })
  },
)

test('a TIFF volume keeps its spacing in CASE.json', async () => {
  const file = path.join(temporary, 'case_0000.tiff')
  const grid = { geometry: {}, spacing: [2.5, 0.5, 0.75] }
  const labels = Uint8Array.from({ length: 24 }, (_, i) => i)
  await writeSegmentation(path.join(temporary, 'case.tiff'), labels, [2, 3, 4], grid)
  writeFileSync(file, readFileSync(path.join(temporary, 'case.tiff')))
  expect(JSON.parse(readFileSync(path.join(temporary, 'case.json'), 'utf8'))).toEqual({ spacing: grid.spacing })
  for (const found of [
    await readSegmentation(path.join(temporary, 'case.tiff')),
    await readCaseImages([file], 'case'),
  ]) {
    expect(found.spacing).toEqual(grid.spacing)
  }
  writeFileSync(path.join(temporary, 'case.json'), '{"spacing": [1, 0, 2]}')
  await expect(readCaseImages([file], 'case')).rejects.toThrow(/case.json: expected .*three positive numbers/)
})

test('a header of .mhd has its data beside it', async () => {
  const file = path.join(temporary, 'beside.mhd')
  const geometry: Geometry = {
    sitk_stuff: { spacing: [1, 2, 3], origin: [4, 5, 6], direction: [0, 1, 0, 1, 0, 0, 0, 0, -1] },
  }
  const labels = Uint8Array.from({ length: 24 }, (_, i) => i)
  await writeSegmentation(file, labels, [2, 3, 4], { geometry, spacing: [3, 2, 1] }, 'SimpleITKIO')
  expect(readdirSync(temporary)).toContain('beside.zraw')
  const found = await readSegmentation(file, { reader: 'SimpleITKIO' })
  expect(found).toEqual({ labels: Float32Array.from(labels), shape: [2, 3, 4], spacing: [3, 2, 1], geometry })
  rmSync(path.join(temporary, 'beside.zraw'))
  await expect(readSegmentation(file, { reader: 'SimpleITKIO' })).rejects.toThrow(/beside.zraw/)
})

test('a reader refuses file types that are not its own', async () => {
  await expect(readCaseImages(['a_0000.png'], 'a', { reader: 'SimpleITKIO' })).rejects.toThrow(
    /a file type that SimpleITKIO reads/,
  )
  await expect(readCaseImages(['a_0000.mha'], 'a', { reader: 'NaturalImage2DIO' })).rejects.toThrow(/NaturalImage2DIO/)
})

test('any damaged byte gives voxels or one clear error, never a crash', { timeout: 120_000 }, async () => {
  const samples = [
    'gray8.png',
    'palette4.png',
    'palette8_color.bmp',
    'rgba32.bmp',
    'u2_little_3d.tif',
    'deflate_big_3d.tif',
    'compressed_3d.mha',
    'gzip.nrrd',
    'i2_little.nrrd',
  ]
  const damaged = fc.record({
    file: fc.constantFrom(...samples),
    edits: fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { minLength: 1, maxLength: 4 }),
  })
  await fc.assert(
    fc.asyncProperty(damaged, async ({ file, edits }) => {
      const bytes = Buffer.from(expected[file]?.bytes ?? '', 'base64')
      for (const [at, value] of edits) bytes[at % bytes.length] = value
      const full = path.join(temporary, file)
      writeFileSync(full, bytes)
      await readCaseImages([full], file).catch((error) => expect(error).toMatchObject({ code: 'ERR_IMAGE' }))
    }),
    { numRuns: 300 },
  )
})
