// nnU-Net's older preprocessed layout: CASE.npz and its unpacked form train as CASE.b2nd does.
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { zipSync } from 'fflate'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { native } from '../../src/native/load.js'
import { unpackCases } from '../../src/preprocess/unpack.js'
import { listPreprocessedCases } from '../../src/train/setup.js'
import { ordinary, smallConfig, writeCase } from '../engine/preprocessed-cases.js'

const root = mkdtempSync(path.join(tmpdir(), 'voxgrad-unpack-'))
afterAll(() => rmSync(root, { recursive: true }))
const cases = ['a', 'b_seg']
const folder = (name: string) => path.join(root, name)

/** A .npy file of version 1 as NumPy writes it. */
function npy(descr: string, shape: number[], numbers: Float32Array | Int16Array | Int8Array): Uint8Array {
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape.join(', ')}), }`
  const header = Buffer.alloc(128, ' ')
  header.write('\x93NUMPY\x01\x00', 0, 'latin1')
  header.writeUInt16LE(118, 8)
  header.write(text, 10, 'latin1')
  header.write('\n', 127, 'latin1')
  return Buffer.concat([header, new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength)])
}

beforeAll(async () => {
  for (const name of ['b2nd', 'npz', 'npy', 'damaged']) mkdirSync(folder(name))
  for (const caseId of cases) {
    const at = (name: string, ending: string) => path.join(folder(name), `${caseId}${ending}`)
    await writeCase(folder('b2nd'), caseId, ordinary)
    const image = await native().readBlosc2(at('b2nd', '.b2nd'))
    const segmentation = await native().readBlosc2(at('b2nd', '_seg.b2nd'))
    const data = npy('<f4', image.shape, image.data as Float32Array)
    // Older versions kept labels in int8 where they fit.
    const seg = npy('|i1', segmentation.shape, Int8Array.from(segmentation.data as Int16Array))
    writeFileSync(at('npz', '.npz'), zipSync({ 'data.npy': data, 'seg.npy': seg }))
    writeFileSync(at('npy', '.npy'), data)
    writeFileSync(at('npy', '_seg.npy'), seg)
    for (const name of ['npz', 'npy', 'damaged']) copyFileSync(at('b2nd', '.pkl'), at(name, '.pkl'))
  }
})

async function losses(name: string, place: 'auto' | 'disk' = 'auto'): Promise<number[]> {
  const trainer = await native().createTrainer(smallConfig)
  try {
    await trainer.loadCases({ folder: folder(name), training: cases, validation: cases, labels: [0, 1, 2], place })
    const { loss } = await trainer.runTraining({ learningRates: Float64Array.of(0.01, 0.01) })
    return Array.from(loss)
  } finally {
    await trainer.dispose()
  }
}

describe('an older preprocessed folder', () => {
  test('holds the same cases', async () => {
    await unpackCases(folder('npz'), cases)
    for (const name of ['b2nd', 'npz', 'npy']) expect(await listPreprocessedCases(folder(name))).toEqual(cases)
  })

  test('trains as CASE.b2nd does, bit for bit', async () => {
    await unpackCases(folder('npz'), cases)
    const expected = await losses('b2nd')
    expect(expected.length).toBe(2)
    expect(await losses('npz')).toEqual(expected)
    expect(await losses('npy')).toEqual(expected)
    expect(await losses('npy', 'disk')).toEqual(expected)
  })

  test('is unpacked once', async () => {
    await unpackCases(folder('npz'), cases)
    const marked = path.join(folder('npz'), 'a.npy')
    writeFileSync(marked, 'kept')
    await unpackCases(folder('npz'), cases)
    expect(readFileSync(marked, 'utf8')).toBe('kept')
    rmSync(marked)
  })
})

describe('damaged files', () => {
  const at = (name: string) => path.join(folder('damaged'), name)

  test('archives, all at once', async () => {
    writeFileSync(at('a.npz'), readFileSync(path.join(folder('npz'), 'a.npz')).subarray(0, 300))
    writeFileSync(at('b_seg.npz'), zipSync({ 'data.npy': new Uint8Array(10) }))
    const attempt = unpackCases(folder('damaged'), cases)
    await expect(attempt).rejects.toThrow(/a.npz: expected a whole .npz file[\s\S]*b_seg.npz: .*"seg"/)
    await expect(attempt).rejects.toMatchObject({ code: 'ERR_PREPROCESSED' })
    expect(existsSync(at('a.npy')) || existsSync(at('b_seg.npy'))).toBe(false)
  })

  const good = npy('<f4', [1, 2, 2, 2], new Float32Array(8))
  const faults: [string, Uint8Array, RegExp][] = [
    ['another format', Buffer.from('P'.repeat(200)), /not a .npy file/],
    ['truncated', good.subarray(0, 140), /expected 32 bytes of numbers, found 12/],
    ['too few bytes for a header', good.subarray(0, 100), /a.npy/],
    ['big-endian', npy('>f4', [1, 2, 2, 2], new Float32Array(8)), /little-endian/],
    ['objects', npy('|O8', [1, 2, 2, 2], new Float32Array(16)), /little-endian/],
    ['a shape beyond memory', npy('<f4', [9e9, 9e9, 9e9], new Float32Array(8)), /bytes of numbers/],
  ]
  test.each(faults)('arrays: %s', async (_, bytes, message) => {
    writeFileSync(at('a.npy'), bytes)
    const trainer = await native().createTrainer(smallConfig)
    const attempt = trainer.loadCases({ folder: folder('damaged'), training: ['a'], validation: [], labels: [0, 1, 2] })
    await expect(attempt).rejects.toThrow(message)
    await expect(attempt).rejects.toMatchObject({ code: 'ERR_FORMAT' })
    await trainer.dispose()
  })
})
