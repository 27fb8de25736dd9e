// What rank 0 tells the other ranks: the calls of its trainer that all must make, in order, at the store where they meet.
import { setTimeout as sleep } from 'node:timers/promises'
import { deserialize, serialize } from 'node:v8'
import { type ErrorCode, type ErrorFacts, VoxgradError } from '../errors.js'
import type { NativeTrainer, RanksConfig, TrainerConfig } from '../native/binding.js'
import { native } from '../native/load.js'
import type { CaseWork } from './cases.js'

/** Calls that change weights, position or cases, or that exchange something. */
export const sharedCalls = [
  'loadCases',
  'loadCheckpoint',
  'loadPretrained',
  'setPosition',
  'runTraining',
  'runValidation',
] as const satisfies (keyof NativeTrainer)[]
export type SharedCall = (typeof sharedCalls)[number]

/** An error as data. */
export interface Fault {
  code: ErrorCode
  facts: ErrorFacts
  nativeBacktrace?: string
}

/** How rank 0's job ended. */
export type Outcome = { result: unknown } | { error: Fault }

export type Command =
  | { kind: 'open'; config: TrainerConfig }
  /** The parts of all ranks of some cases; `share` tells them from other cases. */
  | { kind: 'cases'; share: number; parts: CaseWork[] }
  | { kind: 'call'; method: SharedCall; job: unknown }
  | { kind: 'close' }
  /** The job is over. */
  | { kind: 'end'; outcome: Outcome }

const name = (index: number) => `command/${index}`
const encode = (command: Command) => serialize(command).toString('base64')
const decode = (text: string) => deserialize(Buffer.from(text, 'base64')) as Command

export const leaveCommand = (group: RanksConfig, index: number, command: Command): Promise<void> =>
  native().leaveText(group, name(index), encode(command))

/**
 * Waits as long as the store answers.
 * @throws VoxgradError ERR_RANK where it does not for so many seconds
 */
export async function awaitCommand(group: RanksConfig, index: number, seconds: number): Promise<Command> {
  const over = new AbortController()
  const days = 365
  const command = native().awaitText(group, name(index), days * 86_400)
  // A network that is cut says nothing, so the store is asked now and then.
  const silence = untilSilent(group, index, seconds, over.signal)
  return decode(await Promise.race([command, silence]).finally(() => over.abort()))
}

/** Rejects once the store has not answered for so many seconds. */
async function untilSilent(group: RanksConfig, index: number, seconds: number, over: AbortSignal): Promise<never> {
  while (!over.aborted) {
    const answer = await Promise.race([hasCommand(group, index), sleep(1000 * seconds, null, { signal: over })])
    if (answer === null) {
      const where = `rank ${group.rank} of ${group.ranks}`
      throw new VoxgradError('ERR_RANK', { where, found: `no answer from rank 0 at ${group.address} for ${seconds} s` })
    }
    await sleep(1000 * Math.min(5, seconds / 10), null, { signal: over })
  }
  return new Promise(() => {})
}

/** Whether rank 0 has told the next thing by now. */
export const hasCommand = async (group: RanksConfig, index: number): Promise<boolean> =>
  (await native().findText(group, name(index))) !== null

/** What a rank says before it leaves, and which others may ask for. */
export const farewell = (rank: number) => `farewell/${rank}`

/** An error of another process of the group, which names it. */
export function failureOfRank(rank: number, { code, facts }: Pick<Fault, 'code' | 'facts'>): VoxgradError {
  const place = `rank ${rank}`
  return new VoxgradError(code, { ...facts, where: facts.where === undefined ? place : `${place}: ${facts.where}` })
}

/** What another process is told of an error; one that is not ours is a fault of voxgrad. */
export function faultOf(error: unknown): Fault {
  const known = error instanceof VoxgradError
  const { message, stack } = error as Error
  const backtrace = known ? error.nativeBacktrace : stack
  return {
    code: known ? error.code : 'ERR_INTERNAL',
    facts: known ? error.facts : { found: message },
    ...(backtrace ? { nativeBacktrace: backtrace } : {}),
  }
}
