// The door to the native ops for the augmentation's tests.
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { NativeBinding, NativeTensor, OpArgument } from '../../src/native/binding.js'

const addon = fileURLToPath(new URL('../../build/Release/voxgrad.node', import.meta.url))
const binding = createRequire(import.meta.url)(addon) as NativeBinding

/** Calls voxgrad::name. */
export function callOp(name: string, args: OpArgument[]): NativeTensor[] {
  return binding.callOp(name, args)
}

/** Calls an op with one result. */
export function callOp1(name: string, args: OpArgument[]): NativeTensor {
  const [result] = binding.callOp(name, args)
  if (!result) throw new Error(`${name} returned nothing`)
  return result
}

/** The largest absolute difference, and how many numbers differ at all. */
export function difference(
  a: NativeTensor,
  b: { data: ArrayLike<number | bigint> },
): { largest: number; count: number } {
  let largest = 0
  let count = 0
  for (let i = 0; i < a.data.length; i++) {
    const distance = Math.abs(Number(a.data[i]) - Number(b.data[i]))
    if (!(distance === 0)) count++
    if (!(distance <= largest)) largest = distance
  }
  return { largest, count }
}
