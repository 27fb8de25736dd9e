// The door to the native ops for the augmentation's tests.
import type { NativeTensor, OpArgument } from '../../src/native/binding.js'
import { native } from '../../src/native/load.js'

/** Calls voxgrad::name. */
export function callOp(name: string, args: OpArgument[]): NativeTensor[] {
  return native().callOp(name, args)
}

/** Calls an op with one result. */
export function callOp1(name: string, args: OpArgument[]): NativeTensor {
  const [result] = native().callOp(name, args)
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
