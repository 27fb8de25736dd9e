// Numbers of an image file's element types, in either byte order.
import { promisify } from 'node:util'
import { unzip } from 'node:zlib'
import { imageFault } from './file-image.js'

export type ElementArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array

const elementTypes = {
  int8: { bytes: 1, view: (buffer: ArrayBuffer) => new Int8Array(buffer) },
  uint8: { bytes: 1, view: (buffer: ArrayBuffer) => new Uint8Array(buffer) },
  int16: { bytes: 2, view: (buffer: ArrayBuffer) => new Int16Array(buffer) },
  uint16: { bytes: 2, view: (buffer: ArrayBuffer) => new Uint16Array(buffer) },
  int32: { bytes: 4, view: (buffer: ArrayBuffer) => new Int32Array(buffer) },
  uint32: { bytes: 4, view: (buffer: ArrayBuffer) => new Uint32Array(buffer) },
  int64: { bytes: 8, view: (buffer: ArrayBuffer) => new BigInt64Array(buffer) },
  uint64: { bytes: 8, view: (buffer: ArrayBuffer) => new BigUint64Array(buffer) },
  float32: { bytes: 4, view: (buffer: ArrayBuffer) => new Float32Array(buffer) },
  float64: { bytes: 8, view: (buffer: ArrayBuffer) => new Float64Array(buffer) },
} as const

export type ElementType = keyof typeof elementTypes

export function bytesPerElement(type: ElementType): 1 | 2 | 4 | 8 {
  return elementTypes[type].bytes
}

/**
 * The numbers of `bytes`, which is changed if its byte order is not the machine's.
 * @param bytes a whole number of elements in a buffer of its own
 */
export function elementsOf(bytes: Uint8Array<ArrayBuffer>, type: ElementType, littleEndian: boolean): ElementArray {
  const buffer = Buffer.from(bytes.buffer)
  const size = bytesPerElement(type)
  if (!littleEndian && size === 2) buffer.swap16()
  if (!littleEndian && size === 4) buffer.swap32()
  if (!littleEndian && size === 8) buffer.swap64()
  return elementTypes[type].view(bytes.buffer)
}

/** As float32, which is what nnU-Net's readers hand on. */
export function asFloat32(elements: ElementArray): Float32Array {
  if (elements instanceof Float32Array) return elements
  if (elements instanceof BigInt64Array || elements instanceof BigUint64Array)
    return Float32Array.from(elements, Number)
  return new Float32Array(elements)
}

/** How the numbers of an image lie in its file. */
export interface Encoding {
  type: ElementType
  littleEndian: boolean
  /** Zlib or gzip. */
  compressed: boolean
}

/** More numbers than a typed array should hold: a damaged header. */
const largestCount = 2 ** 31
/** Deflate packs at most 1032 bytes into one, so a larger claim is false and is refused before memory is taken. */
const largestRatio = 1032

const decompress = promisify(unzip)

/**
 * Decodes the `count` numbers at the beginning of `stored` as float32.
 * @param file for messages
 * @throws VoxgradError ERR_DATASET if they are not all there
 */
export async function decodeElements(
  stored: Uint8Array,
  count: number,
  { type, littleEndian, compressed }: Encoding,
  file: string,
): Promise<Float32Array> {
  const needed = count * bytesPerElement(type)
  const available = compressed ? stored.length * largestRatio : stored.length
  if (!(count <= largestCount && needed <= available)) {
    throw imageFault(
      file,
      `${needed} bytes of data as its header says`,
      `at most ${available}: it is truncated or damaged`,
    )
  }
  const plain = compressed ? await inflateData(stored, needed, file) : stored
  return asFloat32(elementsOf(new Uint8Array(plain.subarray(0, needed)), type, littleEndian))
}

async function inflateData(stored: Uint8Array, needed: number, file: string): Promise<Uint8Array> {
  const chunkSize = Math.min(Math.max(needed, 64), 1 << 20)
  const found = await decompress(stored, { chunkSize, maxOutputLength: Math.max(needed, 1) }).catch((error: Error) => {
    throw imageFault(file, `${needed} bytes of compressed data`, `damaged ones (${error.message}); copy it again`)
  })
  if (found.length === needed) return found
  throw imageFault(file, `${needed} bytes of data as its header says`, `${found.length}: it is truncated or damaged`)
}
