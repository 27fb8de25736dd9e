// TIFF files as tifffile reads and writes them: an array of two, three or more axes.
// Format: Adobe, TIFF 6.0; decoded by geotiff. Conventions on top of it: tifffile's {"shape": [...]} and ImageJ's
// description of the pages, which also tell of pages that have no directory of their own.
import { deflateSync } from 'node:zlib'
import { fromArrayBuffer, type GeoTIFFImage } from 'geotiff'
import { VoxgradError } from '../errors.js'
import { decodeElements, type ElementType } from './elements.js'
import { imageFault, saidBy } from './file-image.js'

export interface TiffArray {
  /** C order. */
  values: Float32Array
  /** (y, x), (y, x, color), (color, y, x), (z, y, x) or more axes. */
  shape: number[]
}

/** None, LZW, deflate (two codes), PackBits, Zstandard: what keeps every number. */
const losslessCompressions = [1, 5, 8, 32946, 32773, 50000]
const plainTypes: ElementType[] = ['uint8', 'int8', 'uint16', 'int16', 'uint32', 'int32', 'float32', 'float64']
const elementKinds: Record<number, string> = { 1: 'uint', 2: 'int', 3: 'float' }

/**
 * Decodes the pages of a TIFF or BigTIFF file; samples are given as stored (no palette, no inversion).
 * @param file for messages
 * @throws VoxgradError ERR_DATASET if it is damaged, of lossy compression, or its pages differ
 */
export async function decodeTiff(bytes: Uint8Array, file: string): Promise<TiffArray> {
  try {
    return await decodePages(bytes, file)
  } catch (error) {
    if (error instanceof VoxgradError) throw error
    throw imageFault(file, 'an intact TIFF file', `a damaged or unusual one${saidBy(error)}`)
  }
}

async function decodePages(bytes: Uint8Array, file: string): Promise<TiffArray> {
  checkDirectories(bytes, file)
  const tiff = await fromArrayBuffer(new Uint8Array(bytes).buffer)
  const pageCount = await tiff.getImageCount()
  const first = await tiff.getImage(0)
  const page = await describePage(first, bytes.length, file)
  const size = page.shape.reduce((product, extent) => product * extent, 1)
  const axes = stackAxes(String((await first.fileDirectory.loadValue('ImageDescription')) ?? ''), size, pageCount)
  const count = axes.reduce((product, extent) => product * extent, 1)
  if (pageCount === 1 && count > 1) {
    // All pages behind the first one's data, as ImageJ and tifffile write large files.
    if (page.compression !== 1 || page.type === undefined) {
      throw imageFault(file, `${count} pages as its description says`, '1')
    }
    const { type, offset } = page
    const encoding = { type, littleEndian: first.littleEndian, compressed: false }
    return {
      values: await decodeElements(bytes.subarray(offset), count * size, encoding, file),
      shape: [...axes, ...page.shape],
    }
  }
  if (count !== pageCount) throw imageFault(file, `${count} pages as its description says`, `${pageCount}`)
  const values = new Float32Array(size * pageCount)
  for (let index = 0; index < pageCount; index += 1) {
    const image = index === 0 ? first : await tiff.getImage(index)
    const { shape, strips } = await describePage(image, bytes.length, file)
    if (shape.join() !== page.shape.join()) {
      throw imageFault(
        file,
        `pages of ${page.shape.join(' x ')} like the first`,
        `${shape.join(' x ')} on page ${index + 1}`,
      )
    }
    values.set(
      (strips && (await plainSamples(bytes, image, strips, file))) ?? (await samplesOf(image, bytes.length, file)),
      index * size,
    )
  }
  return { values, shape: [...axes, ...page.shape] }
}

/** Bytes of a value of each type of a directory's entries, from BYTE (1) to IFD8 (18). */
const bytesOfType = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8]

/**
 * Follows the directories from page to page, as geotiff does without looking whether they come to an end, and checks that
 * their values lie within the file.
 */
function checkDirectories(bytes: Uint8Array, file: string): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const little = bytes[0] === 0x49
  const isBig = bytes.length >= 16 && view.getUint16(2, little) === 43
  const [sizeBytes, entryBytes] = isBig ? [8, 20] : [4, 12]
  const damaged = (found: string) => imageFault(file, 'an intact TIFF file', `a damaged one: ${found}`)
  const number = (at: number, width: number): number => {
    if (!(at + width <= bytes.length)) throw damaged(`it ends before byte ${at + width}`)
    if (width === 2) return view.getUint16(at, little)
    return width === 4 ? view.getUint32(at, little) : Number(view.getBigUint64(at, little))
  }
  const seen = new Set<number>()
  for (let at = number(isBig ? 8 : 4, sizeBytes); at !== 0; ) {
    if (seen.has(at)) throw damaged('its pages follow each other in a circle')
    seen.add(at)
    const entries = number(at, isBig ? 8 : 2)
    const begin = at + (isBig ? 8 : 2)
    const next = begin + entries * entryBytes
    at = number(next, sizeBytes)
    for (let entry = begin; entry < next; entry += entryBytes) {
      const width = bytesOfType[number(entry + 2, 2)] ?? 0
      const length = width * number(entry + 4, sizeBytes)
      const valueAt = length > sizeBytes ? number(entry + 4 + sizeBytes, sizeBytes) : entry
      if (!(valueAt + length <= bytes.length)) throw damaged(`tag ${number(entry, 2)} reaches beyond its end`)
    }
  }
}

/** Extents of a page and how its samples lie there. Refuses what cannot be there before memory is taken for it. */
async function describePage(image: GeoTIFFImage, available: number, file: string) {
  const directory = image.fileDirectory
  // geotiff asks for the entry, which may be left out where a sample has one bit.
  if (!directory.hasTag('BitsPerSample')) directory.actualizedFields.set(258, [1])
  const compression = Number((await directory.loadValue('Compression')) ?? 1)
  if (!losslessCompressions.includes(compression)) {
    throw imageFault(file, 'no, LZW, deflate, PackBits or Zstandard compression', `code ${compression}; convert it`)
  }
  const [height, width, samples] = [image.getHeight(), image.getWidth(), image.getSamplesPerPixel()]
  const bits = image.getBitsPerSample()
  const sizes = [height, width, samples, bits, image.getTileHeight(), image.getTileWidth()]
  if (!sizes.every((size) => Number.isInteger(size) && size > 0)) {
    throw imageFault(file, 'pages with pixels', `${width} x ${height} of ${samples} samples of ${bits} bits`)
  }
  const largestRatio = compression === 1 ? 1 : 5000
  if (!((height * width * samples * bits) / 8 <= available * largestRatio)) {
    throw imageFault(file, `data for ${width} x ${height} pixels`, `${available} bytes: it is truncated or damaged`)
  }
  const isPlanar = (await directory.loadValue('PlanarConfiguration')) === 2
  const color = samples > 1 ? [samples] : []
  const name = `${elementKinds[image.getSampleFormat()]}${bits}`
  const type = plainTypes.find((one) => one === name)
  const offsets = (await directory.loadValue('StripOffsets')) as ArrayLike<number> | undefined
  const counts = (await directory.loadValue('StripByteCounts')) as ArrayLike<number> | undefined
  const isDirect =
    !isPlanar && [1, 8, 32946].includes(compression) && ((await directory.loadValue('Predictor')) ?? 1) === 1
  const strips: Strips | undefined =
    type && offsets && counts && isDirect ? { type, compressed: compression !== 1, offsets, counts } : undefined
  return {
    compression,
    shape: isPlanar ? [...color, height, width] : [height, width, ...color],
    type,
    offset: Number(offsets?.[0] ?? 0),
    strips,
  }
}

/** Strips of plain numbers. */
interface Strips {
  type: ElementType
  compressed: boolean
  offsets: ArrayLike<number>
  counts: ArrayLike<number>
}

/**
 * All samples of a page from its strips at once, many times faster than number by number.
 * @returns undefined if the strips are not as expected: then geotiff judges
 */
async function plainSamples(
  bytes: Uint8Array,
  image: GeoTIFFImage,
  { type, compressed, offsets, counts }: Strips,
  file: string,
): Promise<Float32Array | undefined> {
  const rowSize = image.getWidth() * image.getSamplesPerPixel()
  const rows = image.getTileHeight()
  const values = new Float32Array(image.getHeight() * rowSize)
  const encoding = { type, littleEndian: image.littleEndian, compressed }
  try {
    for (let index = 0; index * rows * rowSize < values.length; index += 1) {
      const begin = Number(offsets[index])
      const stored = bytes.subarray(begin, begin + Number(counts[index]))
      const at = index * rows * rowSize
      values.set(await decodeElements(stored, Math.min(rows * rowSize, values.length - at), encoding, file), at)
    }
    return values
  } catch {
    return undefined
  }
}

/**
 * All samples of a page in the order of its shape. geotiff decodes all strips or tiles at once, however many a page claims and
 * whether or not they share their data: they are counted before.
 */
async function samplesOf(image: GeoTIFFImage, available: number, file: string): Promise<ArrayLike<number>> {
  const kind = image.isTiled ? 'Tile' : 'Strip'
  const counts = (await image.fileDirectory.loadValue(`${kind}ByteCounts`)) as ArrayLike<number> | undefined
  const grid = Math.ceil(image.getWidth() / image.getTileWidth()) * Math.ceil(image.getHeight() / image.getTileHeight())
  const needed = image.planarConfiguration === 2 ? grid * image.getSamplesPerPixel() : grid
  const found = counts?.length ?? 0
  if (found < needed) throw imageFault(file, `${needed} strips or tiles`, `${found}: it is damaged`)
  const stored = Array.from(counts as ArrayLike<number>, Number).reduce((sum, count) => sum + count, 0)
  if (stored > available)
    throw imageFault(file, 'strips or tiles that do not overlap', `${stored} bytes of them in ${available}`)
  if (image.planarConfiguration === 1) return image.readRasters({ interleave: true })
  const planes = await image.readRasters({ interleave: false })
  const size = image.getWidth() * image.getHeight()
  const values = new Float64Array(size * planes.length)
  for (const [index, plane] of planes.entries()) values.set(plane, index * size)
  return values
}

/** The axes in front of a page's own, by the description of the first page; by the number of pages if it says nothing. */
function stackAxes(description: string, pageSize: number, pageCount: number): number[] {
  const plain = pageCount === 1 ? [] : [pageCount]
  const shaped = /^\{"shape": \[([\d, ]+)\]/.exec(description)?.[1]
  if (shaped !== undefined) {
    // tifffile's shape is the whole array's: what is left of it in front of one page's numbers.
    const axes = shaped.split(',').map(Number)
    let inner = 1
    while (axes.length > 0 && inner < pageSize) inner *= axes.pop() as number
    return inner === pageSize ? axes : plain
  }
  const entries = description.startsWith('ImageJ=')
    ? ['frames', 'slices', 'channels'].map((name) => new RegExp(`^${name}=(\\d+)$`, 'm'))
    : ['SizeT', 'SizeZ', 'SizeC'].map((name) => new RegExp(`<Pixels[^>]* ${name}="(\\d+)"`))
  const axes = entries.map((entry) => Number(entry.exec(description)?.[1] ?? 1)).filter((extent) => extent > 1)
  const count = axes.reduce((product, extent) => product * extent, 1)
  const images = Number(/^images=(\d+)$/m.exec(description)?.[1] ?? pageCount)
  return axes.length > 0 && count === images ? axes : images > 1 ? [images] : plain
}

/**
 * Encodes labels as a little-endian TIFF that tifffile and nnU-Net read with the same shape, a page for each slice.
 * @param shape (y, x) or (z, y, x)
 * @throws VoxgradError ERR_DATASET beyond 4 GB
 */
export function encodeTiff(
  labels: Uint8Array | Uint16Array,
  shape: number[],
  file: string,
  options: { compressed: boolean },
): Uint8Array {
  const [height = 1, width = 1] = shape.slice(-2)
  const size = height * width
  const pages = labels.length / size
  const description = Buffer.from(`{"shape": [${shape.join(', ')}]}\0`, 'latin1')
  const header = Buffer.from([0x49, 0x49, 42, 0, 8, 0, 0, 0])
  const chunks: Uint8Array[] = [header]
  let length = header.length
  for (let page = 0; page < pages; page += 1) {
    const slice = Buffer.from(
      labels.buffer,
      labels.byteOffset + page * size * labels.BYTES_PER_ELEMENT,
      size * labels.BYTES_PER_ELEMENT,
    )
    const data = options.compressed ? deflateSync(slice) : slice
    const [short, long, ascii] = [3, 4, 2]
    const entries: [tag: number, type: number, count: number, value: number][] = [
      [256, long, 1, width],
      [257, long, 1, height],
      [258, short, 1, 8 * labels.BYTES_PER_ELEMENT],
      [259, short, 1, options.compressed ? 8 : 1],
      [262, short, 1, 1],
      [273, long, 1, 0],
      [277, short, 1, 1],
      [278, long, 1, height],
      [279, long, 1, data.length],
      [339, short, 1, 1],
    ]
    if (page === 0) entries.splice(5, 0, [270, ascii, description.length, 0])
    const directory = Buffer.alloc(2 + 12 * entries.length + 4)
    const descriptionAt = length + directory.length
    const dataAt = descriptionAt + (page === 0 ? description.length : 0)
    // Directories begin at even bytes.
    const next = dataAt + data.length + ((dataAt + data.length) & 1)
    if (next > 2 ** 32 - 1) throw imageFault(file, 'a TIFF file of at most 4 GB', 'more; use .nii.gz')
    directory.writeUInt16LE(entries.length, 0)
    for (const [index, [tag, type, count, value]] of entries.entries()) {
      const at = 2 + 12 * index
      directory.writeUInt16LE(tag, at)
      directory.writeUInt16LE(type, at + 2)
      directory.writeUInt32LE(count, at + 4)
      directory.writeUInt32LE(tag === 270 ? descriptionAt : tag === 273 ? dataAt : value, at + 8)
    }
    directory.writeUInt32LE(page === pages - 1 ? 0 : next, directory.length - 4)
    chunks.push(directory, ...(page === 0 ? [description] : []), data, Buffer.alloc(next - dataAt - data.length))
    length = next
  }
  return Buffer.concat(chunks)
}
