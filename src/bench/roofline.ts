// Arithmetic and memory traffic of a training step, and the least time that a device needs for them. Pure functions of the
// network's numbers.
//
// A multiply-add is 2 FLOP. Only convolutions count as FLOP, all else as bytes. Backward is a gradient of the input and one
// of the weights, each with the forward's multiply-adds; the very first convolution has no gradient of its input.
// Least time: kernels run one after another, each as long as its arithmetic or its traffic takes, whichever is longer.

import type { DeviceCeilings, NetworkConfig } from '../native/binding.js'

/** What the traffic between two convolutions is taken to be. */
export const trafficModels = ['eager', 'fused', 'ideal'] as const
/**
 * eager: bias, instance norm and leaky ReLU as separate kernels with their gradients, 16 passes over a convolution's output;
 * fused: norm and activation in one kernel pair each way, without the bias that the norm cancels, 8 passes; ideal:
 * statistics and normalization inside the convolutions, 3 passes.
 */
export type TrafficModel = (typeof trafficModels)[number]

export interface StepPlan {
  network: Pick<
    NetworkConfig,
    | 'architecture'
    | 'inputChannels'
    | 'outputChannels'
    | 'featuresPerStage'
    | 'kernelSizes'
    | 'strides'
    | 'convsPerStage'
    | 'convsPerStageDecoder'
    | 'convBias'
  >
  patchSize: readonly number[]
  batchSize: number
}

/** A convolution or transposed convolution with what hangs on its output. Elements are of the whole batch. */
export interface Layer {
  name: string
  isTransposed: boolean
  multiplyAdds: number
  inputElements: number
  outputElements: number
  weights: number
  outputChannels: number
  hasBias: boolean
  hasNorm: boolean
  hasActivation: boolean
  /** The end of a residual block, where the skip is added. */
  hasAddition: boolean
  isFirst: boolean
}

export interface Roofline {
  /** The least time of a step. */
  seconds: number
  /** Of the arithmetic alone. */
  arithmeticSeconds: number
  /** Of kernels that only move data: norms, activations, loss, optimizer. */
  trafficSeconds: number
  /** Bytes of the step. */
  bytes: number
}

const product = (values: readonly number[]): number => values.reduce((result, value) => result * value, 1)

/** Every convolution of the network in the order of its forward pass. */
export function layersOf({ network, patchSize, batchSize }: StepPlan): Layer[] {
  const { featuresPerStage: features, kernelSizes, strides, convsPerStage, convsPerStageDecoder, convBias } = network
  const layers: Layer[] = []
  const at = <T>(list: readonly T[], index: number): T => list[index] as T

  interface Shape {
    from: number
    to: number
    kernel: readonly number[]
    input: readonly number[]
    output: readonly number[]
  }
  const add = (name: string, { from, to, kernel, input, output }: Shape, traits: Partial<Layer> = {}) => {
    const isTransposed = traits.isTransposed ?? false
    layers.push({
      name,
      isTransposed,
      multiplyAdds: batchSize * product(isTransposed ? input : output) * from * to * product(kernel),
      inputElements: batchSize * product(input) * from,
      outputElements: batchSize * product(output) * to,
      weights: from * to * product(kernel),
      outputChannels: to,
      hasBias: convBias,
      hasNorm: true,
      hasActivation: true,
      hasAddition: false,
      isFirst: layers.length === 0,
      ...traits,
    })
  }

  let size = [...patchSize]
  let channels = network.inputChannels
  const sizes: number[][] = []
  if (network.architecture === 'ResidualEncoderUNet') {
    add('stem', { from: channels, to: at(features, 0), kernel: at(kernelSizes, 0), input: size, output: size })
    channels = at(features, 0)
  }
  for (const [stage, to] of features.entries()) {
    const kernel = at(kernelSizes, stage)
    const output = size.map((extent, axis) => Math.ceil(extent / at(at(strides, stage), axis)))
    for (let index = 0; index < at(convsPerStage, stage); index++) {
      const input = index === 0 ? size : output
      const name = `encoder.${stage}.${index}`
      if (network.architecture === 'PlainConvUNet') add(name, { from: channels, to, kernel, input, output })
      else {
        add(`${name}.first`, { from: channels, to, kernel, input, output })
        add(`${name}.second`, { from: to, to, kernel, input: output, output }, { hasAddition: true })
        if (channels !== to) {
          const point = kernel.map(() => 1)
          const traits = { hasActivation: false, hasBias: false }
          add(`${name}.projection`, { from: channels, to, kernel: point, input: output, output }, traits)
        }
      }
      channels = to
    }
    size = output
    sizes.push(size)
  }
  for (let stage = features.length - 2; stage >= 0; stage--) {
    const to = at(features, stage)
    const output = at(sizes, stage)
    const from = at(features, stage + 1)
    const bare = { hasNorm: false, hasActivation: false }
    const up = { from, to, kernel: at(strides, stage + 1), input: at(sizes, stage + 1), output }
    add(`upsampling.${stage}`, up, { ...bare, isTransposed: true })
    channels = 2 * to
    for (let index = 0; index < at(convsPerStageDecoder, features.length - 2 - stage); index++) {
      const kernel = at(kernelSizes, stage)
      add(`decoder.${stage}.${index}`, { from: channels, to, kernel, input: output, output })
      channels = to
    }
    const kernel = output.map(() => 1)
    add(`head.${stage}`, { from: to, to: network.outputChannels, kernel, input: output, output }, bare)
  }
  return layers
}

/** Multiply-adds of the forward pass and FLOP of a whole step (the convention of model FLOP utilization). */
export function arithmeticOf(layers: readonly Layer[]): { forwardFlop: number; stepFlop: number } {
  const all = sum(layers, (layer) => layer.multiplyAdds)
  const first = sum(layers, (layer) => (layer.isFirst ? layer.multiplyAdds : 0))
  return { forwardFlop: 2 * all, stepFlop: 2 * (3 * all - first) }
}

/** Weights, biases, and weight and bias of each norm. */
export function parameterCount(layers: readonly Layer[]): number {
  return sum(
    layers,
    ({ weights, outputChannels, hasNorm, hasBias }) =>
      weights + outputChannels * ((hasNorm ? 2 : 0) + (hasBias ? 1 : 0)),
  )
}

/** Bytes of the activations that backward needs: with eager kernels each norm's input and output, else one a layer. */
export function keptBytes(layers: readonly Layer[], model: TrafficModel, elementBytes: number): number {
  return sum(layers, ({ outputElements, hasNorm, isTransposed }) => {
    const tensors = model === 'eager' ? (hasNorm ? 2 : 1) + (isTransposed ? 2 : 0) : 1
    return tensors * outputElements * elementBytes
  })
}

/**
 * The least time of a training step.
 * @param elementBytes of activations and weights: 4 in float32, 2 in half precision
 */
export function rooflineOf(
  plan: StepPlan,
  model: TrafficModel,
  { flopPerSecond, bytesPerSecond }: DeviceCeilings,
  elementBytes: number,
): Roofline {
  const layers = layersOf(plan)
  const result: Roofline = { seconds: 0, arithmeticSeconds: 0, trafficSeconds: 0, bytes: 0 }
  for (const layer of layers) {
    const { inputElements: input, outputElements: output, weights } = layer
    const flop = 2 * layer.multiplyAdds
    // Gradients of weights are written in float32.
    const kernels = [elementBytes * (input + output + weights), elementBytes * (input + output) + 4 * weights]
    if (!layer.isFirst) kernels.push(elementBytes * (input + output + weights))
    for (const bytes of kernels) {
      result.seconds += Math.max(flop / flopPerSecond, bytes / bytesPerSecond)
      result.arithmeticSeconds += flop / flopPerSecond
      result.bytes += bytes
    }
  }
  const traffic = sum(layers, (layer) => betweenBytes(layer, model, elementBytes)) + otherBytes(plan, layers, model)
  result.bytes += traffic
  result.trafficSeconds = traffic / bytesPerSecond
  result.seconds += result.trafficSeconds
  return result
}

/** Bytes of norm, activation, bias, addition and concatenation on a layer's output, forward and backward. */
function betweenBytes(layer: Layer, model: TrafficModel, elementBytes: number): number {
  const { hasBias, hasNorm, hasActivation, hasAddition, isTransposed } = layer
  const passes = {
    // bias: add 2, gradient 1; norm 3 + 5; leaky ReLU 2 + 3; addition 3 + 2; concatenation: both halves, each way
    eager:
      (hasBias ? 3 : 0) + (hasNorm ? 8 : 0) + (hasActivation ? 5 : 0) + (hasAddition ? 5 : 0) + (isTransposed ? 8 : 0),
    fused: (hasNorm ? 8 : hasBias ? 1 : 0) + (hasAddition ? 2 : 0),
    ideal: (hasNorm ? 3 : 0) + (hasAddition ? 1 : 0),
  }
  return passes[model] * layer.outputElements * elementBytes
}

/** Bytes of the loss on every head, the optimizer and casts. */
function otherBytes({ network }: StepPlan, layers: readonly Layer[], model: TrafficModel): number {
  const parameters = parameterCount(layers)
  const logits = sum(layers, ({ name, outputElements }) => (name.startsWith('head.') ? outputElements : 0))
  // float32 logits through log-softmax, softmax, one-hot, sums and their gradients; gradient norm, unscaling, clipping, SGD
  // and half-precision copies of the weights.
  if (model === 'eager') return 4 * logits * 22 + parameters * (4 + 8 + 4 + 20 + 6)
  // Half-precision logits read twice, labels of one byte twice, their gradient written once; clipping folded into SGD.
  const voxels = logits / network.outputChannels
  return logits * (2 + 2) + voxels * 2 + logits * 2 + parameters * (4 + 20 + 2)
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0)
}
