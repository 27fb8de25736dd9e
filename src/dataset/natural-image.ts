// 2D images without spacing (PNG, BMP, TIFF) as nnU-Net's NaturalImage2DIO gives them: a color is a channel.
// Source of the pixel rules: scikit-image's imread, that is Pillow for PNG and BMP and tifffile for TIFF.

import { readBytes, writeFileAtomically } from '../files.js'
import { decodeBmp, encodeBmp } from './bmp.js'
import { type FileImage, imageFault, sliceSpacing } from './file-image.js'
import { decodePng, encodePng } from './png.js'
import { endingOf } from './readers.js'
import { decodeTiff, encodeTiff } from './tiff.js'

/** Numbers of a 2D image in the order of the file: rows from the top, the channels of a pixel together. */
export interface Pixels {
  values: ArrayLike<number>
  width: number
  height: number
  channels: number
}

interface Format {
  decode(bytes: Uint8Array, file: string): Pixels | Promise<Pixels>
  encode(labels: Uint8Array | Uint16Array, height: number, width: number, file: string): Uint8Array
}

const tiff: Format = {
  decode: decodeTiffPixels,
  encode: (labels, height, width, file) => encodeTiff(labels, [height, width], file, { compressed: false }),
}
const formats: Record<string, Format> = {
  '.png': { decode: decodePng, encode: encodePng },
  '.bmp': { decode: decodeBmp, encode: encodeBmp },
  '.tif': tiff,
  '.tiff': tiff,
}

/** scikit-image's rule: three or four planes in front of (y, x) are colors, unless the last axis looks like them. */
async function decodeTiffPixels(bytes: Uint8Array, file: string): Promise<Pixels> {
  const { values, shape } = await decodeTiff(bytes, file)
  const [first = 1, second = 1, third = 1] = shape
  if (shape.length === 2) return { values, height: first, width: second, channels: 1 }
  const isColor = (extent: number) => extent === 3 || extent === 4
  if (shape.length === 3 && isColor(third)) return { values, height: first, width: second, channels: third }
  if (shape.length !== 3 || !isColor(first)) {
    throw imageFault(file, 'a 2D image of one, three or four channels', `${shape.join(' x ')}`)
  }
  const size = second * third
  const together = values.map((_, i) => values[(i % first) * size + Math.floor(i / first)] as number)
  return { values: together, height: second, width: third, channels: first }
}

function formatOf(file: string): Format {
  const format = formats[endingOf(file)]
  if (format === undefined) {
    throw imageFault(file, `a file ending of NaturalImage2DIO (${Object.keys(formats).join(', ')})`, endingOf(file))
  }
  return format
}

/**
 * Reads a gray, RGB or RGBA image.
 * @returns one slice of 1, 3 or 4 channels
 * @throws VoxgradError ERR_DATASET
 */
export async function readNaturalImage(path: string): Promise<FileImage> {
  formatOf(path)
  return decodeNaturalImage(await readBytes(path, 'image'), path)
}

/** Decodes the bytes of such a file, whose ending tells the format. Throws as readNaturalImage does. */
export async function decodeNaturalImage(bytes: Buffer, path: string): Promise<FileImage> {
  const { values, width, height, channels } = await formatOf(path).decode(bytes, path)
  if (channels !== 1 && channels !== 3 && channels !== 4) {
    throw imageFault(path, 'a gray, RGB or RGBA image', `${channels} channels; convert it`)
  }
  const planar = new Float32Array(values.length)
  const size = width * height
  for (let channel = 0; channel < channels; channel += 1) {
    for (let i = 0; i < size; i += 1) planar[channel * size + i] = values[i * channels + channel] as number
  }
  return { path, values: planar, shape: [channels, 1, height, width], spacing: [sliceSpacing, 1, 1], geometry: {} }
}

/**
 * Writes labels as a gray image, atomically.
 * @param shape (1, y, x)
 * @throws VoxgradError ERR_DATASET for labels that the format does not hold, ERR_DISK
 */
export async function writeNaturalImage(
  path: string,
  labels: Uint8Array | Uint16Array,
  [slices, height, width]: [number, number, number],
): Promise<void> {
  if (slices !== 1) throw imageFault(path, 'one slice', `${slices}`)
  await writeFileAtomically(path, formatOf(path).encode(labels, height, width, path))
}
