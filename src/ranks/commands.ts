// What rank 0 tells the other ranks: the calls of its trainer that all must make, in order, at the store where they meet.
import { deserialize, serialize } from 'node:v8'
import { type ErrorCode, type ErrorFacts, VoxgradError } from '../errors.js'
import type { NativeTrainer, RanksConfig, TrainerConfig } from '../native/binding.js'
import { native } from '../native/load.js'

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

/** How rank 0's job ended. */
export type Outcome = { result: unknown } | { error: { code: ErrorCode; facts: ErrorFacts } }

export type Command =
  | { kind: 'open'; config: TrainerConfig }
  | { kind: 'call'; method: SharedCall; job: unknown }
  | { kind: 'close' }
  /** The job is over. */
  | { kind: 'end'; outcome: Outcome }

const name = (index: number) => `command/${index}`
const encode = (command: Command) => serialize(command).toString('base64')
const decode = (text: string) => deserialize(Buffer.from(text, 'base64')) as Command

export const leaveCommand = (group: RanksConfig, index: number, command: Command): Promise<void> =>
  native().leaveText(group, name(index), encode(command))

/** Waits as long as rank 0 lives. */
export async function awaitCommand(group: RanksConfig, index: number): Promise<Command> {
  const days = 365
  return decode(await native().awaitText(group, name(index), days * 86_400))
}

/** What a rank says before it leaves, and which others may ask for. */
export const farewell = (rank: number) => `farewell/${rank}`

/** An error of another process of the group, which names it. */
export function failureOfRank(rank: number, { code, facts }: { code: ErrorCode; facts: ErrorFacts }): VoxgradError {
  const place = `rank ${rank}`
  return new VoxgradError(code, { ...facts, where: facts.where === undefined ? place : `${place}: ${facts.where}` })
}
