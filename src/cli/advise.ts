// voxgrad advise: whether a run's Dice still rises, and what training longer would bring.
import path from 'node:path'
import type { Command } from 'commander'
import { VoxgradError } from '../errors.js'
import { advise, fewestEpochs, trainingOf } from '../train/advice.js'
import { RunFolder } from '../train/run-folder.js'
import { addCommonFlags, type CommonFlags, makeContext } from './context.js'

export function addAdvise(program: Command): void {
  const command = program
    .command('advise')
    .summary('Say whether a run would gain from longer training.')
    .description(
      'Reads the curve of a run, finished or not: says with numbers whether the Dice still rises, what further epochs ' +
        'would likely bring, and what each way of training longer does to the learning rate. Changes nothing.',
    )
    .argument('<run>', 'The run folder, .../fold_0.')
    .addHelpText(
      'after',
      '\nExample:\n  voxgrad advise results/Dataset004_Hippocampus/voxgrad__nnUNetPlans__3d_fullres/fold_0',
    )
  addCommonFlags(command, []).action(async (run: string, flags: CommonFlags) => {
    const { view, json } = makeContext(flags)
    const folder = new RunFolder(path.resolve(run))
    const record = await folder.readRecord()
    const curve = (await folder.readMetrics()).filter((line) => line.type === 'epoch')
    const advice = advise(curve, trainingOf(record.options, record.status === 'finished'))
    if (advice.verdict === 'too_few') {
      throw new VoxgradError('ERR_RUN', {
        where: folder.metricsFile,
        required: `at least ${fewestEpochs} epochs with a mean_fg_dice to judge`,
        found: `${advice.judged}`,
        remedy: 'Train further (`voxgrad resume`) and ask again.',
      })
    }
    json?.write({ type: 'advice', run: folder.folder, status: record.status, ...advice })
    for (const line of advice.lines) view.message(line)
  })
}
