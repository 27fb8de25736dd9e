// How often each axis of a patch is pooled, with which kernels, and how much memory the network then takes.
// Sources: nnU-Net network_topology.py, get_pool_and_conv_props; dynamic_network_architectures unet.py,
// compute_conv_feature_map_size.
import { product } from './numpy.js'

const smallestEdge = 4

export interface Topology {
  /** Per stage, per axis. */
  strides: number[][]
  kernelSizes: number[][]
  /** The patch, padded to what the pooling divides. */
  patchSize: number[]
  /** Per axis: 2 to the power of the poolings. */
  divisors: number[]
}

/** Pools every axis while it stays at least 4 voxels wide, coarse axes only once the others have caught up. */
export function topologyOf(spacing: number[], patch: number[]): Topology {
  const axes = spacing.map((_, axis) => axis)
  const sizes = [...patch]
  const spacings = [...spacing]
  const divisors = spacing.map(() => 1)
  const kernel = spacing.map(() => 1)
  const strides = [spacing.map(() => 1)]
  const kernelSizes: number[][] = []
  const at = (values: number[], axis: number) => values[axis] as number

  for (;;) {
    const wide = axes.filter((axis) => at(sizes, axis) >= 2 * smallestEdge)
    const finest = Math.min(...wide.map((axis) => at(spacings, axis)))
    const pooled = wide.filter((axis) => at(spacings, axis) / finest < 2)
    const [only] = pooled
    if (only === undefined || (pooled.length === 1 && at(sizes, only) < 3 * smallestEdge)) break
    const finestOfAll = Math.min(...spacings)
    for (const axis of axes) if (at(spacings, axis) / finestOfAll < 2) kernel[axis] = 3
    for (const axis of pooled) {
      divisors[axis] = at(divisors, axis) * 2
      spacings[axis] = at(spacings, axis) * 2
      sizes[axis] = Math.ceil(at(sizes, axis) / 2)
    }
    strides.push(axes.map((axis) => (pooled.includes(axis) ? 2 : 1)))
    kernelSizes.push([...kernel])
  }
  kernelSizes.push(spacing.map(() => 3))
  const patchSize = axes.map((axis) => Math.ceil(at(patch, axis) / at(divisors, axis)) * at(divisors, axis))
  return { strides, kernelSizes, patchSize, divisors }
}

/** The parts of a U-Net whose outputs take memory; one number a stage. */
export interface Convolutions {
  features: number[]
  encoder: number[]
  /** Of each stage but the last, transposed convolutions not counted. */
  decoder: number[]
  /** Channels of the segmentation head. */
  outputs: number
}

/** Convolutions of an encoder stage of so many residual blocks: two a block, and the stem or the first block's shortcut. */
export const convsOfResidualBlocks = (blocks: number): number => 2 * blocks + 1

/** Elements of all convolution outputs for one patch, without deep supervision: nnU-Net's measure of a network's memory. */
export function featureMapSize({ strides, patchSize }: Topology, convolutions: Convolutions): number {
  const { features, encoder, decoder, outputs } = convolutions
  const size = [...patchSize]
  let total = 0
  for (const [stage, stride] of strides.entries()) {
    for (const [axis, factor] of stride.entries()) size[axis] = Math.floor((size[axis] as number) / factor)
    const decoded = stage < strides.length - 1
    const convs = (encoder[stage] as number) + (decoded ? (decoder[stage] as number) + 1 : 0)
    // A network of one stage has no decoder, and with it no head.
    const head = stage === 0 && decoded ? outputs : 0
    total += (convs * (features[stage] as number) + head) * product(size)
  }
  return total
}
