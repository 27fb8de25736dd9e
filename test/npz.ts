// Reads NumPy's .npz and .npy files: the form of the golden data.
import { readFileSync } from 'node:fs'
import { unzipSync } from 'fflate'

export type NpyData =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | BigInt64Array

export interface NpyArray {
  data: NpyData
  shape: number[]
}

const types: Record<string, new (buffer: ArrayBuffer) => NpyData> = {
  '<f4': Float32Array,
  '<f8': Float64Array,
  '|i1': Int8Array,
  '|u1': Uint8Array,
  '|b1': Uint8Array,
  '<i2': Int16Array,
  '<u2': Uint16Array,
  '<i4': Int32Array,
  '<i8': BigInt64Array,
}

/** Decodes one .npy file. Arrays in Fortran order and types without a typed array are refused. */
export function decodeNpy(bytes: Uint8Array): NpyArray {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const [start, length] = view.getUint8(6) === 1 ? [10, view.getUint16(8, true)] : [12, view.getUint32(8, true)]
  const header = new TextDecoder('latin1').decode(bytes.subarray(start, start + length))
  const type = /'descr': '([^']*)'/.exec(header)?.[1] ?? ''
  const dimensions = /'shape': \(([^)]*)\)/.exec(header)?.[1] ?? ''
  const shape = dimensions.split(',').flatMap((text) => (text.trim() === '' ? [] : [Number(text)]))
  const TypedArray = types[type]
  if (!TypedArray) throw new Error(`npy: type ${type} is not supported`)
  if (header.includes("'fortran_order': True") && shape.length > 1) throw new Error('npy: array in Fortran order')
  return { data: new TypedArray(bytes.slice(start + length).buffer), shape }
}

/** All arrays of an .npz file by name. */
export function readNpz(path: string): Record<string, NpyArray> {
  const files = Object.entries(unzipSync(readFileSync(path)))
  return Object.fromEntries(files.map(([name, bytes]) => [name.replace(/\.npy$/, ''), decodeNpy(bytes)]))
}
