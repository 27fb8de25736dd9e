// A rank that is not the first: it does with its trainer what rank 0 tells, and writes and reports nothing.
import type { NativeTrainer, RanksConfig } from '../native/binding.js'
import { native } from '../native/load.js'
import type { JobContext } from '../train/job.js'
import { watch } from '../train/watch.js'
import { type CaseWork, doCases, whileAlive } from './cases.js'
import { awaitCommand, failureOfRank, farewell } from './commands.js'
import { type DevicePlace, deviceOfRank } from './devices.js'

/**
 * Follows rank 0 to the end of its job.
 * @param place where this rank trains
 * @returns the job's result
 * @throws VoxgradError ERR_RANK where rank 0 is gone, and what this rank's own part fails with
 */
export async function followLeader(
  group: RanksConfig,
  place: DevicePlace,
  context: Pick<JobContext, 'stopping' | 'alive'>,
): Promise<unknown> {
  let trainer: NativeTrainer | undefined
  let { timeoutSeconds } = group
  try {
    for (let index = 0; ; index++) {
      const command = await whileAlive(context, awaitCommand(group, index, timeoutSeconds))
      switch (command.kind) {
        case 'open': {
          const { config } = command
          const isShared = config.group.ranks > 1
          const { attempt } = config.group
          timeoutSeconds = config.group.timeoutSeconds
          const own = isShared ? { ...group, attempt, timeoutSeconds } : config.group
          trainer = await native().createTrainer({ ...config, device: deviceOfRank(place, config.device), group: own })
          break
        }
        case 'call': {
          const { method, job } = command
          const opened = trainer as NativeTrainer
          const call = opened[method] as (job: unknown) => unknown
          await watch(opened, context, async () => call.call(opened, job))
          break
        }
        case 'cases': {
          const { share, parts } = command
          const work = onDevice(parts[group.rank] as CaseWork, place)
          await doCases(group, { share, work, nextCommand: index + 1 }, trainer, context)
          break
        }
        case 'close':
          await trainer?.dispose()
          trainer = undefined
          break
        case 'end':
          await native().leaveText(group, farewell(group.rank), 'end')
          if ('error' in command.outcome) throw failureOfRank(0, command.outcome.error)
          return command.outcome.result
      }
    }
  } finally {
    await trainer?.dispose()
  }
}

/** A prediction opens its own networks, on this rank's device. */
function onDevice(work: CaseWork, place: DevicePlace): CaseWork {
  if (work.kind === 'validation') return work
  return { ...work, options: { ...work.options, device: deviceOfRank(place, work.options.device) } }
}
