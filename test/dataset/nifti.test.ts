// Reads and writes NIfTI as SimpleITK and nibabel do (test/goldens/make_nifti.py), and refuses damaged files.
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Geometry, readCaseImages, readSegmentation, writeSegmentation } from '../../src/dataset/image.js'
import { decodeNifti, encodeNifti, type NiftiHeader, scaledVoxels } from '../../src/dataset/nifti.js'
import { parseJson } from '../../src/json.js'

const goldens = process.env.VOXGRAD_PEER_NIFTI ?? path.join(import.meta.dirname, '../goldens/nifti')
const temporary = mkdtempSync(path.join(tmpdir(), 'voxgrad-nifti-'))

interface Golden {
  shape: number[]
  values: number[]
  spacing: number[]
  origin: number[]
  direction: number[]
  zooms: number[]
  affine: number[][]
  rewritten: string | null
  refused?: string
}
const expected = parseJson(readFileSync(path.join(goldens, 'expected.json'), 'utf8'), 'expected.json') as Record<
  string,
  { sitk: Golden; nibabel: Golden }
>

function close(found: ArrayLike<number>, reference: ArrayLike<number>, tolerance: number): void {
  expect(found.length).toBe(reference.length)
  for (let i = 0; i < reference.length; i++) {
    const difference = Math.abs((found[i] as number) - (reference[i] as number))
    if (!(difference <= tolerance * Math.max(1, Math.abs(reference[i] as number)))) {
      expect.fail(
        `entry ${i}: found ${found[i]}, expected ${reference[i]}; all: ${Array.from(found)} and ${Array.from(reference)}`,
      )
    }
  }
}

/** The header fields that a library's writer gave, and those of our file for the same grid. */
async function compareWriter(golden: string, geometry: Geometry, shape: [number, number, number], ending: string) {
  const size = shape[0] * shape[1] * shape[2]
  const file = path.join(temporary, `written${ending}`)
  await writeSegmentation(file, new Uint8Array(size), shape, { geometry, spacing: [1, 1, 1] })
  const content = readFileSync(file)
  const ours = (await decodeNifti(content, file)).header
  const theirs = (await decodeNifti(Buffer.concat([Buffer.from(golden, 'base64'), Buffer.alloc(4 + size)]), 'golden'))
    .header
  expect(ours.extents).toEqual(theirs.extents)
  expect([ours.datatype, ours.qformCode, ours.sformCode, ours.units, ours.intentCode]).toEqual([
    theirs.datatype,
    theirs.qformCode,
    theirs.sformCode,
    theirs.units,
    theirs.intentCode,
  ])
  close(ours.pixdim, theirs.pixdim, 2e-6)
  close(ours.qformOffset, theirs.qformOffset, 2e-6)
  close(ours.sform.flat(), theirs.sform.flat(), 5e-5)
  // b, c, d and -b, -c, -d turn alike where the real part is 0.
  const turned = ours.quaternion.some((value, i) => Math.abs(value - (theirs.quaternion[i] ?? 0)) > 1e-4) ? -1 : 1
  close(
    ours.quaternion.map((value) => turned * value),
    theirs.quaternion,
    1e-4,
  )
}

describe('reads and writes what the libraries do', () => {
  for (const [name, golden] of Object.entries(expected)) {
    const packed = path.join(goldens, 'files', `${name}.nii.gz`)

    test(`SimpleITK: ${name}`, async ({ skip }) => {
      const refused = golden.sitk.refused
      if (refused?.includes('ImageIO reader')) skip('SimpleITK does not read NIfTI-2')
      if (refused !== undefined) {
        await expect(readCaseImages([packed], name)).rejects.toThrow('orthogonal')
        return
      }
      const found = await readCaseImages([packed], name)
      const { sitk_stuff: itk } = found.geometry as { sitk_stuff: Golden }
      close(itk.spacing, golden.sitk.spacing, 1e-6)
      close(itk.origin, golden.sitk.origin, 2e-6)
      // Where sform and qform differ in the fifth decimal alone, ITK may take the other one.
      close(itk.direction, golden.sitk.direction, 2e-5)
      close(found.image.data, golden.sitk.values, 1.2e-7)
      const [, ...shape] = found.image.shape
      expect(shape).toEqual([1, 1, 1, ...golden.sitk.shape.slice(-3)].slice(-3))
      if (golden.sitk.rewritten !== null) {
        await compareWriter(golden.sitk.rewritten, found.geometry, shape, '.nii.gz')
      }
    })

    test(`nibabel: ${name}`, async () => {
      const plain = path.join(temporary, `${name}.nii`)
      writeFileSync(plain, gunzipSync(readFileSync(packed)))
      const found = await readCaseImages([plain], name)
      const { nibabel_stuff: nibabel } = found.geometry as { nibabel_stuff: { original_affine: number[][] } }
      close(nibabel.original_affine.flat(), golden.nibabel.affine.flat(), 1e-6)
      close(found.image.data, golden.nibabel.values, 1.2e-7)
      if (golden.nibabel.rewritten === null) return
      close(found.spacing, golden.nibabel.zooms.slice(0, 3).reverse(), 0)
      const [, ...shape] = found.image.shape
      await compareWriter(golden.nibabel.rewritten, found.geometry, shape, '.nii')
    })
  }
})

const header: Omit<NiftiHeader, 'version' | 'datatype'> = {
  extents: [3, 2, 2],
  intentCode: 0,
  pixdim: [1, 0.5, 0.75, 2, 0, 0, 0, 0],
  slope: 1,
  intercept: 0,
  units: 10,
  qformCode: 1,
  quaternion: [0, 0, 0],
  qformOffset: [1, 2, 3],
  sformCode: 0,
  sform: [
    [0, 0, 0, 0],
    [0, 0, 0, 0],
    [0, 0, 0, 0],
  ],
}

describe('round trips', () => {
  const typed = fc.oneof(
    fc.array(fc.integer({ min: 0, max: 255 }), { minLength: 12, maxLength: 12 }).map((list) => Uint8Array.from(list)),
    fc
      .array(fc.integer({ min: 0, max: 65535 }), { minLength: 12, maxLength: 12 })
      .map((list) => Uint16Array.from(list)),
    fc
      .array(fc.integer({ min: -32768, max: 32767 }), { minLength: 12, maxLength: 12 })
      .map((list) => Int16Array.from(list)),
    fc.array(fc.float({ noNaN: true }), { minLength: 12, maxLength: 12 }).map((list) => Float32Array.from(list)),
  )

  test('any voxels of any writable type come back, compressed or not, whatever follows them', async () => {
    await fc.assert(
      fc.asyncProperty(typed, fc.boolean(), fc.uint8Array({ maxLength: 40 }), async (voxels, compressed, trailing) => {
        const bytes = Buffer.concat([encodeNifti(header, voxels), trailing])
        const found = await decodeNifti(compressed ? gzipSync(bytes) : bytes, 'test')
        expect(found.voxels).toEqual(voxels)
        expect(found.header.extents).toEqual(header.extents)
      }),
      { numRuns: 100 },
    )
  })

  test('a slope of 0 means that values are stored as they are', async () => {
    const bytes = Buffer.from(encodeNifti({ ...header, slope: 0, intercept: 7 }, new Uint8Array(12).fill(5)))
    expect([...scaledVoxels(await decodeNifti(bytes, 'test'))]).toEqual(Array(12).fill(5))
  })

  test('a segmentation keeps labels and geometry, in uint8 wherever it suffices', async () => {
    const file = path.join(temporary, 'labels.nii.gz')
    const geometry = {
      sitk_stuff: { spacing: [0.5, 0.75, 2], origin: [-3, 4.5, 10], direction: [0, 1, 0, -1, 0, 0, 0, 0, 1] },
    }
    const labels = Uint16Array.from({ length: 12 }, (_, i) => i % 3)
    await writeSegmentation(file, labels, [2, 2, 3], { geometry, spacing: [1, 1, 1] })
    const found = await readSegmentation(file)
    expect([...found.labels]).toEqual([...labels])
    expect(found.shape).toEqual([2, 2, 3])
    const { sitk_stuff: itk } = found.geometry as typeof geometry
    close(itk.spacing, geometry.sitk_stuff.spacing, 0)
    close(itk.origin, geometry.sitk_stuff.origin, 0)
    close(itk.direction, geometry.sitk_stuff.direction, 1e-7)
    expect((await decodeNifti(readFileSync(file), file)).header.datatype).toBe(2)
    await writeSegmentation(file, labels.fill(300), [2, 2, 3], { geometry, spacing: [1, 1, 1] })
    expect([...(await readSegmentation(file)).labels]).toEqual(Array(12).fill(300))
    expect(readdirSync(temporary).filter((name) => name.endsWith('.tmp'))).toEqual([])
  })
})

describe('damaged and foreign files', () => {
  const good = encodeNifti(header, new Uint8Array(12))
  const changed = (edit: (bytes: Buffer) => void) => {
    const bytes = Buffer.from(good)
    edit(bytes)
    return bytes
  }
  const packed = gzipSync(good)
  const faults: [string, Uint8Array, RegExp][] = [
    ['empty', new Uint8Array(0), /only 0 bytes/],
    ['text', Buffer.from('a'.repeat(1000)), /NIfTI-1 or NIfTI-2/],
    ['truncated', good.subarray(0, 360), /364 bytes.*truncated/],
    ['truncated gzip', packed.subarray(0, packed.length - 12), /truncated or corrupt/],
    ['corrupt gzip', Buffer.from(packed).fill(0x55, 30, 50), /truncated or corrupt|expected/],
    ['wrong checksum', Buffer.from(packed).fill(0, packed.length - 8, packed.length - 4), /truncated or corrupt/],
    ['header of a pair', changed((bytes) => bytes.write('ni1', 344)), /\.hdr\/\.img/],
    ['no dimension', changed((bytes) => bytes.writeInt16LE(0, 40)), /1 to 7 dimensions/],
    ['200 dimensions', changed((bytes) => bytes.writeInt16LE(200, 40)), /1 to 7 dimensions/],
    ['negative extent', changed((bytes) => bytes.writeInt16LE(-3, 42)), /at least 1/],
    ['huge extents', changed((bytes) => [42, 44, 46].map((at) => bytes.writeInt16LE(32000, at))), /damaged/],
    ['complex voxels', changed((bytes) => bytes.writeInt16LE(32, 70)), /complex64/],
    ['RGB voxels', changed((bytes) => bytes.writeInt16LE(128, 70)), /RGB24/],
    ['infinite offset', changed((bytes) => bytes.writeFloatLE(Number.POSITIVE_INFINITY, 108)), /vox_offset/],
    ['negative offset', changed((bytes) => bytes.writeFloatLE(-8, 108)), /vox_offset/],
  ]
  test.each(faults)('%s', async (_, bytes, message) => {
    await expect(decodeNifti(bytes, 'case.nii.gz')).rejects.toThrow(message)
    await expect(decodeNifti(bytes, 'case.nii.gz')).rejects.toMatchObject({
      code: 'ERR_IMAGE',
      message: /^case.nii.gz: /,
    })
  })

  test('any damaged byte gives voxels or one clear error, never a crash', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.nat(363), fc.nat(255)), { minLength: 1, maxLength: 5 }), async (edits) => {
        const bytes = changed((copy) => {
          for (const [at, value] of edits) copy[at] = value
        })
        await decodeNifti(bytes, 'x').catch((error) => expect(error).toMatchObject({ code: 'ERR_IMAGE' }))
      }),
      { numRuns: 300 },
    )
  })
})
