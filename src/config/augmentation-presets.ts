// The augmentation's numbers, one table a preset: those of nnU-Net's get_training_transforms.
import type { AugmentationConfig } from '../native/binding.js'

/** What does not follow from the plans. */
export type AugmentationNumbers = Omit<
  AugmentationConfig,
  'enabled' | 'dummy2d' | 'rotationRange' | 'mirrorAxes' | 'maskImage'
>

/** nnUNetTrainer's chain. What it lacks has probability 0, and the values of da5 for who asks for it. */
const standard: AugmentationNumbers = {
  rotationProbability: 0.2,
  rotationAxisProbability: 1,
  scalingProbability: 0.2,
  scalingRange: [0.7, 1.4],
  scalingPerAxis: false,
  nearestImage: false,
  nearestLabels: false,
  quarterTurnProbability: 0,
  transposeProbability: 0,
  noiseProbability: 0.1,
  noiseStandardDeviation: [0, 0.1],
  noiseAfterBlur: false,
  blurProbability: 0.2,
  blurSigma: [0.5, 1],
  blurSigmaPerAxis: true,
  blurChannelProbability: 0.5,
  medianFilterProbability: 0,
  medianFilterSize: [2, 7],
  medianFilterChannelProbability: 0.5,
  brightnessProbability: 0.15,
  brightnessRange: [0.75, 1.25],
  additiveBrightnessProbability: 0,
  additiveBrightnessDeviation: 0.5,
  additiveBrightnessChannelProbability: 0.5,
  contrastProbability: 0.15,
  unclampedContrastProbability: 0,
  contrastRange: [0.75, 1.25],
  contrastChannelProbability: 1,
  lowResolutionProbability: 0.25,
  lowResolutionScale: [0.5, 1],
  lowResolutionChannelProbability: 0.5,
  gammaInvertedProbability: 0.1,
  secondGammaInvertedProbability: 0,
  gammaProbability: 0.3,
  gammaRange: [0.7, 1.5],
  blankRectangleProbability: 0,
  blankRectangleCount: [1, 4],
  blankRectangleChannelProbability: 0.5,
  brightnessGradientProbability: 0,
  brightnessGradientStrength: [1, 5],
  brightnessGradientChannelProbability: 0.5,
  localGammaProbability: 0,
  localGammaBelow: [0.01, 0.8],
  localGammaAbove: [1.5, 4],
  localGammaChannelProbability: 0.5,
  sharpeningProbability: 0,
  sharpeningStrength: [0.1, 1],
  sharpeningChannelProbability: 0.5,
  previousOperatorProbability: 0.4,
  previousOperatorLabelProbability: 0.5,
  previousOperatorRadius: [1, 8],
  previousRemovalProbability: 0.2,
  previousRemovalLabelProbability: 0.5,
  previousRemovalShare: 0.15,
}

/** nnUNetTrainerDA5's chain. */
const da5: AugmentationNumbers = {
  ...standard,
  rotationProbability: 0.4,
  rotationAxisProbability: 0.5,
  scalingRange: [0.7, 1.43],
  scalingPerAxis: true,
  quarterTurnProbability: 0.5,
  transposeProbability: 0.5,
  noiseAfterBlur: true,
  // One of the two is chosen and then acts with probability 0.2; the two kinds of contrast likewise.
  blurProbability: 0.1,
  medianFilterProbability: 0.1,
  blurSigma: [0.3, 1.5],
  blurSigmaPerAxis: false,
  brightnessProbability: 0,
  additiveBrightnessProbability: 0.1,
  contrastProbability: 0.1,
  unclampedContrastProbability: 0.1,
  contrastRange: [0.5, 2],
  contrastChannelProbability: 0.5,
  lowResolutionProbability: 0.15,
  lowResolutionScale: [0.25, 1],
  // Both inverted, as nnU-Net has it.
  secondGammaInvertedProbability: 0.1,
  gammaProbability: 0,
  blankRectangleProbability: 0.4,
  brightnessGradientProbability: 0.3,
  localGammaProbability: 0.3,
  sharpeningProbability: 0.2,
  previousOperatorLabelProbability: 1,
  previousRemovalLabelProbability: 1,
}

/** The numbers of each preset; with none they are not used. */
export const augmentationPresets = {
  default: standard,
  none: standard,
  'no-mirroring': standard,
  'only-mirror-01': standard,
  da5,
} as const
export type AugmentationPreset = keyof typeof augmentationPresets

/** The spatial axes that training mirrors and prediction averages over, of a patch with so many. */
export function mirrorAxesOf(preset: AugmentationPreset, dimensions: number): number[] {
  if (preset === 'none' || preset === 'no-mirroring') return []
  const all = Array.from({ length: dimensions }, (_, axis) => axis)
  return preset === 'only-mirror-01' ? all.slice(0, -1) : all
}

/** nnU-Net's smallest zoom for which the patch that is cut must still suffice; it is not the augmentation's own range. */
export const smallestZoom = (preset: AugmentationPreset): number => (preset === 'da5' ? 0.7 : 0.85)

/** Extents below it leave da5's rectangles and bumps no size to have; nnU-Net fails on them. */
export const smallestDa5Extent = 6
