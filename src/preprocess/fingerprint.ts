// The dataset fingerprint: what planning needs to know of the training images.
import { type CasePoolOptions, forEachCase } from '../case-pool.js'
import type { DatasetJson } from '../dataset/dataset-json.js'
import { bytesToRead, listCases, readerOfCases } from '../dataset/raw.js'
import { native } from '../native/load.js'
import type { Fingerprint } from '../plan/plans.js'
import { readTrainingCase, requireFiles } from './read-case.js'

/** Foreground intensities that are drawn from the whole dataset, per channel. */
const totalSamples = 1e8

/**
 * Reads all training cases, crops them to their nonzero region and collects extents, spacings and the statistics of the
 * foreground intensities, equal to nnU-Net's dataset_fingerprint.json. Nothing is written.
 * @param rawFolder nnUNet_raw/DATASET
 * @throws VoxgradError ERR_DATASET with all missing files or all faulty cases; the signal's reason after an abort
 * Source: nnU-Net fingerprint_extractor.py, DatasetFingerprintExtractor.run.
 */
export async function extractFingerprint(
  rawFolder: string,
  datasetJson: DatasetJson,
  options: CasePoolOptions = {},
): Promise<Fingerprint> {
  const cases = listCases(rawFolder, datasetJson)
  requireFiles(cases)
  const reader = await readerOfCases(datasetJson, cases)
  const samples = Math.floor(totalSamples / cases.length)
  const channels = datasetJson.channels.length
  const bytesOfDraws = 4 * channels * samples
  const found = await forEachCase(
    cases,
    async (rawCase) => {
      const { image, spacing, segmentation } = await readTrainingCase(rawCase, channels, reader)
      return { spacing, ...(await native().fingerprintCase({ image, segmentation, samples })) }
    },
    (rawCase) => bytesToRead(rawCase) + bytesOfDraws,
    options,
  )
  const statistics: Fingerprint['foreground_intensity_properties_per_channel'] = {}
  for (let channel = 0; channel < channels; channel += 1) {
    const draws = found.map((one) => one.intensities[channel] ?? new Float32Array())
    statistics[String(channel)] = await native().intensityStatistics(draws)
  }
  return {
    foreground_intensity_properties_per_channel: statistics,
    median_relative_size_after_cropping: median(found.map((one) => one.relativeSizeAfterCrop)),
    shapes_after_crop: found.map((one) => one.shapeAfterCrop),
    spacings: found.map((one) => one.spacing),
  }
}

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] as number
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2
}
