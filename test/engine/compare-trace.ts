// Compares a traced training with nnU-Net's, within the tolerances of docs/numerics.md.
import type { FloatTensor, StepTrace } from '../../src/native/binding.js'
import type { NpyArray } from '../npz.js'

export interface TraceGoldens {
  /**
   * output.LEVEL, gradient/NAME, after_1/NAME and after_STEPS/NAME; of networks with batch norm the same of running
   * statistics, and evaluated (the first batch at full resolution before the first step).
   */
  arrays: Record<string, NpyArray>
  startWeights: Record<string, FloatTensor>
  losses: number[]
  gradientNorms: number[]
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
  firstStatistics: 2e-5,
  lastStatistics: 1e-3,
  evaluated: 2e-5,
}
type Quantity = keyof typeof tolerance

/** The network's duplicate of a parameter in the state dict adds nothing; biases before a norm hold rounding noise. */
const isConvBias = (name: string) => name.endsWith('.conv.bias')
const isStatistic = (name: string) => /\.(running_mean|running_var|num_batches_tracked)$/.test(name)

/**
 * Every output, the loss, every gradient, the norms and the updates after the first and the last step.
 * @returns the largest deviations (of the loss absolute, else relative to the largest value), and those beyond tolerance
 * @throws Error if a tensor is missing or has another size
 */
export function compareTrace(
  trace: StepTrace,
  { arrays, startWeights, losses, gradientNorms }: TraceGoldens,
): { found: Partial<Record<Quantity, number>>; differences: string[] } {
  const names = Object.keys(arrays)
    .filter((key) => key.startsWith('gradient/'))
    .map((key) => key.slice(9))
  const trained = names.filter((name) => !isConvBias(name))
  const update = (after: Record<string, FloatTensor>, step: number) =>
    deviation(
      trained.map((name) => {
        const start = tensor(startWeights, name)
        const theirs = values(arrays, `after_${step}/${name}`)
        return [difference(tensor(after, name), start), difference(theirs, start)] as const
      }),
    )
  const statistics = (after: Record<string, FloatTensor>, step: number) => {
    const kinds = [/\.running_mean$/, /\.running_var$/, /\.num_batches_tracked$/].map((kind) =>
      Object.keys(arrays).filter((key) => key.startsWith(`after_${step}/`) && kind.test(key)),
    )
    return Math.max(
      ...kinds.map((keys) =>
        deviation(keys.map((key) => [tensor(after, key.slice(`after_${step}/`.length)), values(arrays, key)] as const)),
      ),
    )
  }
  const norms = gradientNorms.map((theirs, step) => Math.abs((trace.gradientNorms[step] ?? Number.NaN) / theirs - 1))
  const found: Partial<Record<Quantity, number>> = {
    output: deviation(
      trace.outputs.flatMap((output, level) =>
        output ? [[output.data, values(arrays, `output.${level}`)] as const] : [],
      ),
    ),
    loss: Math.abs((trace.losses[0] ?? Number.NaN) - (losses[0] ?? Number.NaN)),
    gradient: deviation(
      trained.map((name) => [tensor(trace.gradients, name), values(arrays, `gradient/${name}`)] as const),
    ),
    firstNorm: norms[0] ?? Number.NaN,
    laterNorms: Math.max(...norms),
    firstUpdate: update(trace.afterFirst, 1),
    lastUpdate: update(trace.afterLast, losses.length),
    ...(arrays.evaluated && {
      firstStatistics: statistics(trace.afterFirst, 1),
      lastStatistics: statistics(trace.afterLast, losses.length),
      evaluated: deviation([[trace.evaluated.data, values(arrays, 'evaluated')]]),
    }),
  }
  // nnU-Net's parameters that never receive a gradient stay as they were.
  const moved = Object.keys(trace.afterLast).filter(
    (name) =>
      !names.includes(name) &&
      !isConvBias(name) &&
      !isStatistic(name) &&
      difference(tensor(trace.afterLast, name), tensor(startWeights, name)).some((change) => change !== 0),
  )
  const beyond = (Object.entries(tolerance) as [Quantity, number][]).filter(
    ([key, limit]) => !((found[key] ?? 0) <= limit),
  )
  return {
    found,
    differences: [
      ...beyond.map(([key, limit]) => `${key}: deviates by ${found[key]}, allowed are ${limit}`),
      ...moved.map((name) => `${name}: has no gradient in nnU-Net, but was changed`),
    ],
  }
}

/** Largest |ours - theirs| over all pairs, relative to the largest |theirs| of all pairs; NaN if any number is. */
function deviation(pairs: (readonly [ArrayLike<number>, ArrayLike<number>])[]): number {
  let largestDifference = 0
  let largest = 0
  for (const [ours, theirs] of pairs) {
    if (ours.length !== theirs.length) throw new Error(`a tensor has ${ours.length} values, expected ${theirs.length}`)
    for (let i = 0; i < theirs.length; i++) {
      const distance = Math.abs((ours[i] ?? Number.NaN) - (theirs[i] ?? Number.NaN))
      if (!(distance <= largestDifference)) largestDifference = distance
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
