// NumPy's .npz files with one float array, as nnU-Net stores probabilities: a zip file that holds NAME.npy.
import { Readable } from 'node:stream'
import { crc32 } from 'node:zlib'
import { fromBufferPromise, openPromise, type ZipFile } from 'yauzl'
import yazl from 'yazl'
import { type ErrorCode, VoxgradError } from './errors.js'
import { reasonOf, writeFileAtomically } from './files.js'

export interface FloatArray {
  data: Float32Array
  shape: number[]
}

/** Probabilities are mostly 0 and 1: the fastest level is three times as fast as zlib's default and hardly larger. */
const compressionLevel = 1
const pieceBytes = 1 << 20
/** Deflate packs at most 1032 bytes into one. */
const largestRatio = 1032
const mostNamesShown = 10

/**
 * Writes an array atomically, compressed, as numpy.savez_compressed does.
 * @param name of the array in the file
 * @throws VoxgradError ERR_DISK
 */
export async function writeNpz(file: string, name: string, { data, shape }: FloatArray): Promise<void> {
  const zip = new yazl.ZipFile()
  const pieces = function* () {
    yield npyHeader(shape)
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
    for (let start = 0; start < bytes.length; start += pieceBytes) yield bytes.subarray(start, start + pieceBytes)
  }
  // The same array gives the same file: NumPy's time stamp, too, is the earliest that a zip file knows.
  const mtime = new Date(1980, 0, 1)
  zip.addReadStream(Readable.from(pieces()), `${name}.npy`, { compressionLevel, mtime, forceDosTimestamp: true })
  zip.end()
  const compressed: Buffer[] = []
  for await (const piece of zip.outputStream) compressed.push(piece as Buffer)
  await writeFileAtomically(file, Buffer.concat(compressed))
}

function npyHeader(shape: number[]): Buffer {
  const extents = shape.length === 1 ? `${shape[0]},` : shape.join(', ')
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${extents}), }`
  const magic = Buffer.from('\x93NUMPY\x01\x00', 'latin1')
  // The data begin at a multiple of 64 bytes, behind a line feed.
  const padded = text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11)
  const length = Buffer.alloc(2)
  length.writeUInt16LE(padded.length + 1)
  return Buffer.concat([magic, length, Buffer.from(`${padded}\n`, 'latin1')])
}

/**
 * Reads an array of float32 or float16 values, the latter widened.
 * @param code of the error
 * @throws VoxgradError with `code` if the file is missing, damaged, or holds no such array
 */
export function readNpz(file: string, name: string, code: ErrorCode): Promise<FloatArray> {
  return decodedEntry(file, () => openPromise(file, { autoClose: false }), name, code, decodeNpy)
}

/** The same of a file's bytes. */
export function decodeNpz(bytes: Buffer, file: string, name: string, code: ErrorCode): Promise<FloatArray> {
  return decodedEntry(file, () => fromBufferPromise(bytes), name, code, decodeNpy)
}

/** Reads an array as the .npy file that it is in the archive. Throws as readNpz does. */
export function readNpyOfNpz(file: string, name: string, code: ErrorCode): Promise<Buffer> {
  return decodedEntry(
    file,
    () => openPromise(file, { autoClose: false }),
    name,
    code,
    (bytes) => bytes,
  )
}

async function decodedEntry<Result>(
  file: string,
  open: () => Promise<ZipFile>,
  name: string,
  code: ErrorCode,
  decode: (npy: Buffer) => Result,
): Promise<Result> {
  try {
    const zip = await open()
    try {
      return decode(await readEntry(zip, `${name}.npy`))
    } finally {
      zip.close()
    }
  } catch (error) {
    throw new VoxgradError(
      code,
      {
        where: file,
        required: `a whole .npz file with the array "${name}"`,
        found: `that ${reasonOf(error)}`,
        remedy: 'Predict or preprocess the case again.',
      },
      { cause: error },
    )
  }
}

async function readEntry(zip: ZipFile, name: string): Promise<Buffer> {
  const names: string[] = []
  for await (const entry of zip.eachEntry()) {
    if (names.length < mostNamesShown) names.push(entry.fileName)
    if (entry.fileName !== name) continue
    if (entry.uncompressedSize > entry.compressedSize * largestRatio) {
      throw new Error(`${name} in it claims ${entry.uncompressedSize} bytes, more than it can hold`)
    }
    const content = Buffer.allocUnsafeSlow(entry.uncompressedSize)
    let length = 0
    let sum = 0
    for await (const piece of await zip.openReadStreamPromise(entry)) {
      const bytes = piece as Buffer
      sum = crc32(bytes, sum)
      length += bytes.copy(content, length)
    }
    if (length !== content.length || sum !== entry.crc32) throw new Error(`${name} in it is damaged`)
    return content
  }
  throw new Error(`it holds only ${names.join(', ') || 'nothing'}`)
}

function decodeNpy(bytes: Buffer): FloatArray {
  if (bytes.length < 12 || bytes.toString('latin1', 0, 6) !== '\x93NUMPY') throw new Error('its array is no .npy file')
  const isShort = bytes[6] === 1
  const start = isShort ? 10 : 12
  const length = isShort ? bytes.readUInt16LE(8) : bytes.readUInt32LE(8)
  const header = bytes.toString('latin1', start, start + length)
  const type = /'descr': '([^']*)'/.exec(header)?.[1]
  const shape = [...(/'shape': \(([^)]*)\)/.exec(header)?.[1] ?? '').matchAll(/\d+/g)].map(Number)
  const count = shape.reduce((product, extent) => product * extent, 1)
  const width = type === '<f4' ? 4 : type === '<f2' ? 2 : undefined
  if (width === undefined) throw new Error(`its values are of type ${type ?? 'unknown'}, not float32 or float16`)
  if (header.includes("'fortran_order': True")) throw new Error('its axes are in Fortran order')
  if (bytes.length !== start + length + count * width) throw new Error(`its size is not that of ${shape.join(' x ')}`)
  const data = bytes.buffer.slice(bytes.byteOffset + start + length, bytes.byteOffset + bytes.length)
  return { data: width === 4 ? new Float32Array(data) : Float32Array.from(new Uint16Array(data), widenHalf), shape }
}

/** The value of a float16 with these bits. */
function widenHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}
