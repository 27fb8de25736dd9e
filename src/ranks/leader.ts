// Rank 0 of a group: the run itself, whose trainer's calls are told to the other ranks as they are made.
import { VoxgradError } from '../errors.js'
import type { NativeTrainer, RanksConfig, TrainerConfig } from '../native/binding.js'
import { native } from '../native/load.js'
import type { JobContext } from '../train/job.js'
import type { CaseResult } from '../validate/summary.js'
import { type CaseWork, hearOfCases, partOf, whileAlive } from './cases.js'
import { type Command, farewell, leaveCommand, type Outcome, type SharedCall, sharedCalls } from './commands.js'
import { type DevicePlace, deviceOfRank } from './devices.js'

/**
 * Seconds for the other ranks to hear that the job is over, before their meeting place goes with this process. After a fault
 * they may be gone.
 */
const farewellSeconds = { result: 10, error: 2 }

/**
 * That a training can be divided.
 * @throws VoxgradError ERR_CONFIG
 */
export function requireDivisible({ batchSize, loss, network }: TrainerConfig, ranks: number): void {
  const refuse = (where: string, required: string, found: string) => {
    const remedy = 'Train it on one device, without --devices.'
    throw new VoxgradError('ERR_CONFIG', {
      where,
      required: `${required}, as ${ranks} ranks share a batch`,
      found,
      remedy,
    })
  }
  if (batchSize < ranks) refuse('batchSize', `at least ${ranks}`, String(batchSize))
  if (loss.topKPercent < 100) refuse('loss.kind', 'one without topk, whose selection is over the whole batch', 'topk')
  if (network.batchNorm)
    refuse('network.normalization', 'instance norm', 'batch norm, whose statistics are of the whole batch')
}

export class Leader {
  #commands = 0
  #trainers = 0
  #shares = 0
  #telling: Promise<void> = Promise.resolve()

  constructor(
    private readonly group: RanksConfig,
    private readonly place: DevicePlace,
  ) {}

  /** A configuration or options, on this rank's own device. */
  onOwnDevice<Settings extends { device: string }>(settings: Settings): Settings {
    return { ...settings, device: deviceOfRank(this.place, settings.device) }
  }

  get ranks(): number {
    return this.group.ranks
  }

  /**
   * A trainer on every rank; what is done with this one is done with all.
   * @param isGroup the trainers share batches; otherwise each predicts for itself
   */
  async openTrainer(config: TrainerConfig, { isGroup = true } = {}): Promise<NativeTrainer> {
    // Each trainer's processes meet anew.
    const { timeoutSeconds } = config.group
    const attempt = `${this.group.attempt}/${this.#trainers++}`
    const group = isGroup ? { ...this.group, attempt, timeoutSeconds } : config.group
    await this.#tell({ kind: 'open', config: { ...config, group } })
    const trainer = await native().createTrainer(this.onOwnDevice({ ...config, group }))
    return new Proxy(trainer, {
      get: (_, name) => {
        const value = Reflect.get(trainer, name) as unknown
        if (name === 'setPosition') {
          return (position: Parameters<NativeTrainer['setPosition']>[0]) => {
            void this.#tell({ kind: 'call', method: name, job: position })
            trainer.setPosition(position)
          }
        }
        if (name === 'dispose') {
          return async () => {
            await this.#tell({ kind: 'close' })
            await trainer.dispose()
          }
        }
        if (!(sharedCalls as readonly PropertyKey[]).includes(name)) return value
        return async (job: unknown) => {
          await this.#tell({ kind: 'call', method: name as SharedCall, job })
          return (value as (job: unknown) => unknown)(job)
        }
      },
    })
  }

  /**
   * Divides cases over the ranks.
   * @param workOf a rank's part, as it is told
   * @param own does this rank's part, and ends early where `stopping` aborts
   * @param onCase hears of the other ranks' cases
   * @throws VoxgradError what any of them fails with, ERR_STOPPED
   */
  async shareCases<Item>(
    items: readonly Item[],
    workOf: (part: Item[]) => CaseWork,
    own: (part: Item[], stopping: AbortSignal) => Promise<void>,
    onCase: (caseId: string, result: CaseResult | undefined) => void,
    context: Pick<JobContext, 'stopping' | 'stop' | 'alive'>,
  ): Promise<void> {
    const parts = Array.from({ length: this.ranks }, (_, rank) => partOf(items, rank, this.ranks))
    const share = this.#shares++
    await this.#tell({ kind: 'cases', share, parts: parts.map(workOf) })
    const failed = new AbortController()
    const stopping = AbortSignal.any([context.stopping, failed.signal])
    const tasks = parts.map((part, rank) =>
      rank === 0
        ? own(part, stopping)
        : hearOfCases(this.group, { share, rank, count: part.length }, onCase, { ...context, stopping }),
    )
    try {
      const all = Promise.all(tasks)
      await Promise.all([all, tasks[0]?.then(() => whileAlive(context, all))])
    } catch (error) {
      failed.abort()
      await Promise.allSettled(tasks)
      throw error
    }
  }

  /** Lets the other ranks go; they end in the same way. */
  async end(outcome: Outcome): Promise<void> {
    const seconds = 'error' in outcome ? farewellSeconds.error : farewellSeconds.result
    const others = Array.from({ length: this.group.ranks - 1 }, (_, index) => index + 1)
    await this.#tell({ kind: 'end', outcome }).catch(() => {})
    await Promise.all(
      others.map((rank) =>
        native()
          .awaitText(this.group, farewell(rank), seconds)
          .catch(() => ''),
      ),
    )
  }

  #tell(command: Command): Promise<void> {
    this.#telling = this.#telling.then(() => leaveCommand(this.group, this.#commands++, command))
    // Who tells next sees the fault.
    this.#telling.catch(() => {})
    return this.#telling
  }
}
