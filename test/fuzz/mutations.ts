// Arbitrary damage to valid files: flipped bits, extreme numbers, lost, doubled and foreign parts, words of the format.
import fc from 'fast-check'

/** One change; what place and value mean depends on its kind. */
type Edit = [kind: number, place: number, value: number]

const extremes = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff]
const extremeTexts = ['0', '-1', '1e308', '1e999', 'NaN', '9007199254740993', '4294967296', '-0.0', '00', '']
/** Names of what every object of JavaScript has. */
const inherited = ['__proto__', 'constructor', 'toString', 'hasOwnProperty']
/** A mutated file is at most this much longer than what it was made of. */
const mostAdded = 4096

/**
 * Files that were damaged in up to six places, or not at all.
 * @param words what the format's parser looks for
 */
export function damaged(seeds: readonly Uint8Array[], words: readonly string[]): fc.Arbitrary<Buffer> {
  const tokens = [...words, ...extremeTexts, ...inherited].map((word) => Buffer.from(word, 'latin1'))
  const edit: fc.Arbitrary<Edit> = fc.tuple(fc.nat(11), fc.nat(0x7fffffff), fc.nat(0x7fffffff))
  return fc
    .tuple(fc.nat(seeds.length - 1), fc.array(edit, { maxLength: 6 }))
    .map(([index, edits]) =>
      edits.reduce<Buffer>((bytes, one) => apply(bytes, one, seeds, tokens), Buffer.from(seeds[index] as Uint8Array)),
    )
}

function apply(bytes: Buffer, [kind, place, value]: Edit, seeds: readonly Uint8Array[], tokens: Buffer[]): Buffer {
  const at = bytes.length === 0 ? 0 : place % bytes.length
  const replaced = (length: number, by: Uint8Array) =>
    Buffer.concat([bytes.subarray(0, at), by.subarray(0, mostAdded), bytes.subarray(at + length)])
  const room = (width: number) => Math.max(0, Math.min(at, bytes.length - width))
  const token = tokens[value % tokens.length] as Buffer
  switch (kind) {
    case 0:
      if (bytes.length > 0) bytes[at] = (bytes[at] as number) ^ (1 << (value & 7))
      return bytes
    case 1:
      if (bytes.length > 0) bytes[at] = value & 0xff
      return bytes
    case 2:
      if (bytes.length >= 2) bytes.writeUInt16LE((extremes[value % extremes.length] as number) & 0xffff, room(2))
      return bytes
    case 3:
      if (bytes.length >= 4) bytes.writeUInt32LE(extremes[value % extremes.length] as number, room(4))
      return bytes
    case 4:
      if (bytes.length >= 4) bytes.writeUInt32BE(extremes[value % extremes.length] as number, room(4))
      return bytes
    case 5:
      return replaced(0, Buffer.alloc(1 + (value % 64), value >> 8))
    case 6:
      return replaced(1 + (value % 64), Buffer.alloc(0))
    case 7:
      return replaced(0, bytes.subarray(value % (bytes.length + 1)))
    case 8:
      return bytes.subarray(0, at)
    case 9: {
      const other = seeds[value % seeds.length] as Uint8Array
      return Buffer.concat([bytes.subarray(0, at), other.subarray(place % (other.length + 1))])
    }
    case 10:
      return replaced(0, token)
    default:
      return replaced(wordLength(bytes, at), token)
  }
}

/** How far a number or a word goes on. */
function wordLength(bytes: Buffer, at: number): number {
  let end = at
  while (end < bytes.length && /[\w.+-]/.test(String.fromCharCode(bytes[end] as number))) end += 1
  return end - at
}
