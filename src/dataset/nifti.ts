// A strict reader and a writer of NIfTI-1 and NIfTI-2 files (.nii, .nii.gz): header fields, voxels, nothing interpreted.
// Formats: nifti1.h and nifti2.h of the NIfTI Data Format Working Group.
import { promisify } from 'node:util'
import { createGunzip, gzip } from 'node:zlib'
import { VoxgradError } from '../errors.js'
import { readBytes, writeFileAtomically } from '../files.js'
import { asFloat32, bytesPerElement, type ElementArray, type ElementType, elementsOf } from './elements.js'

/** What a header says about the grid. Float32 fields of NIfTI-1 are exact here, as JavaScript numbers. */
export interface NiftiHeader {
  version: 1 | 2
  /** Extents in file order (x fastest): dim[1] to dim[dim[0]]. */
  extents: number[]
  /** NIfTI's datatype code. */
  datatype: number
  intentCode: number
  /** pixdim[0] to pixdim[7]; [0] is qfac. */
  pixdim: number[]
  /** 0: values are stored as they are. */
  slope: number
  intercept: number
  /** Space and time units, nifti1.h's xyzt_units. */
  units: number
  qformCode: number
  /** b, c, d */
  quaternion: number[]
  qformOffset: number[]
  sformCode: number
  /** Three rows of four. */
  sform: number[][]
}

export interface NiftiImage {
  header: NiftiHeader
  /** As stored, in the machine's byte order, x fastest; slope and intercept not applied. */
  voxels: ElementArray
}

const datatypes: Record<number, ElementType> = {
  2: 'uint8',
  4: 'int16',
  8: 'int32',
  16: 'float32',
  64: 'float64',
  256: 'int8',
  512: 'uint16',
  768: 'uint32',
  1024: 'int64',
  1280: 'uint64',
}

const refusedDatatypes: Record<number, string> = {
  1: 'binary',
  32: 'complex64',
  128: 'RGB24',
  1536: 'float128',
  1792: 'complex128',
  2048: 'complex256',
  2304: 'RGBA32',
}

const headerBytes = { 1: 348, 2: 540 }
/** The largest NIfTI header and its extension flag: what must be there before the header is read. */
const prefixBytes = 544
/** Deflate packs at most 1032 bytes into one, so a larger claim is false and is refused before memory is taken. */
const largestRatio = 1032
const largestVoxelCount = 2 ** 31

interface Layout {
  header: NiftiHeader
  littleEndian: boolean
  offset: number
  dataBytes: number
  type: ElementType
}

/**
 * Reads a .nii or .nii.gz file.
 * @throws VoxgradError ERR_DATASET if it cannot be read, is damaged, truncated or of an unsupported kind
 */
export async function readNifti(path: string): Promise<NiftiImage> {
  return decodeNifti(await readBytes(path, 'NIfTI image'), path)
}

/**
 * Decodes the bytes of a NIfTI-1 or -2 file, compressed or not. Memory taken is bounded by what the file can hold.
 * @param origin the file, for messages
 * @throws VoxgradError ERR_DATASET
 */
export async function decodeNifti(bytes: Uint8Array, origin: string): Promise<NiftiImage> {
  const compressed = bytes[0] === 0x1f && bytes[1] === 0x8b
  const available = compressed ? bytes.length * largestRatio : bytes.length
  const chunks = compressed ? inflate(bytes, origin) : [bytes][Symbol.iterator]()
  let prefix: Uint8Array = new Uint8Array(0)
  while (prefix.length < prefixBytes) {
    const chunk = await chunks.next()
    if (chunk.done) break
    prefix = prefix.length === 0 ? chunk.value : Buffer.concat([prefix, chunk.value])
  }
  const layout = readLayout(prefix, available, origin)
  const data = new Uint8Array(layout.dataBytes)
  const needed = layout.offset + layout.dataBytes
  let position = 0
  // Read on behind the voxels: only the end of a gzip file tells whether all of it is intact.
  for (let chunk = prefix; ; ) {
    const begin = Math.max(layout.offset - position, 0)
    const end = Math.min(needed - position, chunk.length)
    if (begin < end) data.set(chunk.subarray(begin, end), position + begin - layout.offset)
    position += chunk.length
    const next = await chunks.next()
    if (next.done) break
    chunk = next.value
  }
  if (position < needed) {
    throw fault(
      origin,
      `${needed} bytes as its header says`,
      `${position}: the file is truncated; copy it again from its source`,
    )
  }
  return { header: layout.header, voxels: elementsOf(data, layout.type, layout.littleEndian) }
}

async function* inflate(bytes: Uint8Array, origin: string): AsyncGenerator<Uint8Array> {
  const gunzip = createGunzip({ chunkSize: 1 << 18 })
  gunzip.end(bytes)
  try {
    yield* gunzip
  } catch (error) {
    if (error instanceof VoxgradError) throw error
    throw fault(
      origin,
      'a complete gzip file',
      `a truncated or corrupt one (${(error as Error).message}); copy it again from its source`,
    )
  }
}

function readLayout(bytes: Uint8Array, available: number, origin: string): Layout {
  const expected = 'a NIfTI-1 or NIfTI-2 file'
  if (bytes.length < headerBytes[1]) throw fault(origin, expected, `only ${bytes.length} bytes`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const littleEndian = view.getInt32(0, true) === headerBytes[1] || view.getInt32(0, true) === headerBytes[2]
  const size = view.getInt32(0, littleEndian)
  if (size !== headerBytes[1] && size !== headerBytes[2]) throw fault(origin, expected, 'something else')
  const version = size === headerBytes[1] ? 1 : 2
  if (bytes.length < size) throw fault(origin, expected, `only ${bytes.length} bytes`)
  const magic = Buffer.from(bytes.subarray(version === 1 ? 344 : 4, version === 1 ? 348 : 8)).toString('latin1')
  if (magic === `ni${version}\0`)
    throw fault(origin, 'header and voxels in one file', 'a header of a .hdr/.img pair; convert it to .nii.gz')
  if (magic !== `n+${version}\0`) throw fault(origin, expected, 'an Analyze or damaged header; convert it to .nii.gz')

  const {
    header,
    offset: storedOffset,
    dimensions,
  } = version === 1 ? readHeader1(view, littleEndian) : readHeader2(view, littleEndian)
  if (!(dimensions >= 1 && dimensions <= 7)) throw fault(origin, '1 to 7 dimensions', `${dimensions} in the header`)
  if (header.extents.some((extent) => !(extent >= 1))) {
    throw fault(origin, 'an extent of at least 1 on every axis', `${header.extents.join(' x ')} in the header`)
  }
  const type = datatypes[header.datatype]
  if (type === undefined) {
    const name = refusedDatatypes[header.datatype] ?? 'unknown'
    throw fault(
      origin,
      'integer or floating-point voxels',
      `datatype ${header.datatype} (${name}); convert the image to one number per voxel`,
    )
  }
  const count = header.extents.reduce((product, extent) => product * extent, 1)
  const dataBytes = count * bytesPerElement(type)
  const offset = storedOffset === 0 ? size + 4 : storedOffset
  if (!(offset >= size) || !Number.isFinite(offset))
    throw fault(origin, `voxels from byte ${size} on`, `vox_offset ${offset}`)
  if (count > largestVoxelCount || offset + dataBytes > available) {
    throw fault(
      origin,
      `${offset + dataBytes} bytes for ${header.extents.join(' x ')} voxels`,
      `a file of at most ${available}: it is truncated or its header is damaged`,
    )
  }
  return { header, littleEndian, offset: Math.trunc(offset), dataBytes, type }
}

function readHeader1(view: DataView, little: boolean): { header: NiftiHeader; offset: number; dimensions: number } {
  const short = (at: number) => view.getInt16(at, little)
  const floats = (at: number, count: number) =>
    Array.from({ length: count }, (_, i) => view.getFloat32(at + 4 * i, little))
  const dimensions = short(40)
  const header: NiftiHeader = {
    version: 1,
    extents: Array.from({ length: clampDimensions(dimensions) }, (_, i) => short(42 + 2 * i)),
    intentCode: short(68),
    datatype: short(70),
    pixdim: floats(76, 8),
    slope: view.getFloat32(112, little),
    intercept: view.getFloat32(116, little),
    units: view.getUint8(123),
    qformCode: short(252),
    sformCode: short(254),
    quaternion: floats(256, 3),
    qformOffset: floats(268, 3),
    sform: [floats(280, 4), floats(296, 4), floats(312, 4)],
  }
  return { header, offset: view.getFloat32(108, little), dimensions }
}

function readHeader2(view: DataView, little: boolean): { header: NiftiHeader; offset: number; dimensions: number } {
  const long = (at: number) => Number(view.getBigInt64(at, little))
  const doubles = (at: number, count: number) =>
    Array.from({ length: count }, (_, i) => view.getFloat64(at + 8 * i, little))
  const dimensions = long(16)
  const header: NiftiHeader = {
    version: 2,
    extents: Array.from({ length: clampDimensions(dimensions) }, (_, i) => long(24 + 8 * i)),
    intentCode: view.getInt32(504, little),
    datatype: view.getInt16(12, little),
    pixdim: doubles(104, 8),
    slope: view.getFloat64(176, little),
    intercept: view.getFloat64(184, little),
    units: view.getInt32(500, little),
    qformCode: view.getInt32(344, little),
    sformCode: view.getInt32(348, little),
    quaternion: doubles(352, 3),
    qformOffset: doubles(376, 3),
    sform: [doubles(400, 4), doubles(432, 4), doubles(464, 4)],
  }
  return { header, offset: long(168), dimensions }
}

const clampDimensions = (dimensions: number) => Math.min(Math.max(dimensions, 0), 7)

function fault(origin: string, expected: string, found: string): VoxgradError {
  return new VoxgradError('ERR_IMAGE', { where: origin, required: expected, found })
}

/** The voxels as float32 numbers, slope and intercept applied in double precision as nibabel and ITK do. */
export function scaledVoxels({ header, voxels }: NiftiImage): Float32Array {
  const { slope, intercept } = header
  const scaled = Number.isFinite(slope) && slope !== 0 && (slope !== 1 || intercept !== 0)
  if (!scaled) return asFloat32(voxels)
  const result = new Float32Array(voxels.length)
  for (let i = 0; i < result.length; i++) result[i] = Number(voxels[i]) * slope + intercept
  return result
}

export type WritableVoxels = Uint8Array | Uint16Array | Int16Array | Float32Array

function datatypeOf(voxels: WritableVoxels): number {
  if (voxels instanceof Uint8Array) return 2
  if (voxels instanceof Int16Array) return 4
  return voxels instanceof Uint16Array ? 512 : 16
}

/** Encodes a NIfTI-1 file, uncompressed, little-endian; voxels in file order (x fastest), values not scaled. */
export function encodeNifti(header: Omit<NiftiHeader, 'version' | 'datatype'>, voxels: WritableVoxels): Uint8Array {
  const offset = headerBytes[1] + 4
  const bytes = Buffer.alloc(offset + voxels.byteLength)
  bytes.writeInt32LE(headerBytes[1], 0)
  const dim = [header.extents.length, ...header.extents, 1, 1, 1, 1, 1, 1, 1].slice(0, 8)
  for (const [i, extent] of dim.entries()) bytes.writeInt16LE(extent, 40 + 2 * i)
  bytes.writeInt16LE(header.intentCode, 68)
  bytes.writeInt16LE(datatypeOf(voxels), 70)
  bytes.writeInt16LE(8 * voxels.BYTES_PER_ELEMENT, 72)
  const writeFloats = (at: number, values: number[]) => {
    for (const [i, value] of values.entries()) bytes.writeFloatLE(value, at + 4 * i)
  }
  writeFloats(76, header.pixdim)
  writeFloats(108, [offset, header.slope, header.intercept])
  bytes.writeUInt8(header.units, 123)
  bytes.writeInt16LE(header.qformCode, 252)
  bytes.writeInt16LE(header.sformCode, 254)
  writeFloats(256, [...header.quaternion, ...header.qformOffset, ...header.sform.flat()])
  bytes.write('n+1\0', 344, 'latin1')
  bytes.set(new Uint8Array(voxels.buffer, voxels.byteOffset, voxels.byteLength), offset)
  return bytes
}

const compress = promisify(gzip)

/**
 * Writes a NIfTI-1 file atomically, compressed if the path ends on .gz.
 * @throws VoxgradError ERR_DISK
 */
export async function writeNifti(
  path: string,
  header: Omit<NiftiHeader, 'version' | 'datatype'>,
  voxels: WritableVoxels,
): Promise<void> {
  const bytes = encodeNifti(header, voxels)
  await writeFileAtomically(path, path.endsWith('.gz') ? await compress(bytes, { level: 6 }) : bytes)
}
