// train --dry-run: every number that a run would have, with nothing written and no engine started.
import { existsSync } from 'node:fs'
import path from 'node:path'
import { Document, isCollection, visit } from 'yaml'
import { findDataset } from '../config/folders.js'
import { resolveTrainerConfig } from '../config/resolve.js'
import type { TrainOptions } from '../config/schema.js'
import { readDatasetJson } from '../dataset/dataset-json.js'
import type { TrainerConfig } from '../native/binding.js'
import { readPlans, resolveConfiguration } from '../plan/plans.js'
import { budgetSentence, resolveBudget } from '../train/budget.js'
import { learningRate, resolveSchedule } from '../train/schedule.js'
import type { Context } from './context.js'

/**
 * Shows options, the engine's configuration (if the dataset is planned), budget and learning rates.
 * @throws VoxgradError ERR_CONFIG, ERR_DATASET
 */
export async function showDryRun(options: TrainOptions, { view, json, folders }: Context): Promise<void> {
  const { name } = findDataset(folders, options.dataset)
  const budget = resolveBudget(options.budget)
  const schedule = resolveSchedule(options, budget)
  const epochs = Math.ceil(budget.totalSteps / budget.stepsPerEpoch)
  const sentence = budgetSentence(budget, schedule)
  const engine = await engineConfig(options, path.join(folders.preprocessed, name))
  const learningRates = { first: learningRate(schedule, 0), last: learningRate(schedule, budget.totalSteps - 1) }
  json?.write({
    type: 'dry_run',
    options,
    engine,
    budget: { ...budget, epochs, sentence },
    learningRate: learningRates,
  })
  view.message(`# Options\n${toYaml(options)}`)
  view.message(
    engine
      ? `\n# The engine's configuration\n${toYaml(engine)}`
      : `\n${name} has no ${options.plans} yet: train makes them.`,
  )
  view.message(`\n${sentence}\nDry run: nothing was written.`)
}

async function engineConfig(options: TrainOptions, datasetFolder: string): Promise<TrainerConfig | null> {
  const plansFile = path.join(datasetFolder, `${options.plans}.json`)
  if (!existsSync(plansFile)) return null
  const configuration = resolveConfiguration(await readPlans(plansFile), options.configuration)
  return resolveTrainerConfig(configuration, await readDatasetJson(path.join(datasetFolder, 'dataset.json')), options)
}

/** YAML with plain lists of numbers on one line. */
function toYaml(value: object): string {
  const document = new Document(value)
  visit(document, {
    Seq(_, node) {
      node.flow = !node.items.some(isCollection)
    },
  })
  return document.toString({ flowCollectionPadding: false }).trimEnd()
}
