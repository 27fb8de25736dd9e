// Cascades: where a stage finds the previous one's segmentations of its cases, and where it leaves its own for the next.
import { existsSync } from 'node:fs'
import path from 'node:path'
import type { Folders } from '../config/folders.js'
import type { Split } from '../dataset/splits.js'
import { VoxgradError } from '../errors.js'
import { type Plans, resolveConfiguration } from '../plan/plans.js'

/** A stage that trains on this one's predictions. */
export interface NextStage {
  configuration: string
  /** Transposed order. */
  spacing: number[]
}

/** The configurations of the plans that follow one in a cascade. */
export function nextStagesOf(plans: Plans, configuration: string): NextStage[] {
  const { next_stage: names = [] } = resolveConfiguration(plans, configuration)
  return [names].flat().map((name) => ({ configuration: name, spacing: resolveConfiguration(plans, name).spacing }))
}

/** Where the segmentations for a next stage lie, CASE.b2nd, as nnU-Net names it below the folder of the model. */
export const nextStageFolder = (modelFolder: string, stage: NextStage): string =>
  path.join(modelFolder, 'predicted_next_stage', stage.configuration)

export interface PreviousStageQuery {
  /** In place of the previous stage's own folder. */
  given: string | undefined
  folders: Folders
  dataset: string
  plans: Plans
  configuration: string
  /** The previous stage's configuration. */
  previous: string
  /** Cases whose segmentations are needed. */
  caseIds: readonly string[]
  splits: readonly Split[]
}

/**
 * The folder of the previous stage's segmentations: the one given, else what voxgrad's own model of that stage has
 * predicted, else nnU-Net's.
 * @throws VoxgradError ERR_PREPROCESSED naming every case that lacks one, and the commands that predict them
 */
export function findPreviousStage(query: PreviousStageQuery): string {
  const { given, folders, dataset, plans, configuration, previous, caseIds } = query
  const model = (trainer: string) => path.join(folders.results, dataset, `${trainer}__${plans.plans_name}__${previous}`)
  const candidates = given
    ? [path.resolve(given)]
    : ['voxgrad', 'nnUNetTrainer'].map((trainer) => path.join(model(trainer), 'predicted_next_stage', configuration))
  const missingIn = (folder: string) => caseIds.filter((caseId) => !existsSync(path.join(folder, `${caseId}.b2nd`)))
  const complete = candidates.find((folder) => missingIn(folder).length === 0)
  if (complete !== undefined) return complete

  const folder = candidates[0] as string
  const missing = missingIn(folder)
  const found = `${configuration} trains on the segmentations of ${previous}, and ${folder} lacks those of ${missing.length} of ${caseIds.length} cases: ${missing.join(', ')}`
  const ways = given
    ? ['Put the missing files there, or name another folder by --previous-stage.']
    : commands(query, model('voxgrad'), missing)
  throw new VoxgradError('ERR_PREPROCESSED', { found, remedy: ways.join('\n') })
}

/** What predicts the missing cases: every fold's run predicts those that it does not train on. */
function commands(
  { splits, dataset, plans, previous }: PreviousStageQuery,
  model: string,
  missing: string[],
): string[] {
  const lines = splits.flatMap(({ val }, fold) => {
    if (!missing.some((caseId) => val.includes(caseId))) return []
    const run = path.join(model, `fold_${fold}`)
    const isTrained = existsSync(path.join(run, 'checkpoint_final.pth'))
    if (isTrained) return [`  voxgrad validate ${run}`]
    return [`  voxgrad train ${dataset} ${previous} ${fold} --plans ${plans.plans_name}`]
  })
  return ['The validation at the end of the run of a fold predicts the cases that the fold holds out:', ...lines]
}
