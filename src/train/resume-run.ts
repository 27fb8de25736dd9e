// Goes on with a run: chooses its checkpoint, works out its new length, and completes what is missing.
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import path from 'node:path'
import type { ResumeOptions } from '../config/schema.js'
import { VoxgradError } from '../errors.js'
import { requireDivisible } from '../ranks/leader.js'
import { isComplete, resolveBudget } from './budget.js'
import { readCandidates } from './candidates.js'
import { readValidation, wantedValidations } from './end-validation.js'
import type { RunResult } from './events.js'
import { extend } from './extend.js'
import type { JobContext, Restart } from './job.js'
import { newRecord, readRunOptions, readRunSetup, recordOf } from './open-run.js'
import type { Policies, PolicyName } from './policies.js'
import { isTrained, type PolicyState } from './policy.js'
import { reportRun } from './report-run.js'
import { chooseCheckpoint } from './resume.js'
import { executeRun } from './run.js'
import type { RunFolder, RunRecord } from './run-folder.js'

/**
 * Resumes the run of a folder whose lock the caller has; a finished run only gets what it lacks, or more steps.
 * @param settings.restart given by a supervisor that starts the run again
 * @param settings.policies the caller's own, as at the start
 * @throws VoxgradError ERR_CHECKPOINT if no checkpoint is whole, ERR_CONFIG for a length that is reached already or a
 * policy that is missing, and as
 * executeRun does
 */
export async function resumeRun(
  folder: RunFolder,
  options: ResumeOptions,
  context: JobContext,
  { restart, policies = {} }: { restart?: Restart | undefined; policies?: Policies | undefined },
): Promise<RunResult> {
  const { record: stored, options: started } = await readRunOptions(folder, {
    folders: options.folders,
    device: options.device,
  })
  const id = stored?.id ?? randomUUID()
  // Of nnU-Net's checkpoints, which count epochs only, the position depends on this number.
  const stepsPerEpoch = stored
    ? started.budget.stepsPerEpoch
    : (options.budget.stepsPerEpoch ?? started.budget.stepsPerEpoch)
  const candidates = await readCandidates(folder, id, stepsPerEpoch)
  const choice = chooseCheckpoint(candidates, options.from)
  if (choice.name === null && candidates.length > 0) {
    throw new VoxgradError('ERR_CHECKPOINT', {
      where: folder.folder,
      found: choice.text,
      remedy: 'Start again in another folder with --run.',
    })
  }
  const { state } = choice
  const isEnded = state.stoppedEarly || isComplete(state, resolveBudget(started.budget))
  const { options: extended, isLonger } = extend(started, state, isEnded, options)
  const setup = await readRunSetup(folder, extended, policies)
  if (context.leader) requireDivisible(setup.trainerConfig, context.leader.ranks)
  if (isLonger || !isTrained(state, setup.rules)) requirePolicies(folder, stored?.policies, setup.ownPolicies)
  const ownNames = new Set([...(stored?.policies ?? []), ...setup.ownPolicies])
  const record = { ...(stored ?? newRecord(setup, id)), ...recordOf(setup), policies: [...ownNames] }
  if (!stored) await folder.writeRecord(record)

  const { epoch, step } = state
  const text = restart ? `${restart.because} ${choice.text}` : choice.text
  const from = choice.name && path.basename(folder.checkpoint(choice.name))
  const line = { type: 'resume', from, epoch, step, text } as const
  await folder.cutMetrics(state, [])
  await folder.appendMetrics(line)
  await folder.log(text)
  context.emit(line)
  if (choice.name === 'final' && isTrained(state, setup.rules) && !isLonger) {
    const wanted = wantedValidations(setup.options.validateAtEnd)
    const validations = (await Promise.all(wanted.map((name) => readValidation(folder, name)))).filter(
      (found) => !!found,
    )
    if (validations.length === wanted.length) return alreadyFinished(folder, record, state, validations, context)
    context.emit({ type: 'log', text: 'The run is finished; its validation is missing and follows now.' })
  }
  return executeRun(setup, folder, record, choice.name, context, { isLonger, secondsUsed: restart?.secondsUsed })
}

/** A run that began with functions of a script does not go on with others by accident. */
function requirePolicies({ folder }: RunFolder, begun: PolicyName[] = [], given: PolicyName[]): void {
  const missing = begun.filter((name) => !given.includes(name))
  if (missing.length === 0) return
  throw new VoxgradError(
    'ERR_CONFIG',
    `${folder} was started by a script with functions of its own for ${missing.join(', ')}, which no file can keep. Go on with it from that script: resume({ run: '${folder}' }, { policies }).`,
  )
}

async function alreadyFinished(
  folder: RunFolder,
  record: RunRecord,
  { epoch, step, stoppedEarly }: PolicyState,
  validations: RunResult['validations'],
  context: JobContext,
): Promise<RunResult> {
  const { emit } = context
  emit({ type: 'log', text: 'The run is finished; nothing is missing.' })
  const outcome = { status: 'finished', reason: stoppedEarly ? 'early_stopping' : 'completed' } as const
  await folder.writeRecord({ ...record, ...outcome })
  if (!existsSync(path.join(folder.folder, 'report.html'))) await reportRun(folder.folder, context)
  const result: RunResult = { ...outcome, folder: folder.folder, epochs: epoch, step, validations }
  emit({ type: 'run_finished', result })
  return result
}
