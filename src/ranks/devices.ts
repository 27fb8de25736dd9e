// The devices that voxgrad's own launcher gives a process each: --devices 4, or --devices 0,2.
import { VoxgradError } from '../errors.js'

/** What each rank trains on. */
export interface LocalRanks {
  /** One a rank: cpu, cuda:N. */
  devices: string[]
}

/**
 * @param text a number of devices, or their numbers
 * @param device the option: with cpu the ranks share the processors, so that only a number makes sense
 * @returns null for one process
 * @throws VoxgradError ERR_CONFIG
 */
export function localRanksOf(text: string, device: string): LocalRanks | null {
  const numbers = text.split(',').map((part) => (/^\d+$/.test(part.trim()) ? Number(part) : Number.NaN))
  const isList = text.includes(',')
  const isRight = numbers.every(Number.isInteger) && new Set(numbers).size === numbers.length
  if (!isRight || (!isList && numbers[0] === 0)) {
    throw new VoxgradError(
      'ERR_CONFIG',
      `--devices: expected a number of devices (4) or their numbers (0,2), found ${text}`,
    )
  }
  if (device === 'cpu') {
    if (isList) {
      throw new VoxgradError(
        'ERR_CONFIG',
        `--devices: expected a number of processes, as the device is cpu, found ${text}`,
      )
    }
    return numbers[0] === 1 ? null : { devices: new Array<string>(numbers[0] as number).fill('cpu') }
  }
  const chosen = isList ? numbers : Array.from({ length: numbers[0] as number }, (_, index) => index)
  return chosen.length === 1 ? null : { devices: chosen.map((index) => `cuda:${index}`) }
}

/** Where a rank trains: on the device that voxgrad's own launcher gave it, else by its number on its machine. */
export interface DevicePlace {
  device?: string
  localRank: number
}

/** The device of a rank whose run is configured for `configured`; a CUDA device without a number is each rank's own. */
export const deviceOfRank = ({ device, localRank }: DevicePlace, configured: string): string =>
  device ?? (configured === 'cuda' ? `cuda:${localRank}` : configured)
