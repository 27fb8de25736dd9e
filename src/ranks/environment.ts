// Which rank of a group a process is, by what its launcher says: torchrun's variables or Slurm's.
import { VoxgradError } from '../errors.js'
import type { RanksConfig } from '../native/binding.js'

/** The longest wait for another rank in the middle of training; what takes longer is a hang. */
export const rankTimeoutSeconds = 120

export interface Place {
  group: RanksConfig
  /** Number of the process on its machine: which CUDA device it takes. */
  localRank: number
}

/**
 * The place that the environment names; null where it names none, or one rank alone.
 * Sources: PyTorch's torchrun (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT, TORCHELASTIC_*), Slurm's srun
 * (SLURM_PROCID, SLURM_NTASKS, SLURM_LOCALID, SLURM_JOB_ID, SLURM_STEP_ID).
 * @throws VoxgradError ERR_CONFIG where a variable is missing or none of the numbers that it may be
 */
export function placeOfEnvironment(environment: NodeJS.ProcessEnv): Place | null {
  const slurm = environment.RANK === undefined && environment.SLURM_PROCID !== undefined
  const names = slurm
    ? { rank: 'SLURM_PROCID', ranks: 'SLURM_NTASKS', local: 'SLURM_LOCALID' }
    : { rank: 'RANK', ranks: 'WORLD_SIZE', local: 'LOCAL_RANK' }
  if (environment[names.rank] === undefined || environment[names.ranks] === undefined) return null
  const number = (name: string, below: number): number => {
    const text = environment[name]
    const value = Number(text)
    if (text !== undefined && /^\d+$/.test(text) && value < below) return value
    const expected = below === Number.POSITIVE_INFINITY ? 'a number' : `a number below ${below}`
    throw new VoxgradError('ERR_CONFIG', `${name}: expected ${expected}, found ${text ?? 'nothing'}`)
  }
  const ranks = number(names.ranks, Number.POSITIVE_INFINITY)
  if (ranks <= 1) return null
  const rank = number(names.rank, ranks)
  const address = environment.MASTER_ADDR
  if (address === undefined) {
    throw new VoxgradError(
      'ERR_CONFIG',
      `MASTER_ADDR: expected the host of rank 0, found nothing, though ${names.ranks} is ${ranks}. In a Slurm script: export MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -1) MASTER_PORT=29500`,
    )
  }
  return {
    localRank: environment[names.local] === undefined ? 0 : number(names.local, Number.POSITIVE_INFINITY),
    group: {
      rank,
      ranks,
      address,
      port: number('MASTER_PORT', 65_536),
      // torchrun's own process runs the store.
      hostsStore: rank === 0 && environment.TORCHELASTIC_USE_AGENT_STORE !== 'True',
      attempt: [
        environment.TORCHELASTIC_RUN_ID ?? environment.SLURM_JOB_ID ?? '',
        environment.TORCHELASTIC_RESTART_COUNT ?? environment.SLURM_STEP_ID ?? '0',
      ].join('.'),
      timeoutSeconds: rankTimeoutSeconds,
    },
  }
}
