// Arrays in NumPy's .npy files, from which nnU-Net's older layout is read: damaged headers.
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { native } from '../../src/native/load.js'
import { failureOf, temporaryFolder } from './support.js'

const stem = path.join(temporaryFolder(), 'case')

function read(shape: string, descr = '|u1', numbers = 4) {
  const header = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape}), }\n`
  const length = Buffer.alloc(4)
  length.writeUInt32LE(header.length)
  const magic = Buffer.from('\x93NUMPY\x02\x00', 'latin1')
  writeFileSync(`${stem}.npy`, Buffer.concat([magic, length, Buffer.from(header), Buffer.alloc(numbers, 1)]))
  return native().callOp('read_case_box', [stem, [0, 0, 0, 0], [1, 1, 2, 2]])[0]
}

test('a box of a sound file', () => {
  expect(read('1, 1, 2, 2')?.shape).toEqual([1, 1, 2, 2])
})

test.each([
  ['numbers of too many digits', '1, 344444444444444444444400000000014308771156321340990', /damaged shape/],
  ['extents whose product is beyond 64 bits', '1099511627776, 1099511627776, 2, 2', /expected 18446744073709551615/],
  ['an extent of 0 beside large ones', '0, 1099511627776, 1099511627776, 2', /holds no numbers/],
  ['a negative extent', '-1, -1, 2, 2', /damaged shape/],
  ['more axes than an array has', '1, '.repeat(33), /damaged shape/],
  ['blanks without end', ' '.repeat(60_000), /expected 1 bytes/],
  ['words', 'one', /damaged shape/],
])('%s', async (_, shape, reason) => {
  expect((await failureOf(() => read(shape))).message).toMatch(reason)
})

test('an element type that is none', async () => {
  for (const descr of ['', '<', '>f4', '|O', '<f44444444444444444444']) {
    expect((await failureOf(() => read('1, 1, 2, 2', descr))).message).toMatch(/type|little-endian/)
  }
})
