// Compares a traced training with nnU-Net's goldens, within the tolerances of docs/numerics.md.
import { expect } from 'vitest'
import type { FloatTensor, StepTrace } from '../../src/native/binding.js'
import type { NpyArray } from '../npz.js'

export interface TraceGoldens {
  arrays: Record<string, NpyArray>
  startWeights: Record<string, FloatTensor>
  losses: number[]
  gradientNorms: number[]
  steps: number
}

// Norms of later steps drift with the weights, as the updates do.
const tolerance = {
  output: 2e-5,
  loss: 1e-5,
  gradient: 2e-5,
  firstNorm: 2e-5,
  laterNorms: 1e-3,
  firstUpdate: 2e-4,
  lastUpdate: 1e-3,
}

/** The network's duplicate of a parameter in the state dict adds nothing; biases before a norm hold rounding noise. */
const isConvBias = (name: string) => name.endsWith('.conv.bias')

/** Expects every output, loss, gradient and update to agree; returns the largest relative deviations. */
export function expectSameTrace(trace: StepTrace, goldens: TraceGoldens): Record<string, number> {
  const { arrays } = goldens
  const outputs = deviation(
    trace.outputs.flatMap((output, level) =>
      output ? [[output.data, values(arrays, `output.${level}`)] as const] : [],
    ),
  )
  const loss = Math.abs((trace.losses[0] ?? Number.NaN) - (goldens.losses[0] ?? Number.NaN))
  const names = Object.keys(arrays)
    .filter((key) => key.startsWith('gradient/'))
    .map((key) => key.slice(9))
  const trained = names.filter((name) => !isConvBias(name))
  const gradients = deviation(
    trained.map((name) => [tensor(trace.gradients, name), values(arrays, `gradient/${name}`)] as const),
  )
  const update = (after: Record<string, FloatTensor>, key: string) =>
    deviation(
      trained.map((name) => {
        const start = tensor(goldens.startWeights, name)
        return [difference(tensor(after, name), start), difference(values(arrays, `${key}/${name}`), start)] as const
      }),
    )
  const firstUpdate = update(trace.afterFirst, 'after_1')
  const lastUpdate = update(trace.afterLast, `after_${goldens.steps}`)
  const norms = goldens.gradientNorms.map((theirs, step) =>
    Math.abs((trace.gradientNorms[step] ?? Number.NaN) / theirs - 1),
  )
  const found = {
    output: outputs,
    loss,
    gradient: gradients,
    firstNorm: norms[0] ?? Number.NaN,
    laterNorms: Math.max(...norms),
    firstUpdate,
    lastUpdate,
  }
  for (const [key, limit] of Object.entries(tolerance)) {
    expect(found[key as keyof typeof found], key).toBeLessThanOrEqual(limit)
  }
  // nnU-Net's parameters that never receive a gradient stay as they were.
  const untouched = Object.keys(trace.afterLast).filter((name) => !names.includes(name) && !isConvBias(name))
  for (const name of untouched) expect(tensor(trace.afterLast, name), name).toEqual(tensor(goldens.startWeights, name))
  return found
}

/** Largest |ours - theirs| over all pairs, relative to the largest |theirs| of all pairs. */
function deviation(pairs: (readonly [ArrayLike<number>, ArrayLike<number>])[]): number {
  let largestDifference = 0
  let largest = 0
  for (const [ours, theirs] of pairs) {
    expect(ours.length).toBe(theirs.length)
    for (let i = 0; i < theirs.length; i++) {
      const difference = Math.abs((ours[i] ?? Number.NaN) - (theirs[i] ?? Number.NaN))
      if (!(difference <= largestDifference)) largestDifference = difference
      largest = Math.max(largest, Math.abs(theirs[i] ?? 0))
    }
  }
  return largestDifference / largest
}

function values(arrays: Record<string, NpyArray>, name: string): Float32Array {
  const array = arrays[name]
  if (!array) throw new Error(`the goldens lack ${name}`)
  return array.data as Float32Array
}

function tensor(tensors: Record<string, FloatTensor>, name: string): Float32Array {
  const found = tensors[name]
  if (!found) throw new Error(`there is no tensor ${name}`)
  return found.data
}

function difference(a: Float32Array, b: Float32Array): Float64Array {
  return Float64Array.from(a, (value, i) => value - (b[i] ?? Number.NaN))
}
