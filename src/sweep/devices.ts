// The devices of a sweep, one for each run at a time.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { VoxgradError } from '../errors.js'

/**
 * Reads --devices.
 * @param text `cpu:2` two runs at once on the CPU; `4` the first four GPUs, `0,2` or `cuda:0,cuda:2` these, `cuda` all; a GPU
 * that is named twice has two runs at once
 * @param gpus how many there are; null where that is not known
 * @throws VoxgradError ERR_CONFIG, ERR_DEVICE
 */
export function readDevices(text: string, gpus: number | null): string[] {
  const parts = text.split(',').map((part) => part.trim())
  const devices = /^[1-9]\d*$/.test(text)
    ? gpusUpTo(Number(text))
    : parts.flatMap((part) => devicesOf(part, text, gpus))
  requireDevices(devices, gpus)
  return devices
}

const gpusUpTo = (count: number): string[] => Array.from({ length: count }, (_, index) => `cuda:${index}`)

/** What one part of the list means. */
function devicesOf(part: string, text: string, gpus: number | null): string[] {
  const found = /^(?:cpu(?::(?<slots>[1-9]\d*))?|(?:cuda:)?(?<index>\d+)|(?<all>cuda))$/.exec(part)
  // As in train, a number alone counts.
  if (found === null || text === '0') {
    throw new VoxgradError('ERR_CONFIG', {
      where: '--devices',
      required: 'cpu:2 (two runs at once), 4 (so many GPUs), or 0,2 or cuda:0,cuda:2 (these)',
      found: `"${text}"`,
    })
  }
  const { slots, index, all } = found.groups ?? {}
  if (index !== undefined) return [`cuda:${Number(index)}`]
  if (all === undefined) return new Array<string>(Number(slots ?? 1)).fill('cpu')
  if (gpus) return gpusUpTo(gpus)
  throw new VoxgradError('ERR_DEVICE', { where: '--devices', required: 'a GPU', found: 'none' })
}

/** @throws VoxgradError ERR_DEVICE naming the GPUs that are not there */
export function requireDevices(devices: readonly string[], gpus: number | null): void {
  const isMissing = (device: string) => device !== 'cpu' && Number(device.split(':')[1] ?? 0) >= (gpus as number)
  const missing = gpus === null ? [] : devices.filter(isMissing)
  if (missing.length === 0) return
  throw new VoxgradError('ERR_DEVICE', {
    where: '--devices',
    required: `some of the ${gpus} GPUs that are there`,
    found: missing.join(', '),
  })
}

/**
 * GPUs that processes may use, as the driver and CUDA_VISIBLE_DEVICES have them.
 * @returns null where the driver's program does not answer: there may be none
 */
export async function countGpus(environment: NodeJS.ProcessEnv = process.env): Promise<number | null> {
  const visible = environment.CUDA_VISIBLE_DEVICES
  if (visible !== undefined) return visible.split(',').filter((part) => /^\d+$|^(GPU|MIG)-/.test(part.trim())).length
  try {
    const { stdout } = await promisify(execFile)('nvidia-smi', ['--query-gpu=index', '--format=csv,noheader'], {
      timeout: 30_000,
    })
    return stdout.split('\n').filter((line) => /^\d+$/.test(line.trim())).length
  } catch {
    return null
  }
}

/** All GPUs there are, or one cpu. */
export const devicesThere = (gpus: number | null): string[] => (gpus ? gpusUpTo(gpus) : ['cpu'])
