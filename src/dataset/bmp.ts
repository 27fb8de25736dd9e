// BMP images as Pillow gives them to scikit-image, and labels as gray BMP of 8 bits.
// Format: Microsoft, Bitmap Storage (BITMAPINFOHEADER and its successors).
import { imageFault } from './file-image.js'
import type { Pixels } from './natural-image.js'

const fileHeaderBytes = 14
const infoHeaderBytes = 40
/** BI_RGB and BI_BITFIELDS: the two ways of storing pixels that are not compressed. */
const uncompressed = 0
const bitFields = 3
const usualMasks = [0xff0000, 0xff00, 0xff]

/**
 * Decodes a BMP file of 1, 4, 8, 24 or 32 bits a pixel that is not compressed. A gray palette (black and white of 1 bit, or
 * one whose entries rise evenly, of 8 bits) gives its indices, any other palette RGB; 32 bits give RGBA where the header
 * names an alpha mask, else RGB.
 * @param file for messages
 * @throws VoxgradError ERR_DATASET
 */
export function decodeBmp(bytes: Uint8Array, file: string): Pixels {
  const header = readHeader(bytes, file)
  return header.bits <= 8 ? indexedPixels(bytes, header, file) : coloredPixels(bytes, header)
}

interface Header {
  width: number
  height: number
  topDown: boolean
  bits: number
  /** Where the pixels begin, and the bytes of a row, which are filled up to four. */
  offset: number
  rowBytes: number
  hasAlpha: boolean
  /** Blue, green, red and a filler for each color. */
  palette: Uint8Array
}

function readHeader(bytes: Uint8Array, file: string): Header {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < fileHeaderBytes + infoHeaderBytes || view.getUint16(0) !== 0x424d) {
    throw imageFault(file, 'a BMP file', 'something else')
  }
  const long = (at: number) => view.getUint32(at, true)
  const headerBytes = long(14)
  const signedHeight = view.getInt32(22, true)
  const [width, height] = [view.getInt32(18, true), Math.abs(signedHeight)]
  const bits = view.getUint16(28, true)
  const compression = long(30)
  if (headerBytes < infoHeaderBytes || ![1, 4, 8, 24, 32].includes(bits)) {
    throw imageFault(
      file,
      '1, 4, 8, 24 or 32 bits a pixel',
      `${bits} (header of ${headerBytes} bytes); convert it to PNG`,
    )
  }
  // From version 3 of the header on the masks are part of it; before they follow it.
  const masksAt = fileHeaderBytes + infoHeaderBytes
  const hasMasks = compression === bitFields && bits === 32 && bytes.length >= masksAt + 16
  const masksAreUsual = hasMasks && usualMasks.every((mask, i) => long(masksAt + 4 * i) === mask)
  if (compression !== uncompressed && !masksAreUsual) {
    throw imageFault(file, 'uncompressed pixels of usual masks', `compression ${compression}; convert it to PNG`)
  }
  const offset = long(10)
  const rowBytes = Math.ceil((width * bits) / 32) * 4
  const needed = offset + rowBytes * height
  if (!(width > 0 && height > 0 && needed <= bytes.length)) {
    throw imageFault(
      file,
      `${needed} bytes for ${width} x ${height} pixels`,
      `${bytes.length}: it is truncated or damaged`,
    )
  }
  const paletteAt = fileHeaderBytes + headerBytes
  const colors = bits > 8 ? 0 : long(46) || 2 ** bits
  return {
    width,
    height,
    topDown: signedHeight < 0,
    bits,
    offset,
    rowBytes,
    hasAlpha: hasMasks && headerBytes > infoHeaderBytes && long(masksAt + 12) === 0xff000000,
    palette: bytes.subarray(paletteAt, paletteAt + 4 * colors),
  }
}

/** The byte at which a row begins; rows usually lie from the bottom up. */
function rowOffset({ topDown, height, offset, rowBytes }: Header, y: number): number {
  return offset + rowBytes * (topDown ? y : height - 1 - y)
}

function indexedPixels(bytes: Uint8Array, header: Header, file: string): Pixels {
  const { width, height, bits, palette } = header
  const colors = palette.length >> 2
  const gray = isGray(palette, bits)
  const channels = gray ? 1 : 3
  const values = new Uint8Array(width * height * channels)
  for (let y = 0; y < height; y += 1) {
    const row = rowOffset(header, y)
    for (let x = 0; x < width; x += 1) {
      const shift = 8 - bits - ((x * bits) & 7)
      const index = ((bytes[row + ((x * bits) >> 3)] as number) >> shift) & (2 ** bits - 1)
      const at = (y * width + x) * channels
      if (gray) values[at] = index
      else if (index >= colors) throw imageFault(file, `colors of its palette (${colors})`, `color ${index}`)
      else for (let c = 0; c < 3; c += 1) values[at + c] = palette[4 * index + 2 - c] as number
    }
  }
  return { values, width, height, channels }
}

/** Pillow's rule: 0 and 255 (two colors), or every color as gray as its index (256 colors). */
function isGray(palette: Uint8Array, bits: number): boolean {
  const colors = palette.length >> 2
  const expected = (index: number) => (colors === 2 ? 255 * index : index)
  if (bits === 4 || (bits === 1 && colors !== 2)) return false
  for (let index = 0; index < colors; index += 1) {
    for (let c = 0; c < 3; c += 1) if (palette[4 * index + c] !== expected(index)) return false
  }
  return true
}

function coloredPixels(bytes: Uint8Array, header: Header): Pixels {
  const { width, height, bits, hasAlpha } = header
  const stored = bits / 8
  const channels = hasAlpha ? 4 : 3
  const values = new Uint8Array(width * height * channels)
  for (let y = 0; y < height; y += 1) {
    const row = rowOffset(header, y)
    for (let x = 0; x < width; x += 1) {
      const [from, to] = [row + x * stored, (y * width + x) * channels]
      for (let c = 0; c < 3; c += 1) values[to + c] = bytes[from + 2 - c] as number
      if (hasAlpha) values[to + 3] = bytes[from + 3] as number
    }
  }
  return { values, width, height, channels }
}

/**
 * Encodes labels as a gray BMP of 8 bits.
 * @throws VoxgradError ERR_DATASET for labels of 255 and more, which the format does not hold
 */
export function encodeBmp(labels: Uint8Array | Uint16Array, height: number, width: number, file: string): Uint8Array {
  if (labels instanceof Uint16Array) throw imageFault(file, 'labels below 255 for BMP', 'larger ones; use PNG')
  const rowBytes = Math.ceil(width / 4) * 4
  const offset = fileHeaderBytes + infoHeaderBytes + 4 * 256
  const bytes = Buffer.alloc(offset + rowBytes * height)
  bytes.write('BM', 0, 'latin1')
  bytes.writeUInt32LE(bytes.length, 2)
  bytes.writeUInt32LE(offset, 10)
  bytes.writeUInt32LE(infoHeaderBytes, 14)
  bytes.writeInt32LE(width, 18)
  bytes.writeInt32LE(height, 22)
  bytes.writeUInt16LE(1, 26)
  bytes.writeUInt16LE(8, 28)
  bytes.writeUInt32LE(256, 46)
  for (let index = 0; index < 256; index += 1) {
    const color = fileHeaderBytes + infoHeaderBytes + 4 * index
    bytes.fill(index, color, color + 3)
  }
  for (let y = 0; y < height; y += 1) {
    bytes.set(labels.subarray(y * width, (y + 1) * width), offset + rowBytes * (height - 1 - y))
  }
  return bytes
}
