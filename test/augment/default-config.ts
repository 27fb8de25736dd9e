// nnU-Net's default augmentation for a 3D patch, flattened for the ops' `config` argument.
import type { AugmentationConfig } from '../../src/native/binding.js'

const thirtyDegrees = Math.PI / 6

export const defaultConfig: AugmentationConfig = {
  enabled: true,
  dummy2d: false,
  rotationProbability: 0.2,
  rotationRange: [-thirtyDegrees, thirtyDegrees],
  scalingProbability: 0.2,
  scalingRange: [0.7, 1.4],
  noiseProbability: 0.1,
  noiseStandardDeviation: [0, 0.1],
  blurProbability: 0.2,
  blurSigma: [0.5, 1],
  blurChannelProbability: 0.5,
  brightnessProbability: 0.15,
  brightnessRange: [0.75, 1.25],
  contrastProbability: 0.15,
  contrastRange: [0.75, 1.25],
  lowResolutionProbability: 0.25,
  lowResolutionScale: [0.5, 1],
  lowResolutionChannelProbability: 0.5,
  gammaInvertedProbability: 0.1,
  gammaProbability: 0.3,
  gammaRange: [0.7, 1.5],
  mirrorAxes: [0, 1, 2],
  maskImage: [false, false],
}

/** Every transform off: what single tests switch on. */
export const nothing: AugmentationConfig = {
  ...defaultConfig,
  rotationProbability: 0,
  scalingProbability: 0,
  noiseProbability: 0,
  blurProbability: 0,
  brightnessProbability: 0,
  contrastProbability: 0,
  lowResolutionProbability: 0,
  gammaInvertedProbability: 0,
  gammaProbability: 0,
  mirrorAxes: [],
}

/** The fields' values in order, as numbers. */
export const flatten = (config: AugmentationConfig): number[] => Object.values(config).flat().map(Number)

/** Rows of the op draw_augmentation as named columns, two channels. */
export interface Draws {
  spatial: number[]
  angles: number[][]
  scale: number[]
  noise: number[]
  channels: {
    sigmas: number[][]
    brightness: number[]
    contrast: number[]
    lowResolution: number[]
    gammaInverted: number[]
    gamma: number[]
  }[]
  mirror: number[][]
}

/** Splits draw_augmentation's table, whose order native/augment/ops.cpp states. */
export function columns(table: { data: ArrayLike<number | bigint>; shape: number[] }, channels: number): Draws {
  const [rows, width] = table.shape as [number, number]
  let next = 0
  const column = () => {
    const index = next++
    return Array.from({ length: rows }, (_, row) => Number(table.data[row * width + index]))
  }
  const three = () => [column(), column(), column()]
  const perChannel = () => ({
    sigmas: three(),
    brightness: column(),
    contrast: column(),
    lowResolution: column(),
    gammaInverted: column(),
    gamma: column(),
  })
  const general = { spatial: column(), angles: three(), scale: column(), noise: column() }
  const each = Array.from({ length: channels }, perChannel)
  return { ...general, channels: each, mirror: Array.from({ length: width - next }, column) }
}
