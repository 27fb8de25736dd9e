// 2D images without spacing (PNG, BMP, TIFF) as nnU-Net's NaturalImage2DIO gives them: a color is a channel.
// Source of the pixel rules: scikit-image's imread, that is Pillow for PNG and BMP and tifffile for TIFF.

import { readBytes, writeFileAtomically } from '../files.js'
import { type FileImage, imageFault, sliceSpacing } from './file-image.js'
import { decodePng, encodePng } from './png.js'
import { endingOf } from './readers.js'

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

const formats: Record<string, Format> = {
  '.png': { decode: decodePng, encode: encodePng },
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
  const { values, width, height, channels } = await formatOf(path).decode(await readBytes(path, 'image'), path)
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
