// Blosc2 arrays: nnU-Net's files read here, ours read by nnU-Net, and damaged ones.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import type { VoxgradError } from '../../src/errors.js'
import { native } from '../../src/native/load.js'
import { failureOf, golden, peerPython, runPython, temporaryFolder } from './support.js'

const folder = temporaryFolder()
const expected = JSON.parse(readFileSync(golden('expected.json'), 'utf8'))
const image = { data: Float32Array.from(expected.image as number[]), shape: [2, 5, 9, 12] }
const labels = { data: Int16Array.from(expected.labels as number[]), shape: [1, 5, 9, 12] }

test('reads what nnU-Net wrote', async () => {
  expect(await native().readBlosc2(golden('case.b2nd'))).toEqual(image)
  expect(await native().readBlosc2(golden('case_seg.b2nd'))).toEqual(labels)
})

test("reads Blosc2's default compression", async () => {
  const data = Uint8Array.from({ length: 60 }, (_, i) => i % 7)
  expect(await native().readBlosc2(golden('default.b2nd'))).toEqual({ data, shape: [3, 4, 5] })
})

test('chooses chunks and blocks as nnU-Net does', () => {
  for (const { shape, patch, bytes, chunks, blocks } of expected.layouts) {
    const [layout] = native().callOp('blosc2_layout', [shape, patch, bytes])
    expect(Array.from(layout?.data ?? [], Number), JSON.stringify({ shape, patch, bytes })).toEqual([
      ...chunks,
      ...blocks,
    ])
  }
})

describe('writing', () => {
  const write = (array: typeof image | typeof labels, name: string) => {
    const file = path.join(folder, name)
    return { file, copy: native().callOp('write_blosc2', [array, file, [4, 4, 4]])[0] }
  }

  test('comes back equal', () => {
    expect(write(image, 'image.b2nd').copy).toEqual(image)
    expect(write(labels, 'labels.b2nd').copy).toEqual(labels)
  })

  test("writes nnU-Net's bytes", () => {
    expect(readFileSync(write(image, 'case.b2nd').file).equals(readFileSync(golden('case.b2nd')))).toBe(true)
    expect(readFileSync(write(labels, 'case_seg.b2nd').file).equals(readFileSync(golden('case_seg.b2nd')))).toBe(true)
  })

  const python = peerPython()
  test.skipIf(python === undefined)('nnU-Net reads it', () => {
    write(image, 'case.b2nd')
    write(labels, 'case_seg.b2nd')
    native().callOp('rewrite_pickle', [golden('case_4.pkl'), path.join(folder, 'case.pkl')])
    const program = `
import sys, blosc2, numpy
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
image, labels, _, properties = nnUNetDatasetBlosc2(sys.argv[1], ['case']).load_case('case')
for ours, name in ((image, 'case'), (labels, 'case_seg')):
    theirs = blosc2.open(f'{sys.argv[2]}/{name}.b2nd', mode='r')
    assert numpy.array_equal(ours[:], theirs[:]) and ours.dtype == theirs.dtype
    assert (ours.chunks, ours.blocks) == (theirs.chunks, theirs.blocks)
    assert ours.schunk.cparams.filters == theirs.schunk.cparams.filters
assert properties['shape_before_cropping'] == (5, 6, 7)
print('equal')`
    expect(runPython(python as string, program, folder, path.dirname(golden('case.b2nd')))).toBe('equal\n')
  })
})

describe('a box of an array', () => {
  const shape = [2, 13, 17, 19] as const
  const data = Float32Array.from({ length: 2 * 13 * 17 * 19 }, (_, i) => (i < 3000 ? 0 : Math.sin(i * i)))
  const stem = path.join(folder, 'chunks')
  native().callOp('write_blosc2', [{ data, shape: [...shape] }, `${stem}.b2nd`, [4, 4, 4]])
  const read = (start: number[], stop: number[]) => native().callOp('read_case_box', [stem, start, stop])[0]
  const boxes = [
    [0, 0, 0, 0, 2, 13, 17, 19],
    [0, 0, 0, 0, 1, 1, 1, 1],
    [1, 12, 16, 18, 2, 13, 17, 19],
    [0, 3, 4, 5, 2, 11, 9, 17],
    [1, 5, 0, 7, 2, 6, 17, 8],
  ]

  test('is that part of it', () => {
    const [layout] = native().callOp('blosc2_layout', [[...shape], [4, 4, 4], 4])
    // Else one chunk would be all that is ever read.
    expect(Number(layout?.data[1])).toBeLessThan(13)
    for (const box of boxes) {
      const [start, stop] = [box.slice(0, 4), box.slice(4)]
      const extents = stop.map((end, axis) => end - (start[axis] as number))
      const expected: number[] = []
      for (let c = start[0] as number; c < (stop[0] as number); c++)
        for (let z = start[1] as number; z < (stop[1] as number); z++)
          for (let y = start[2] as number; y < (stop[2] as number); y++)
            for (let x = start[3] as number; x < (stop[3] as number); x++)
              expected.push(data[((c * 13 + z) * 17 + y) * 19 + x] as number)
      expect(read(start, stop)).toEqual({ data: Float32Array.from(expected), shape: extents })
    }
  })

  test('beyond the array is refused', async () => {
    for (const [start, stop] of [
      [
        [0, 0, 0, 0],
        [2, 13, 17, 20],
      ],
      [
        [0, 0, -1, 0],
        [1, 1, 1, 1],
      ],
      [
        [0, 0, 0],
        [1, 1, 1],
      ],
    ] as const) {
      const error = await failureOf(() => read([...start], [...stop]))
      expect(error.code).toBe('ERR_FORMAT')
      expect(error.message).toContain('has other extents than before')
    }
  })

  test.each(['case', 'case_seg', 'chunks'])('no damage of %s does harm', async (name) => {
    const bytes = readFileSync(name === 'chunks' ? `${stem}.b2nd` : golden(`${name}.b2nd`))
    const damaged = path.join(folder, 'box')
    const attempt = async (content: Uint8Array) => {
      writeFileSync(`${damaged}.b2nd`, content)
      try {
        native().callOp('read_case_box', [damaged, [0, 1, 1, 1], [1, 4, 5, 6]])
        return undefined
      } catch (error) {
        expect((error as VoxgradError).code).toBe('ERR_FORMAT')
        return error
      }
    }
    expect(await attempt(bytes)).toBeUndefined()
    for (let length = 0; length < bytes.length; length += length < 400 ? 11 : 97)
      expect(await attempt(bytes.subarray(0, length))).toBeDefined()
    for (let bit = 0; bit < 8 * bytes.length; bit += bit < 8 * 200 ? 17 : 431) {
      const flipped = Uint8Array.from(bytes)
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      await attempt(flipped)
    }
  })
})

test('many reads at once', async () => {
  const reads = Array.from({ length: 64 }, (_, i) =>
    native().readBlosc2(golden(i % 2 === 0 ? 'case.b2nd' : 'case_seg.b2nd')),
  )
  const results = await Promise.all(reads)
  results.forEach((result, i) => {
    expect(result).toEqual(i % 2 === 0 ? image : labels)
  })
})

describe('damaged and foreign files', () => {
  const file = path.join(folder, 'damaged.b2nd')
  const readBytes = (content: Uint8Array) => {
    writeFileSync(file, content)
    return native().readBlosc2(file)
  }
  const names = ['case.b2nd', 'case_seg.b2nd', 'default.b2nd']

  test.each(names)('every truncation of %s is refused', async (name) => {
    const bytes = readFileSync(golden(name))
    for (let length = 0; length < bytes.length; length += length < 400 ? 1 : 7) {
      const error = await failureOf(() => readBytes(bytes.subarray(0, length)))
      expect(error.code).toBe('ERR_FORMAT')
      expect(error.message).toContain(file)
    }
  })

  test.each(names)('no flipped bit of %s does harm', async (name) => {
    const bytes = readFileSync(golden(name))
    for (let bit = 0; bit < 8 * bytes.length; bit += bit < 8 * 200 ? 1 : 43) {
      const damaged = Uint8Array.from(bytes)
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      // Blosc2 carries no checksum: a flip in the compressed data may go unnoticed.
      await readBytes(damaged).catch((error) => expect(error.code).toBe('ERR_FORMAT'))
    }
  })

  test('a header that says more than a file can hold', async () => {
    const bytes = Buffer.from(readFileSync(golden('default.b2nd')))
    const shape = bytes.indexOf(Buffer.from([0xd3, 0, 0, 0, 0, 0, 0, 0, 3]))
    bytes.writeBigInt64BE(1n << 40n, shape + 1)
    expect((await failureOf(() => readBytes(bytes))).message).toMatch(/more data than a file of/)
  })

  test('chunks larger than the array, which are decoded as a whole', async () => {
    expect(await native().readBlosc2(golden('loose.b2nd'))).toEqual({ data: new Float32Array(12), shape: [3, 4] })
    const failure = await failureOf(() => native().readBlosc2(golden('too_loose.b2nd')))
    expect(failure.message).toMatch(/chunks are larger than the array/)
  })

  test('another format', async () => {
    expect((await failureOf(() => native().readBlosc2(golden('checkpoint.pth')))).message).toMatch(/Blosc2 header/)
  })

  test('a case of a dataset by nnU-Net, where one is there', async (context) => {
    const preprocessed = process.env.nnUNet_preprocessed
    if (preprocessed === undefined || !existsSync(preprocessed)) return context.skip('nnUNet_preprocessed is not set')
    const arrays = readdirSync(preprocessed, { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.b2nd'),
    )
    for (const name of arrays) expect((await native().readBlosc2(path.join(preprocessed, name))).shape).toHaveLength(4)
  })
})
