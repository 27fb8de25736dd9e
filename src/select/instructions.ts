// The commands that segment new images with what cross-validation found best: inference_instructions.txt.
import path from 'node:path'
import type { Fold } from '../config/schema.js'
import type { TrainedModel } from './best-configuration.js'

/** @param postprocessing the file postprocessing.json */
export function instructionsFor(
  models: readonly TrainedModel[],
  folds: readonly Fold[],
  postprocessing: string,
): string {
  const isEnsemble = models.length > 1
  const outputs = models.map((_, i) => (isEnsemble ? `OUTPUT_FOLDER_MODEL_${i + 1}` : 'OUTPUT_FOLDER'))
  const predict = (output: string | undefined, folder: string) =>
    `voxgrad predict -i INPUT_FOLDER -o ${output} --run ${folder} --folds ${folds.join(',')}`
  const saving = isEnsemble ? ' --save-probabilities' : ''
  const predictions = models.flatMap(({ folder, trainer, plans, previousStage }, i) => {
    if (previousStage === undefined) return [predict(outputs[i], folder) + saving]
    const earlier = `${outputs[i]}_PREVIOUS_STAGE`
    const earlierModel = path.join(path.dirname(folder), `${trainer}__${plans}__${previousStage}`)
    return [predict(earlier, earlierModel), `${predict(outputs[i], folder)} --previous-stage ${earlier}${saving}`]
  })
  const lines = [
    isEnsemble
      ? '***An ensemble did best. Run inference with its members like this:***'
      : '***Run inference like this:***',
    '',
    ...predictions,
    '',
    ...(isEnsemble
      ? ['***Then ensemble them:***', '', `voxgrad ensemble -i ${outputs.join(' ')} -o OUTPUT_FOLDER`, '']
      : []),
    '***Once inference is completed, run postprocessing like this:***',
    '',
    `voxgrad postprocess -i OUTPUT_FOLDER -o OUTPUT_FOLDER_PP --steps ${postprocessing}`,
    '',
  ]
  return lines.join('\n')
}
