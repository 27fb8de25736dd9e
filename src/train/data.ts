// Where a run keeps its cases and in which number format: what is decided before they are read, and how it is said.
import type { TrainOptions } from '../config/schema.js'
import { VoxgradError } from '../errors.js'
import type { CaseStorage, TrainerConfig } from '../native/binding.js'
import { formatBytes } from '../report/format.js'

/**
 * Normalizations whose values float16 has: 0 to 1, between clipped percentiles, or z-scores, of which n values have none
 * beyond sqrt(n - 1), so that an image of less than 4e9 voxels stays below float16's largest, 65504.
 */
const boundedNormalizations = [
  'ZScoreNormalization',
  'CTNormalization',
  'RescaleTo01Normalization',
  'RGBTo01Normalization',
]

/**
 * Whether training images are kept as float16. It depends on options and plans alone, never on the memory that happens to
 * be free, because the weights depend on it.
 * @param normalizations one of nnU-Net's class names for each channel
 * @param precision of training: auto takes float16 only where the network rounds its input more coarsely itself
 * @throws VoxgradError ERR_CONFIG where float16 is asked for and cannot hold the values
 */
export function isStoredAsHalf(
  storage: TrainOptions['data']['storage'],
  normalizations: readonly string[],
  precision: TrainerConfig['precision'],
): boolean {
  const unbounded = normalizations.find((name) => !boundedNormalizations.includes(name))
  if (storage === 'float16' && unbounded !== undefined) {
    throw new VoxgradError('ERR_CONFIG', {
      where: 'data.storage',
      required: `float32 for channels with ${unbounded} (normalization_schemes of the plans), because float16 ends at 65504`,
      found: 'float16',
    })
  }
  return storage === 'float16' || (storage === 'auto' && precision !== 'float32' && unbounded === undefined)
}

/** What a run says about its cases at the start. */
export function describeStorage(
  { place, bytes, free }: CaseStorage,
  cases: { training: number; validation: number },
  isHalf: boolean,
  device: string,
): string {
  const count = `${cases.training} training and ${cases.validation} validation cases`
  const size = `${formatBytes(bytes)}${isHalf ? ' with training images as float16' : ' as float32'}`
  const room = `${formatBytes(free)} free`
  if (place === 'disk') return `Data: ${count}, read from disk when they are needed; in memory: ${size} (${room})`
  const where = place === 'host' ? "in the host's memory" : device === 'cpu' ? 'in memory' : `on the device ${device}`
  return `Data: ${count}, ${size}, ${where} (${room})`
}
