// Preprocessed cases for tests of the engine, and a network that trains on them in milliseconds.
import { native } from '../../src/native/load.js'
import { type NetworkShape, trainerConfig } from './trainer-config.js'

export const smallShape: NetworkShape = {
  featuresPerStage: [2, 4],
  kernelSizes: [
    [3, 3, 3],
    [3, 3, 3],
  ],
  strides: [
    [1, 1, 1],
    [2, 2, 2],
  ],
  inputChannels: 1,
  outputChannels: 3,
  patchSize: [8, 8, 8],
  batchSize: 2,
  batchDice: false,
  deepSupervisionWeights: [1],
}

export const smallConfig = trainerConfig(smallShape)

/** Writes a case of 12^3 voxels with two labels into a folder, its intensities as they are. */
export async function writeCase(folder: string, caseId: string, intensity: (label: number, index: number) => number) {
  const extent = 12
  const segmentation = new Float32Array(extent ** 3)
  const data = segmentation.map((_, index) => {
    const x = index % extent
    segmentation[index] = x < 3 || x > 8 ? 0 : x < 6 ? 1 : 2
    return intensity(segmentation[index], index)
  })
  const resampling = { isSegmentation: false, order: 3, orderZ: 0, forceSeparateZ: null }
  await native().preprocessToFolder({
    image: { data, shape: [1, extent, extent, extent] },
    segmentation,
    spacing: [1, 1, 1],
    plan: {
      transposeForward: [0, 1, 2],
      targetSpacing: [1, 1, 1],
      normalizationSchemes: ['NoNormalization'],
      useMaskForNormalization: [false],
      intensityProperties: [{ max: 0, mean: 0, median: 0, min: 0, percentile_00_5: 0, percentile_99_5: 0, std: 0 }],
      imageResampling: resampling,
      segmentationResampling: { ...resampling, isSegmentation: true, order: 1 },
    },
    labels: [1, 2],
    patchSize: smallShape.patchSize,
    folder,
    caseId,
    geometry: {},
  })
}

/** Intensities that a network learns. */
export const ordinary = (label: number, index: number): number => label + 1 + 0.3 * Math.sin(index * 12.9898)

/** Intensities that are finite, but not what the first convolution makes of them. */
export const overflowing = (_: number, index: number): number => (index % 2 === 0 ? 3.4e38 : -3.4e38)
