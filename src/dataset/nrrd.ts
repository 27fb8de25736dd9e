// NRRD files with their data inside as SimpleITK reads and writes them.
// Format: Teem, https://teem.sourceforge.net/nrrd/format.html; ITK 5.4 itkNrrdImageIO.
import { gzipSync } from 'node:zlib'
import { readBytes, writeFileAtomically } from '../files.js'
import { bytesPerElement, decodeElements, type ElementType } from './elements.js'
import { type FileImage, imageFault, spacingOfItk } from './file-image.js'
import { requireGeometry } from './metaimage.js'
import type { ItkGeometry } from './nifti-geometry.js'

const elementTypes = new Map<string, ElementType>()
const spellings: [ElementType, string][] = [
  ['int8', 'signed char, int8, int8_t'],
  ['uint8', 'uchar, unsigned char, uint8, uint8_t'],
  ['int16', 'short, short int, signed short, signed short int, int16, int16_t'],
  ['uint16', 'ushort, unsigned short, unsigned short int, uint16, uint16_t'],
  ['int32', 'int, signed int, int32, int32_t'],
  ['uint32', 'uint, unsigned int, uint32, uint32_t'],
  ['int64', 'longlong, long long, long long int, signed long long, signed long long int, int64, int64_t'],
  ['uint64', 'ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t'],
  ['float32', 'float'],
  ['float64', 'double'],
]
for (const [type, names] of spellings) for (const name of names.split(', ')) elementTypes.set(name, type)

/** What turns the axes of a space into ITK's (left, posterior, superior); spaces that are not listed stay as they are. */
const signs = new Map(
  Object.entries({
    'right-anterior-superior': [-1, -1, 1],
    ras: [-1, -1, 1],
    'left-anterior-superior': [1, -1, 1],
    las: [1, -1, 1],
  }),
)
const largestHeader = 1_000_000

/**
 * Reads an image of 2 to 4 dimensions (the fourth is the channel).
 * @throws VoxgradError ERR_DATASET
 */
export async function readNrrd(file: string): Promise<FileImage> {
  return decodeNrrd(await readBytes(file, 'image'), file)
}

/** Decodes the bytes of such a file. Throws as readNrrd does. */
export async function decodeNrrd(bytes: Buffer, file: string): Promise<FileImage> {
  const { fields, length } = parseHeader(bytes, file)
  const dimensions = Number(fields.get('dimension'))
  const extents = words(fields.get('sizes')).map(Number)
  const isExtent = (extent: number) => Number.isInteger(extent) && extent > 0
  if (!(dimensions >= 2 && dimensions <= 4) || extents.length !== dimensions || !extents.every(isExtent)) {
    throw imageFault(file, 'dimension 2 to 4 and as many sizes', `${dimensions} and ${extents.join(' x ')}`)
  }
  const type = elementTypes.get(fields.get('type')?.toLowerCase() ?? '')
  if (type === undefined) throw imageFault(file, 'a type of one number', fields.get('type') ?? 'none')
  const kinds = words(fields.get('kinds')).map((kind) => kind.toLowerCase())
  if (!kinds.every((kind) => ['domain', 'space', 'time', '???', 'none'].includes(kind))) {
    throw imageFault(file, 'one number per voxel', `kinds ${kinds.join(' ')}; write one file per channel`)
  }
  const geometry = geometryOf(fields, extents)
  requireGeometry(geometry, dimensions, file)
  const count = extents.reduce((product, extent) => product * extent, 1)
  const [x = 1, y = 1, z = 1, c = 1] = extents
  return {
    path: file,
    values: await valuesOf(bytes.subarray(length), fields, type, count, file),
    shape: [c, z, y, x],
    spacing: spacingOfItk(geometry.spacing),
    geometry: { sitk_stuff: geometry },
  }
}

const words = (text = '') => text.split(/\s+/).filter((word) => word !== '')

/** Fields up to the empty line; their names are the same with and without blanks. */
function parseHeader(bytes: Buffer, file: string): { fields: Map<string, string>; length: number } {
  const found = /^NRRD000\d\r?\n/.exec(bytes.toString('latin1', 0, 10))
  if (found === null) throw imageFault(file, 'an NRRD file', 'something else')
  const fields = new Map<string, string>()
  for (let begin = found[0].length; begin < Math.min(bytes.length, largestHeader); ) {
    const newline = bytes.indexOf(10, begin)
    const end = newline < 0 ? bytes.length : newline
    const line = bytes.toString('latin1', begin, end).trim()
    begin = end + 1
    if (line === '') return { fields, length: begin }
    const [, key, value] = /^([^:=#][^:=]*): (.*)$/.exec(line) ?? []
    if (key !== undefined && value !== undefined) fields.set(key.toLowerCase().replaceAll(' ', ''), value.trim())
  }
  throw imageFault(
    file,
    'an empty line between NRRD header and data',
    'none: the data lie elsewhere or it is truncated',
  )
}

/** Spacing, origin and direction by ITK's rules for the ways in which a header may place the image. */
function geometryOf(fields: Map<string, string>, extents: number[]): ItkGeometry {
  const axes = extents.map((_, axis) => axis)
  const vectors = [...(fields.get('spacedirections') ?? '').matchAll(/\(([^)]*)\)/g)].map(([, list = '']) =>
    list.split(',').map(Number),
  )
  if (vectors.length > 0) {
    const flips = signs.get(fields.get('space')?.toLowerCase() ?? '') ?? []
    const flipped = (vector: number[]) => vector.map((value, axis) => value * (flips[axis] ?? 1))
    const origin = /\(([^)]*)\)/
      .exec(fields.get('spaceorigin') ?? '')?.[1]
      ?.split(',')
      .map(Number)
    const spacing = vectors.map((vector) => Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0)))
    return {
      spacing,
      origin: flipped(origin ?? axes.map(() => 0)),
      direction: axes.flatMap((row) =>
        axes.map((column) => (flipped(vectors[column] ?? [])[row] ?? Number.NaN) / (spacing[column] ?? Number.NaN)),
      ),
    }
  }
  const numbers = (key: string) => (fields.has(key) ? words(fields.get(key)).map(Number) : undefined)
  const given = numbers('spacings')
  return {
    spacing: given ?? axes.map(() => 1),
    origin: axisOrigin(
      extents,
      given,
      numbers('axismins'),
      numbers('axismaxs'),
      words(fields.get('centers') ?? fields.get('centerings')),
    ),
    direction: axes.flatMap((row) => axes.map((column) => Number(row === column))),
  }
}

/** The center of the first voxel, where each axis has a minimum and a spacing or maximum; a voxel is a cell by default. */
function axisOrigin(
  extents: number[],
  spacings: number[] | undefined,
  minima: number[] | undefined,
  maxima: number[] | undefined,
  centers: string[],
): number[] {
  if (minima === undefined || (spacings ?? maxima) === undefined) return extents.map(() => 0)
  return extents.map((extent, axis) => {
    const low = minima[axis] ?? Number.NaN
    if (centers[axis] === 'node') return low
    return low + (spacings?.[axis] ?? ((maxima?.[axis] ?? Number.NaN) - low) / extent) / 2
  })
}

async function valuesOf(
  stored: Buffer,
  fields: Map<string, string>,
  type: ElementType,
  count: number,
  file: string,
): Promise<Float32Array> {
  if (fields.has('datafile'))
    throw imageFault(file, 'header and data in one file', 'data in another; convert the image')
  const encoding = fields.get('encoding')?.toLowerCase() ?? 'raw'
  const skip = [Number(fields.get('lineskip') ?? 0), Number(fields.get('byteskip') ?? 0)]
  // -1 bytes: the data are the end of the file.
  const atEnd = skip[1] === -1 && encoding === 'raw'
  if (!atEnd && skip.some((value) => value !== 0)) {
    throw imageFault(file, 'data right behind the header', `skips of ${skip.join(' and ')}; convert the image`)
  }
  if (encoding === 'ascii' || encoding === 'txt' || encoding === 'text') {
    const numbers = Float32Array.from(words(stored.toString('latin1')), Number)
    if (numbers.length === count && !numbers.some(Number.isNaN)) return numbers
    throw imageFault(file, `${count} numbers`, `${numbers.length} or words among them`)
  }
  const isGzip = encoding === 'gzip' || encoding === 'gz'
  if (!isGzip && encoding !== 'raw') {
    throw imageFault(file, 'encoding raw, gzip or ascii', `${encoding}; convert the image`)
  }
  const littleEndian = fields.get('endian')?.toLowerCase() !== 'big'
  const begin = atEnd ? Math.max(stored.length - count * bytesPerElement(type), 0) : 0
  return decodeElements(stored.subarray(begin), count, { type, littleEndian, compressed: isGzip }, file)
}

/**
 * Writes labels compressed, as SimpleITK would.
 * @param shape (z, y, x)
 * @throws VoxgradError ERR_DISK
 */
export async function writeNrrd(
  file: string,
  labels: Uint8Array | Uint16Array,
  shape: [number, number, number],
  { spacing, origin, direction }: ItkGeometry,
): Promise<void> {
  const dimensions = spacing.length
  const vector = (values: number[]) => `(${values.join(',')})`
  const axes = spacing.map((extent, column) =>
    vector(spacing.map((_, row) => extent * (direction[row * dimensions + column] ?? 0))),
  )
  const header = [
    'NRRD0004',
    `type: ${labels instanceof Uint8Array ? 'unsigned char' : 'unsigned short'}`,
    `dimension: ${dimensions}`,
    dimensions === 3 ? 'space: left-posterior-superior' : `space dimension: ${dimensions}`,
    `sizes: ${[...shape].reverse().slice(0, dimensions).join(' ')}`,
    `space directions: ${axes.join(' ')}`,
    `kinds: ${spacing.map(() => 'domain').join(' ')}`,
    'endian: little',
    'encoding: gzip',
    `space origin: ${vector(origin)}\n\n`,
  ].join('\n')
  const data = gzipSync(new Uint8Array(labels.buffer, labels.byteOffset, labels.byteLength))
  await writeFileAtomically(file, Buffer.concat([Buffer.from(header, 'latin1'), data]))
}
