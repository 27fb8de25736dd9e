// PNG images as Pillow gives them to scikit-image, and labels as gray PNG.
// Format: W3C, Portable Network Graphics (third edition); decoded and encoded by fast-png.
import { type DecodedPng, decode, encode } from 'fast-png'
import { imageFault, saidBy } from './file-image.js'
import type { Pixels } from './natural-image.js'

/** Deflate packs at most 1032 bytes into one, so a larger claim is false and is refused before memory is taken. */
const largestRatio = 1032
const headerBytes = 33

/**
 * Decodes a PNG file of any color type and depth: gray of 2 and 4 bits is spread to 0 to 255, a palette becomes RGB
 * without its transparency, colors of 16 bits keep their high byte; gray of 1, 8 and 16 bits stays as it is.
 * @param file for messages
 * @throws VoxgradError ERR_DATASET
 */
export function decodePng(bytes: Uint8Array, file: string): Pixels {
  const decoded = decodeOrRefuse(bytes, file)
  const { width, height, depth, palette } = decoded
  const samples = depth < 8 ? unpackedSamples(decoded) : decoded.data
  if (palette !== undefined) {
    const values = new Uint8Array(3 * samples.length)
    for (let i = 0; i < samples.length; i += 1) {
      const color = palette[samples[i] as number]
      if (color === undefined)
        throw imageFault(file, `colors of its palette (${palette.length})`, `color ${samples[i]}`)
      for (let c = 0; c < 3; c += 1) values[3 * i + c] = color[c] as number
    }
    return { values, width, height, channels: 3 }
  }
  const { channels } = decoded
  if (channels === 1) return { values: samples, width, height, channels }
  const colors = depth === 16 ? Uint8Array.from(samples, (value) => value >> 8) : samples
  if (channels !== 2 || depth === 8) return { values: colors, width, height, channels }
  // Gray with alpha of 16 bits: Pillow makes RGBA of it.
  const values = new Uint8Array(2 * colors.length)
  for (let i = 0; i < width * height; i += 1) {
    values.fill(colors[2 * i] as number, 4 * i, 4 * i + 3)
    values[4 * i + 3] = colors[2 * i + 1] as number
  }
  return { values, width, height, channels: 4 }
}

function decodeOrRefuse(bytes: Uint8Array, file: string): DecodedPng {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < headerBytes || view.getUint32(0) !== 0x89504e47 || view.getUint32(4) !== 0x0d0a1a0a) {
    throw imageFault(file, 'a PNG file', 'something else')
  }
  const [width, height, depth] = [view.getUint32(16), view.getUint32(20), view.getUint8(24)]
  if (!((width * height * depth) / 8 <= bytes.length * largestRatio)) {
    throw imageFault(file, `data for ${width} x ${height} pixels`, `${bytes.length} bytes: it is truncated or damaged`)
  }
  try {
    return decode(bytes, { checkCrc: true })
  } catch (error) {
    throw imageFault(file, 'an intact PNG file', `a damaged one${saidBy(error)}; copy it again`)
  }
}

/** Samples of 1, 2 or 4 bits, which lie packed in rows of whole bytes; gray of 2 and 4 bits is spread to 0 to 255. */
function unpackedSamples({ data, width, height, depth, palette }: DecodedPng): Uint8Array {
  const rowBytes = Math.ceil((width * depth) / 8)
  const largest = 2 ** depth - 1
  const factor = palette === undefined && depth > 1 ? 255 / largest : 1
  const values = new Uint8Array(width * height)
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const byte = data[y * rowBytes + ((x * depth) >> 3)] as number
      const shift = 8 - depth - ((x * depth) & 7)
      values[y * width + x] = ((byte >> shift) & largest) * factor
    }
  }
  return values
}

/** Encodes labels as gray PNG of 8 or 16 bits. */
export function encodePng(labels: Uint8Array | Uint16Array, height: number, width: number): Uint8Array {
  const depth = labels instanceof Uint8Array ? 8 : 16
  return encode({ width, height, data: labels, channels: 1, depth })
}
