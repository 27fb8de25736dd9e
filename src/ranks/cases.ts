// Cases that are predicted or validated, divided over the ranks: each does its part, and rank 0 hears of every case.

import { setTimeout as sleep } from 'node:timers/promises'
import { deserialize, serialize } from 'node:v8'
import type { PredictOptions } from '../config/schema.js'
import type { RawCase } from '../dataset/raw.js'
import { VoxgradError } from '../errors.js'
import type { NativeTrainer, RanksConfig } from '../native/binding.js'
import { native } from '../native/load.js'
import { predictCases } from '../predict/predict.js'
import type { JobContext } from '../train/job.js'
import { watch } from '../train/watch.js'
import type { CaseResult } from '../validate/summary.js'
import { type CaseValidation, validateCases } from '../validate/validate.js'
import { type Fault, failureOfRank, faultOf, hasCommand } from './commands.js'

/** One rank's part. */
export type CaseWork =
  | { kind: 'validation'; job: CaseValidation }
  | { kind: 'prediction'; options: PredictOptions; cases: RawCase[] }

/** What a rank says after each of its cases; `result` of a validation. */
type Word = { caseId: string; result: CaseResult | undefined } | { stopped: true } | { fault: Fault }

const pollMs = 100
/** Of a rank at work on cases: a number that grows. */
const pulse = (rank: number) => `pulse/${rank}`
const pulseEveryMs = 1000
const nameOf = (share: number, rank: number, index: number) => `cases/${share}/${rank}/${index}`

/** A rank's cases of all, as nnU-Net deals them out (perform_actual_validation). */
export const partOf = <Item>(items: readonly Item[], rank: number, ranks: number): Item[] =>
  items.filter((_, index) => index % ranks === rank)

/** Waiting for other ranks is no hang, unless this process itself stands still. */
export async function whileAlive<Result>(
  { alive }: Pick<JobContext, 'alive'>,
  waiting: Promise<Result>,
): Promise<Result> {
  alive('following')
  const timer = setInterval(() => alive('following'), 1000)
  return waiting.finally(() => clearInterval(timer))
}

/**
 * On rank 0: waits for every case of another rank's part.
 * @param stop the wish to stop, which that rank may have
 * @throws VoxgradError what the rank failed with, ERR_RANK where it gives no sign of life, ERR_STOPPED
 */
export async function hearOfCases(
  group: RanksConfig,
  { share, rank, count }: { share: number; rank: number; count: number },
  onCase: (caseId: string, result: CaseResult | undefined) => void,
  { stopping, stop }: Pick<JobContext, 'stopping' | 'stop'>,
): Promise<void> {
  let last = { pulse: null as string | null, at: performance.now() }
  for (let index = 0; index < count; index++) {
    let text = await native().findText(group, nameOf(share, rank, index))
    while (text === null) {
      if (stopping.aborted) throw new VoxgradError('ERR_STOPPED', 'The wait for other ranks was ended')
      const now = await native().findText(group, pulse(rank))
      if (now !== last.pulse) last = { pulse: now, at: performance.now() }
      if (performance.now() - last.at > 1000 * group.timeoutSeconds) {
        const found = `no sign of life for ${group.timeoutSeconds} s, in its case ${index + 1} of ${count}`
        throw new VoxgradError('ERR_RANK', { where: `rank ${rank}`, found })
      }
      await sleep(pollMs)
      text = await native().findText(group, nameOf(share, rank, index))
    }
    const word = deserialize(Buffer.from(text, 'base64')) as Word
    if ('fault' in word) throw failureOfRank(rank, word.fault)
    if ('stopped' in word) {
      stop()
      throw new VoxgradError('ERR_STOPPED', `Rank ${rank} was told to stop`)
    }
    onCase(word.caseId, word.result)
  }
}

/**
 * On another rank: does its part, and gives it up when rank 0 goes on to its next command, which it does early only where
 * the cases are no longer wanted.
 * @throws VoxgradError what its own part fails with
 */
export async function doCases(
  group: RanksConfig,
  { share, work, nextCommand }: { share: number; work: CaseWork; nextCommand: number },
  trainer: NativeTrainer | undefined,
  { stopping, alive }: Pick<JobContext, 'stopping' | 'alive'>,
): Promise<void> {
  const unwanted = new AbortController()
  const context = { alive, stopping: AbortSignal.any([stopping, unwanted.signal]) }
  const finished = new AbortController()
  const listening = untilCommand(group, nextCommand, finished.signal).then(() => unwanted.abort())
  const said: Promise<void>[] = []
  const say = (word: Word) => {
    const text = serialize(word).toString('base64')
    said.push(native().leaveText(group, nameOf(share, group.rank, said.length), text))
  }
  const onCase = (caseId: string, result?: CaseResult) => say({ caseId, result })
  try {
    if (work.kind === 'validation') {
      const predict = <Result>(caseId: string, job: () => Promise<Result>) =>
        watch(trainer as NativeTrainer, context, job, { caseId })
      await validateCases(trainer as NativeTrainer, work.job, { predict, onCase })
    } else {
      const { options, cases } = work
      await predictCases(options, cases, {
        predict: (opened, caseId, job) => watch(opened, context, job, { caseId }),
        onCase,
      })
    }
  } catch (error) {
    if (unwanted.signal.aborted) return
    say(stopping.aborted ? { stopped: true } : { fault: faultOf(error) })
    if (!stopping.aborted) throw error
  } finally {
    await Promise.all(said)
    finished.abort()
    await listening
  }
}

/** Listens for rank 0, and gives it signs of life. */
async function untilCommand(group: RanksConfig, index: number, finished: AbortSignal): Promise<void> {
  for (
    let said = Number.NEGATIVE_INFINITY;
    !finished.aborted && !(await hasCommand(group, index));
    await sleep(pollMs)
  ) {
    if (performance.now() - said < pulseEveryMs) continue
    said = performance.now()
    await native().leaveText(group, pulse(group.rank), String(said))
  }
}
