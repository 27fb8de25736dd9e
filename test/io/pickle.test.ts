// The pickle reader against Python's own pickles, and against damaged ones (test/suites has those that attack it).
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { native } from '../../src/native/load.js'
import { failureOf, golden, peerPython, runPython, temporaryFolder } from './support.js'

const folder = temporaryFolder()
const expected = JSON.parse(readFileSync(golden('expected.json'), 'utf8'))

async function readBytes(bytes: Uint8Array): Promise<unknown> {
  const file = path.join(folder, 'attack.pkl')
  writeFileSync(file, bytes)
  return native().readPickle(file)
}

const latin1 = (text: string) => Buffer.from(text, 'latin1')

describe('reading', () => {
  test.each([0, 1, 2, 3, 4, 5])('plain values of protocol %i', async (protocol) => {
    const { text, ...others } = expected.plain
    expect(await native().readPickle(golden(`plain_${protocol}.pkl`))).toEqual(
      protocol === 0 ? others : { text, ...others },
    )
  })

  test.each([2, 4, 5])("a case's properties of protocol %i", async (protocol) => {
    expect(await native().readPickle(golden(`case_${protocol}.pkl`))).toEqual({
      sitk_stuff: { spacing: [1, 1.5, 2], origin: [-1, 0, 1], direction: [1, 0, 0] },
      spacing: [2, 1.5, 1],
      shape_before_cropping: [5, 6, 7],
      bbox_used_for_cropping: [
        [0, 5],
        [1, 6],
        [0, 7],
      ],
      class_locations: {
        1: { data: BigInt64Array.from({ length: 12 }, (_, i) => BigInt(i)), shape: [3, 4] },
        '(1, 2)': { data: BigInt64Array.from({ length: 8 }, (_, i) => BigInt(i)), shape: [2, 4] },
        2: [],
      },
      numbers: [0.25, -3, 200, true, 7],
      empty: { data: new Float32Array(0), shape: [0, 4] },
    })
  })
})

test('integers beyond what numbers hold are bigints', async () => {
  expect(await readBytes(latin1('\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80.'))).toBe(-(2n ** 63n))
})

describe('writing', () => {
  test.each(['plain_4.pkl', 'case_5.pkl'])('%s comes back equal', async (name) => {
    const copy = path.join(folder, name)
    native().callOp('rewrite_pickle', [golden(name), copy])
    expect(await native().readPickle(copy)).toEqual(await native().readPickle(golden(name)))
  })

  const python = peerPython()
  test.skipIf(python === undefined)('Python reads the copy', () => {
    const copy = path.join(folder, 'for-python.pkl')
    native().callOp('rewrite_pickle', [golden('case_5.pkl'), copy])
    const program = `
import pickle, sys, numpy
a, b = (pickle.load(open(name, 'rb')) for name in sys.argv[1:])
for key, value in a['class_locations'].items():
    assert type(key) is type(list(b['class_locations'])[list(a['class_locations']).index(key)])
    assert numpy.array_equal(value, b['class_locations'][key]) and type(value) is type(b['class_locations'][key])
for x in (a, b): del x['class_locations'], x['empty']
assert a == b, (a, b)
print('equal')`
    expect(runPython(python as string, program, golden('case_5.pkl'), copy)).toBe('equal\n')
  })
})

describe('hostile and damaged files', () => {
  const doubling = Array.from(
    { length: 40 },
    (_, i) => `](h${String.fromCharCode(i)}h${String.fromCharCode(i)}eq${String.fromCharCode(i + 1)}`,
  )
  const attacks: [string, string, RegExp][] = [
    ['an allowed name as a value', '\x80\x02ctorch\ndevice\n.', /torch\.device as a value/],
    ['a codec with side effects', '\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00zip\x86R.', /latin1/],
    ['deep nesting', `${']'.repeat(5000)}${'a'.repeat(4999)}.`, /nested deeper/],
    ['a list that holds itself', ']q\x00h\x00a.', /nested deeper/],
    [
      'data copied again and again',
      `\x80\x03c_codecs\nencode\nq\x01X\x10\x27\x00\x00${'x'.repeat(10_000)}q\x00X\x06\x00\x00\x00latin1q\x02${'h\x01h\x00h\x02\x86R0'.repeat(5000)}N.`,
      /copies its data/,
    ],
    ['a small file that unfolds without end', `]q\x00${doubling.join('')}.`, /unfold/],
    ['a text of 4 GiB', 'X\xff\xff\xff\xffabc.', /ends in the middle/],
    ['bytes of 2^63', '\x8e\x00\x00\x00\x00\x00\x00\x00\x80abc.', /ends in the middle/],
    ['a huge frame', '\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.', /without its operand/],
    ['a newer protocol', '\x80\x06N.', /protocol 6/],
    ['an integer beyond 64 bits', '\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01.', /64 bits/],
    ['a missing memo entry', 'h\x07.', /not stored/],
    ['a pop from nothing', '0.', /without its/],
    ['an append to a tuple', ')Na.', /no list/],
    ['a storage outside of a torch file', '\x80\x02(X\x07\x00\x00\x00storagetQ.', /outside of the pickle/],
    ['an array larger than its data', array('(J\xff\xff\xff\x7fJ\xff\xff\xff\x7ft'), /more elements/],
    ['an array of negative size', array('(J\xff\xff\xff\xfft'), /negative/],
    ['nothing', '', /ends in the middle/],
  ]
  /** A pickled NumPy array of two bytes with the given shape. */
  function array(shape: string): string {
    const reconstruct = 'cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR'
    return `\x80\x03${reconstruct}(K\x01${shape}cnumpy\ndtype\n(X\x02\x00\x00\x00u1tR\x89C\x02abtb.`
  }

  test.each(attacks)('%s is refused', async (_, bytes, reason) => {
    const error = await failureOf(() => readBytes(latin1(bytes)))
    expect(error.code).toBe('ERR_FORMAT')
    expect(error.message).toMatch(reason)
    expect(error.message).toContain('attack.pkl')
  })

  test('every truncation is refused', async () => {
    const bytes = readFileSync(golden('case_4.pkl'))
    for (let length = 0; length < bytes.length; ++length) {
      expect((await failureOf(() => readBytes(bytes.subarray(0, length)))).code).toBe('ERR_FORMAT')
    }
  })

  test('no flipped bit does harm', async () => {
    for (const name of ['case_2.pkl', 'case_5.pkl']) {
      const bytes = readFileSync(golden(name))
      for (let bit = 0; bit < 8 * bytes.length; bit += 7) {
        const damaged = Uint8Array.from(bytes)
        damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        // Pickles carry no checksum: a flip in a number or a name may go unnoticed.
        await readBytes(damaged).catch((error) => expect(error.code).toBe('ERR_FORMAT'))
      }
    }
  })

  test('a folder and a missing file', async () => {
    mkdirSync(path.join(folder, 'folder'))
    expect((await failureOf(() => native().readPickle(path.join(folder, 'folder')))).message).toContain('regular file')
    const missing = path.join(folder, 'missing.pkl')
    expect((await failureOf(() => native().readPickle(missing))).message).toContain(missing)
  })
})
