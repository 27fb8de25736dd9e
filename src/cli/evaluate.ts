// voxgrad evaluate: compares a folder of segmentations with their references.
import type { Command } from 'commander'
import type { EvaluateInput } from '../config/schema.js'
import { formatFixed } from '../report/format.js'
import { evaluate } from '../validate/evaluate.js'
import { caseProgress } from './case-progress.js'
import { addCommonFlags, addJobsFlag, type CommonFlags, makeContext } from './context.js'
import { numberOrText } from './options.js'
import { abortOnSignals } from './signals.js'

interface EvaluateFlags extends CommonFlags {
  datasetJson?: string
  plans?: string
  output?: string
  skipMissing?: boolean
  jobs?: string
}

export function addEvaluate(program: Command): void {
  const command = program
    .command('evaluate')
    .summary('Compare segmentations with their references.')
    .description(
      'Counts, for every label or region of dataset.json, the voxels that two segmentations agree on, and writes Dice, ' +
        "IoU and the counts of every case with their means to summary.json, as nnU-Net's evaluation does.",
    )
    .argument('<predictions>', 'The folder of predicted segmentations.')
    .argument('<truth>', 'The folder of references, with files of the same names.')
    .option('--dataset-json <file>', 'dataset.json (default: the one in PREDICTIONS, or beside TRUTH).')
    .option('--plans <file>', 'plans.json, which fixes how files are read (default: the one in PREDICTIONS, if any).')
    .option('--output <file>', 'Where to write (default: summary.json in PREDICTIONS).')
    .option('--skip-missing', 'Leave out references without a prediction, instead of refusing.')
    .addHelpText('after', '\nExample:\n  voxgrad evaluate predictions $nnUNet_raw/Dataset004_Hippocampus/labelsTs')
  addJobsFlag(command)
  addCommonFlags(command, []).action(async (predictions: string, truth: string, flags: EvaluateFlags) => {
    const { view, json } = makeContext(flags)
    const { datasetJson, plans, output, skipMissing } = flags
    const jobs = flags.jobs === undefined ? undefined : numberOrText(flags.jobs)
    const input = { predictions, truth, datasetJson, plans, output, skipMissing, jobs } as EvaluateInput
    const { file, targets, summary } = await evaluate(input, {
      onProgress: caseProgress('evaluate', view, json),
      signal: abortOnSignals(view),
    })
    view.close()
    const labels = targets.map(({ key, name }) => ({ key, name, dice: summary.mean.get(key)?.Dice ?? Number.NaN }))
    const mean = summary.foregroundMean.Dice
    json?.write({ type: 'evaluated', summary: file, cases: summary.cases.length, labels, meanForegroundDice: mean })
    const width = Math.max(...labels.map(({ name }) => name.length), 'mean'.length)
    for (const { name, dice } of [...labels, { name: 'mean', dice: mean }]) {
      view.message(`${name.padEnd(width)}  Dice ${formatFixed(dice, 4)}`)
    }
    view.message(`${summary.cases.length} cases; all numbers in ${file}`)
  })
}
