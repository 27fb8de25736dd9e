// The validation at the end of a run: predicts the fold's validation cases and reports as it goes.
import { existsSync } from 'node:fs'
import path from 'node:path'
import type { CheckpointName, TrainOptions } from '../config/schema.js'
import type { ReaderName } from '../dataset/readers.js'
import { readJson } from '../files.js'
import type { NativeTrainer } from '../native/binding.js'
import type { CaseResult } from '../validate/summary.js'
import { validateCases, writeSummary } from '../validate/validate.js'
import type { RunResult, ValidationFinishedEvent } from './events.js'
import type { JobContext } from './job.js'
import { finiteOrNull } from './policy.js'
import { unpackWithEvents } from './prepare.js'
import { nextStageFolder } from './previous-stage.js'
import type { RunFolder } from './run-folder.js'
import type { RunSetup } from './setup.js'
import { watch } from './watch.js'

/**
 * Validates with the trainer's present weights.
 * @param checkpoint whose weights these are; decides the folder
 * @returns what was found, or 'stopped' if it was stopped (nothing counts then)
 */
export async function runEndValidation(
  trainer: NativeTrainer,
  setup: RunSetup,
  folder: RunFolder,
  checkpoint: CheckpointName,
  context: JobContext,
): Promise<ValidationFinishedEvent | 'stopped'> {
  const { validation: caseIds, options, dataset } = setup
  const outputFolder = folder.validation(checkpoint)
  const begin = performance.now()
  let predicted = 0
  const job = {
    caseIds,
    dataFolder: setup.caseFolder,
    referenceFolder: setup.referenceFolder,
    outputFolder,
    fileEnding: dataset.fileEnding,
    reader: setup.plans.image_reader_writer as ReaderName,
    targets: dataset.targets,
    ignoreLabel: dataset.ignoreLabel,
    exportPlan: setup.exportPlan,
    saveProbabilities: options.validation.saveProbabilities,
    previousStage: setup.previousStage,
    // Of the final weights, as nnU-Net has it.
    nextStages: (checkpoint === 'final' ? setup.nextStages : []).map((stage) => ({
      spacing: stage.spacing,
      folder: nextStageFolder(folder.modelFolder, stage),
    })),
    patchSize: setup.configuration.patch_size,
    window: {
      tileStep: options.validation.stepSize,
      gaussian: true,
      mirrorAxes: options.validation.mirroring ? setup.mirrorAxes : [],
    },
  }
  const results: CaseResult[] = []
  const onPredicted = (caseId: string) => {
    predicted++
    const secondsPerCase = (performance.now() - begin) / 1000 / predicted
    const secondsLeft = secondsPerCase * (caseIds.length - predicted)
    context.emit({ type: 'validation_progress', caseId, done: predicted, total: caseIds.length, secondsLeft })
  }
  const onCase = (caseId: string, result: CaseResult) => {
    results.push(result)
    const dice = dataset.targets.map(({ key }) => finiteOrNull(result.metrics.get(key)?.Dice ?? Number.NaN))
    context.emit({ type: 'case_validated', caseId, dice })
  }
  try {
    await unpackWithEvents(job.dataFolder, caseIds, context)
    const own = (part: string[], stopping: AbortSignal) =>
      validateCases(
        trainer,
        { ...job, caseIds: part },
        {
          predict: async (caseId, predict) => {
            await folder.log(`predicting ${caseId}`)
            const prediction = await watch(trainer, { ...context, stopping }, predict, { caseId })
            onPredicted(caseId)
            return prediction
          },
          onCase,
        },
      )
    if (context.leader) {
      const workOf = (part: string[]) => ({ kind: 'validation' as const, job: { ...job, caseIds: part } })
      const onOthers = (caseId: string, result: CaseResult | undefined) => {
        onPredicted(caseId)
        onCase(caseId, result as CaseResult)
      }
      await context.leader.shareCases(caseIds, workOf, own, onOthers, context)
    } else {
      await own(caseIds, context.stopping)
    }
    const summary = await writeSummary(job, results)
    const event: ValidationFinishedEvent = {
      type: 'validation_finished',
      checkpoint,
      summary: path.join(outputFolder, 'summary.json'),
      labels: dataset.targets.map(({ name, value, key }) => ({
        name,
        value,
        dice: finiteOrNull(summary.mean.get(key)?.Dice ?? Number.NaN),
      })),
      meanForegroundDice: finiteOrNull(summary.foregroundMean.Dice),
    }
    const which = checkpoint === 'final' ? '' : ` of checkpoint_${checkpoint}`
    await folder.log(`Validation${which} complete`, `Mean Validation Dice:  ${summary.foregroundMean.Dice}`)
    context.emit(event)
    return event
  } catch (error) {
    if (context.stopping.aborted) return 'stopped'
    throw error
  }
}

/** The weights that a run validates at its end. */
export function wantedValidations(validateAtEnd: TrainOptions['validateAtEnd']): CheckpointName[] {
  if (validateAtEnd === false) return []
  return validateAtEnd === 'both' ? ['final', 'best'] : [validateAtEnd]
}

/** Result of an end validation that was finished before; undefined without one. */
export async function readValidation(
  folder: RunFolder,
  checkpoint: CheckpointName,
): Promise<RunResult['validations'][number] | undefined> {
  const file = path.join(folder.validation(checkpoint), 'summary.json')
  if (!existsSync(file)) return undefined
  const summary = (await readJson(file, 'summary.json')) as { foreground_mean: { Dice: number } }
  return { checkpoint, meanForegroundDice: finiteOrNull(summary.foreground_mean.Dice) }
}
