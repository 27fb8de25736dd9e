// voxgrad plan: the fingerprint and the plans of a dataset.
import type { Command } from 'commander'
import { nearest } from '../config/issues.js'
import { VoxgradError } from '../errors.js'
import type { PlanResult } from '../plan/plan.js'
import { defaultPlansName, type PresetName, presets } from '../plan/presets.js'
import { summaryOf } from '../plan/summary.js'
import { runInChild } from '../train/supervisor.js'
import { addCommonFlags, addJobsFlag, type CommonFlags, makeContext, wholeNumber } from './context.js'
import { followPreparation } from './follow.js'
import { numberOrText } from './options.js'

interface PlanFlags extends CommonFlags {
  preset?: string
  gpuMemory?: string
  plansName?: string
  overwrite?: boolean
  jobs?: string
}

export function addPlan(program: Command): void {
  const command = program
    .command('plan')
    .summary('Check a dataset and plan its configurations.')
    .description(
      'Checks every case of a raw dataset, measures it (dataset_fingerprint.json) and plans spacing, patches, batches ' +
        'and networks as nnU-Net does. A fingerprint that is there already is used; then no image is read.',
    )
    .argument('<dataset>', 'Id (4) or name (Dataset004_Hippocampus) of the dataset.')
    .option(
      '--preset <name>',
      `${Object.keys(presets).join(', ')} (default: default). resenc-m, -l and -xl are nnU-Net's residual encoder ` +
        'planners for 8, 24 and 40 GB of GPU memory. tiny suits a machine without a GPU: its networks have a quarter ' +
        'of the features.',
    )
    .option('--gpu-memory <gigabytes>', "The GPU memory to plan for (default: that of nnU-Net's planner).")
    .option('--plans-name <name>', "Name of the plans, in place of the preset's: nnUNetPlans, nnUNetPlansTiny, ...")
    .option(
      '--overwrite',
      'Replace configurations of an existing plans file even if this changes their numbers, which data that are ' +
        'preprocessed and runs may rely on.',
    )
    .addHelpText(
      'after',
      `
Examples:
  voxgrad plan 4
  voxgrad plan Dataset004_Hippocampus --preset tiny
  voxgrad plan 4 --preset resenc-l --gpu-memory 16 --plans-name ResEncL16GB`,
    )
  addJobsFlag(command)
  addCommonFlags(command, ['raw', 'preprocessed']).action(async (dataset: string, flags: PlanFlags) => {
    const context = makeContext(flags)
    const { view, json, folderOptions } = context
    const options = {
      dataset,
      folders: folderOptions,
      preset: presetOf(flags.preset ?? 'default'),
      gpuMemoryGb: flags.gpuMemory === undefined ? undefined : gigabytes(flags.gpuMemory),
      plansName: flags.plansName,
      overwrite: flags.overwrite,
      jobs: flags.jobs === undefined ? undefined : wholeNumber('-j', flags.jobs, 1),
    }
    const result = await followPreparation(runInChild<PlanResult>({ kind: 'plan', options }), context)
    const { plans, plansFile, fingerprintMade } = result
    json?.write({
      type: 'planned',
      dataset: result.dataset.name,
      plansFile,
      fingerprintMade,
      configurations: plans.configurations,
    })
    if (!fingerprintMade) view.message('The dataset_fingerprint.json that was there has been used.')
    for (const line of summaryOf(plans)) view.message(line)
    view.message(`Plans: ${plansFile}`)
    const suffix = plans.plans_name === defaultPlansName ? '' : ` --plans ${plans.plans_name}`
    view.message(`Next: voxgrad preprocess ${result.dataset.id}${suffix}`)
  })
}

function presetOf(name: string): PresetName {
  if (Object.hasOwn(presets, name)) return name as PresetName
  const names = Object.keys(presets)
  const near = nearest(name, names)
  const hint = near ? `did you mean ${near}?` : `there are ${names.join(', ')}`
  throw new VoxgradError('ERR_CONFIG', { where: '--preset', found: `there is no preset "${name}", ${hint}` })
}

function gigabytes(text: string): number {
  const value = numberOrText(text)
  if (typeof value === 'number' && value > 0) return value
  throw new VoxgradError('ERR_CONFIG', {
    where: '--gpu-memory',
    required: 'a number of gigabytes above 0',
    found: `"${text}"`,
  })
}
