// MetaImage files (.mha, .mhd with its data beside it) as SimpleITK reads and writes them.
// Format: MetaIO, https://itk.org/Wiki/ITK/MetaIO/Documentation; ITK 5.4 itkMetaImageIO.
import path from 'node:path'
import { deflateSync } from 'node:zlib'
import { readBytes, writeFileAtomically } from '../files.js'
import { isPlainName } from '../names.js'
import { decodeElements, type ElementType } from './elements.js'
import { type FileImage, imageFault, spacingOfItk } from './file-image.js'
import type { ItkGeometry } from './nifti-geometry.js'

const elementTypes = new Map<string, ElementType>(
  Object.entries({
    MET_CHAR: 'int8',
    MET_UCHAR: 'uint8',
    MET_SHORT: 'int16',
    MET_USHORT: 'uint16',
    MET_INT: 'int32',
    MET_UINT: 'uint32',
    MET_LONG: 'int32',
    MET_ULONG: 'uint32',
    MET_LONG_LONG: 'int64',
    MET_ULONG_LONG: 'uint64',
    MET_FLOAT: 'float32',
    MET_DOUBLE: 'float64',
  }),
)

/** The last entry of a header; what follows its line is the data, if it says so. */
const lastKey = 'ElementDataFile'
const longestHeader = 100_000

/**
 * Reads an image of 2 to 4 dimensions (the fourth is the channel).
 * @throws VoxgradError ERR_DATASET
 */
export async function readMetaImage(file: string): Promise<FileImage> {
  return decodeMetaImage(await readBytes(file, 'image'), file)
}

/** Decodes the bytes of such a file; data beside it are read. Throws as readMetaImage does. */
export async function decodeMetaImage(bytes: Buffer, file: string): Promise<FileImage> {
  const { header, length } = parseHeader(bytes, file)
  const flag = (...keys: string[]) => keys.some((key) => header.get(key)?.toLowerCase() === 'true')
  const numbers = (...keys: string[]) => {
    const text = keys.map((key) => header.get(key)).find((value) => value !== undefined)
    return text?.split(/[\s,]+/).map(Number)
  }
  const dimensions = Number(header.get('NDims'))
  const extents = numbers('DimSize') ?? []
  if (!(dimensions >= 2 && dimensions <= 4) || extents.length !== dimensions || !extents.every(isExtent)) {
    throw imageFault(file, 'NDims of 2 to 4 and as many extents in DimSize', `${dimensions} and ${extents.join(' x ')}`)
  }
  const type = elementTypes.get(header.get('ElementType') ?? '')
  if (type === undefined) throw imageFault(file, 'ElementType of one number', header.get('ElementType') ?? 'none')
  const channels = Number(header.get('ElementNumberOfChannels') ?? 1)
  if (channels !== 1) throw imageFault(file, 'one number per voxel', `${channels}; write one file per channel`)
  if (header.has('BinaryData') && !flag('BinaryData')) {
    throw imageFault(file, 'binary data', 'numbers as text; convert the image')
  }
  const geometry: ItkGeometry = {
    spacing: numbers('ElementSpacing', 'ElementSize') ?? extents.map(() => 1),
    origin: numbers('Offset', 'Position', 'Origin') ?? extents.map(() => 0),
    direction: transposed(numbers('TransformMatrix', 'Rotation', 'Orientation') ?? identity(dimensions), dimensions),
  }
  requireGeometry(geometry, dimensions, file)
  const count = extents.reduce((product, extent) => product * extent, 1)
  const values = await decodeElements(
    await dataOf(file, bytes, header, length),
    count,
    { type, littleEndian: !flag('BinaryDataByteOrderMSB', 'ElementByteOrderMSB'), compressed: flag('CompressedData') },
    file,
  )
  const [x = 1, y = 1, z = 1, c = 1] = extents
  return {
    path: file,
    values,
    shape: [c, z, y, x],
    spacing: spacingOfItk(geometry.spacing),
    geometry: { sitk_stuff: geometry },
  }
}

const isExtent = (extent: number) => Number.isInteger(extent) && extent > 0

function parseHeader(bytes: Buffer, file: string): { header: Map<string, string>; length: number } {
  const header = new Map<string, string>()
  for (let begin = 0; begin < Math.min(bytes.length, longestHeader); ) {
    const newline = bytes.indexOf(10, begin)
    const end = newline < 0 ? bytes.length : newline
    const [, key = '', value = ''] = /^\s*(\w+)\s*=\s*(.*?)\s*$/.exec(bytes.toString('latin1', begin, end)) ?? []
    header.set(key, value)
    begin = end + 1
    if (key === lastKey) return { header, length: begin }
    if (key === '') break
  }
  throw imageFault(file, `a MetaImage header that ends on ${lastKey}`, 'something else')
}

async function dataOf(file: string, bytes: Buffer, header: Map<string, string>, headerLength: number): Promise<Buffer> {
  const beside = dataFileIn(header, file)
  const stored = beside === undefined ? bytes.subarray(headerLength) : await readBytes(beside, 'image')
  const skip = Number(header.get('HeaderSize') ?? 0)
  if (skip === 0) return stored
  throw imageFault(file, 'no HeaderSize', `${skip}; convert the image to .mha`)
}

function dataFileIn(header: Map<string, string>, file: string): string | undefined {
  const name = header.get(lastKey) ?? ''
  if (name.toUpperCase() === 'LOCAL') return undefined
  if (isPlainName(name) && name !== 'LIST' && !name.includes('%')) return path.join(path.dirname(file), name)
  throw imageFault(file, `${lastKey} of LOCAL or one file name`, `"${name}"; convert the image to .mha`)
}

/** The file that holds the data of a header, undefined where they are in it. Throws ERR_DATASET. */
export async function dataFileOf(file: string): Promise<string | undefined> {
  return dataFileIn(parseHeader(await readBytes(file, 'image'), file).header, file)
}

const identity = (size: number) => Array.from({ length: size * size }, (_, i) => Number(i % (size + 1) === 0))

/** MetaImage lists the axes one by one, ITK's direction has them as columns. */
function transposed(matrix: number[], size: number): number[] {
  return matrix.map((_, i) => matrix[(i % size) * size + Math.floor(i / size)] ?? Number.NaN)
}

/** Refuses a geometry that is not complete, not finite or without positive spacing. */
export function requireGeometry({ spacing, origin, direction }: ItkGeometry, dimensions: number, file: string): void {
  const isComplete =
    spacing.length === dimensions && origin.length === dimensions && direction.length === dimensions ** 2
  if (isComplete && [...spacing, ...origin, ...direction].every(Number.isFinite) && spacing.every((one) => one > 0)) {
    return
  }
  throw imageFault(
    file,
    `spacing, origin and direction of ${dimensions} axes`,
    `${spacing.join(' ')}; ${origin.join(' ')}; ${direction.join(' ')}; correct the header`,
  )
}

/**
 * Writes labels compressed, as SimpleITK would: .mha in one file, .mhd with the data in a .zraw file beside it.
 * @param shape (z, y, x)
 * @throws VoxgradError ERR_DISK
 */
export async function writeMetaImage(
  file: string,
  labels: Uint8Array | Uint16Array,
  shape: [number, number, number],
  { spacing, origin, direction }: ItkGeometry,
): Promise<void> {
  const dimensions = spacing.length
  const data = deflateSync(new Uint8Array(labels.buffer, labels.byteOffset, labels.byteLength))
  const isLocal = !file.toLowerCase().endsWith('.mhd')
  const dataFile = file.replace(/\.[^.]*$/, '.zraw')
  const header = [
    'ObjectType = Image',
    `NDims = ${dimensions}`,
    'BinaryData = True',
    'BinaryDataByteOrderMSB = False',
    'CompressedData = True',
    `CompressedDataSize = ${data.length}`,
    `TransformMatrix = ${transposed(direction, dimensions).join(' ')}`,
    `Offset = ${origin.join(' ')}`,
    `CenterOfRotation = ${origin.map(() => 0).join(' ')}`,
    `ElementSpacing = ${spacing.join(' ')}`,
    `DimSize = ${[...shape].reverse().slice(0, dimensions).join(' ')}`,
    `ElementType = ${labels instanceof Uint8Array ? 'MET_UCHAR' : 'MET_USHORT'}`,
    `${lastKey} = ${isLocal ? 'LOCAL' : path.basename(dataFile)}\n`,
  ].join('\n')
  if (!isLocal) await writeFileAtomically(dataFile, data)
  await writeFileAtomically(file, isLocal ? Buffer.concat([Buffer.from(header, 'latin1'), data]) : header)
}
