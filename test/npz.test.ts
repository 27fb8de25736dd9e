// .npz files: read as NumPy wrote them, written so that an independent reader finds the same, and faults named.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { zipSync } from 'fflate'
import { afterAll, describe, expect, test } from 'vitest'
import { readNpz, writeNpz } from '../src/npz.js'
import { readNpz as readAll } from './npz.js'

const folder = mkdtempSync(path.join(tmpdir(), 'voxgrad-npz-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const golden = fileURLToPath(new URL('goldens/preprocess.npz', import.meta.url))
const array = { data: Float32Array.from({ length: 210 }, (_, i) => Math.sin(i)), shape: [2, 3, 5, 7] }

describe('npz files', () => {
  test('of NumPy give its array', async () => {
    const name = 'z_score_upsampled/image'
    expect(await readNpz(golden, name, 'ERR_DATASET')).toEqual(readAll(golden)[name])
  })

  test('come back as they were written, here and by another reader', async () => {
    const file = path.join(folder, 'written.npz')
    await writeNpz(file, 'probabilities', array)
    expect(await readNpz(file, 'probabilities', 'ERR_DATASET')).toEqual(array)
    expect(readAll(file)).toEqual({ probabilities: array })
  })

  test('widen float16', async () => {
    const file = path.join(folder, 'half.npz')
    // 1, -2, 65504, the smallest subnormal, and 0.333251953125 as numpy.float16 has them.
    const bits = Uint16Array.from([0x3c00, 0xc000, 0x7bff, 0x0001, 0x3555])
    const header = "{'descr': '<f2', 'fortran_order': False, 'shape': (5,), }"
    const npy = Buffer.concat([
      Buffer.from('\x93NUMPY\x01\x00', 'latin1'),
      Buffer.from(Uint16Array.of(118).buffer),
      Buffer.from(`${header.padEnd(117)}\n`),
      Buffer.from(bits.buffer),
    ])
    writeFileSync(file, zipSync({ 'probabilities.npy': npy }))
    const { data } = await readNpz(file, 'probabilities', 'ERR_DATASET')
    expect([...data]).toEqual([1, -2, 65504, 2 ** -24, 0.333251953125])
  })

  test('that are missing, damaged, cut or hold something else are named', async () => {
    const file = path.join(folder, 'whole.npz')
    await writeNpz(file, 'probabilities', array)
    const bytes = readFileSync(file)
    const damaged = Buffer.from(bytes)
    damaged.writeUInt8(damaged.readUInt8(300) ^ 1, 300)
    writeFileSync(path.join(folder, 'damaged.npz'), damaged)
    writeFileSync(path.join(folder, 'cut.npz'), bytes.subarray(0, 400))
    for (const name of ['absent', 'damaged', 'cut']) {
      const fault = readNpz(path.join(folder, `${name}.npz`), 'probabilities', 'ERR_DATASET')
      await expect(fault).rejects.toMatchObject({
        code: 'ERR_DATASET',
        message: expect.stringContaining(name) as string,
      })
    }
    await expect(readNpz(file, 'softmax', 'ERR_DATASET')).rejects.toThrow(/holds only probabilities\.npy/)
    await expect(readNpz(golden, 'z_score_upsampled/segmentation', 'ERR_DATASET')).rejects.toThrow(/\|i1/)
  })
})
