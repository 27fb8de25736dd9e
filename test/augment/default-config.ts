// nnU-Net's default and DA5 augmentation for a 3D patch, flattened for the ops' `config` argument.
import { type AugmentationNumbers, augmentationPresets } from '../../src/config/augmentation-presets.js'
import type { AugmentationConfig } from '../../src/native/binding.js'

const thirtyDegrees = Math.PI / 6

/** For two channels. The fields are in the order in which flatten() passes them. */
function configOf({ rotationProbability, ...rest }: AugmentationNumbers): AugmentationConfig {
  return {
    enabled: true,
    dummy2d: false,
    rotationProbability,
    rotationRange: [-thirtyDegrees, thirtyDegrees],
    ...rest,
    mirrorAxes: [0, 1, 2],
    maskImage: [false, false],
  }
}

export const defaultConfig = configOf(augmentationPresets.default)
export const da5Config = configOf(augmentationPresets.da5)

/** The configuration with every transform switched off but those of `change`: what single tests need. */
export function only(config: AugmentationConfig, change: Partial<AugmentationConfig>): AugmentationConfig {
  const off = Object.keys(config)
    .filter((key) => key.endsWith('Probability') && !/Channel|Axis/.test(key))
    .map((key) => [key, 0])
  return { ...config, ...Object.fromEntries(off), mirrorAxes: [], ...change }
}

/** The fields' values as numbers, in the order in which the ops take them. */
export const flatten = (config: AugmentationConfig): number[] =>
  Object.keys(defaultConfig).flatMap((key) => [config[key as keyof AugmentationConfig]].flat().map(Number))

/** Rows of the op draw_augmentation as named columns, two channels. */
export interface Draws {
  spatial: number[]
  angles: number[][]
  scales: number[][]
  turns: number[]
  plane: number[][]
  transposed: number[]
  order: number[][]
  noise: number[]
  contrastClamped: number[]
  channels: {
    sigmas: number[][]
    median: number[]
    brightness: number[]
    additiveBrightness: number[]
    contrast: number[]
    lowResolution: number[]
    gammaInverted: number[]
    secondGammaInverted: number[]
    gamma: number[]
    rectangles: number[]
    rectangleStart: number[][]
    rectangleExtent: number[][]
    gradient: number[]
    gradientCenter: number[][]
    gradientWidth: number[][]
    localGamma: number[]
    localGammaCenter: number[][]
    localGammaWidth: number[][]
    sharpening: number[]
  }[]
  mirror: number[][]
}

/** Splits draw_augmentation's table, whose order native/augment/ops.cpp states. */
export function columns(
  table: { data: ArrayLike<number | bigint>; shape: number[] },
  channels: number,
  dimensions = 3,
): Draws {
  const [rows, width] = table.shape as [number, number]
  let next = 0
  const column = () => {
    const index = next++
    return Array.from({ length: rows }, (_, row) => Number(table.data[row * width + index]))
  }
  const several = (count: number) => Array.from({ length: count }, column)
  const perChannel = () => ({
    sigmas: several(3),
    median: column(),
    brightness: column(),
    additiveBrightness: column(),
    contrast: column(),
    lowResolution: column(),
    gammaInverted: column(),
    secondGammaInverted: column(),
    gamma: column(),
    rectangles: column(),
    rectangleStart: several(dimensions),
    rectangleExtent: several(dimensions),
    gradient: column(),
    gradientCenter: several(dimensions),
    gradientWidth: several(dimensions),
    localGamma: column(),
    localGammaCenter: several(dimensions),
    localGammaWidth: several(dimensions),
    sharpening: column(),
  })
  const general = {
    spatial: column(),
    angles: several(3),
    scales: several(3),
    turns: column(),
    plane: several(2),
    transposed: column(),
    order: several(dimensions),
    noise: column(),
    contrastClamped: column(),
  }
  const each = Array.from({ length: channels }, perChannel)
  return { ...general, channels: each, mirror: several(width - next) }
}
