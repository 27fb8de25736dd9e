// Segments a folder of images: preprocess, sliding window with every fold, mean of the logits, back to the original grid.
import path from 'node:path'
import { inferenceConfig } from '../config/resolve.js'
import type { PredictOptions } from '../config/schema.js'
import { type CaseImage, readCaseImages, writeSegmentation } from '../dataset/image.js'
import { listImageFolder, type RawCase } from '../dataset/raw.js'
import { VoxgradError } from '../errors.js'
import { readBytes, writeFileAtomically } from '../files.js'
import type { NativeImage, NativeTrainer, PredictionJob } from '../native/binding.js'
import { native } from '../native/load.js'
import { exportPlan } from '../preprocess/export-plan.js'
import { preprocessingPlan } from '../preprocess/native-plan.js'
import { type Model, openModel } from './model.js'

export interface PredictionHooks {
  /** Runs one prediction; it may end it early, which rejects. */
  predict<Result>(trainer: NativeTrainer, job: () => Promise<Result>): Promise<Result>
  onCase(caseId: string, done: number, total: number, secondsLeft: number): void
}

/**
 * Predicts every case of a folder and writes segmentations, dataset.json and plans.json.
 * @returns the number of cases
 * @throws VoxgradError ERR_DATASET naming every faulty input before anything is predicted; ERR_RUN, ERR_DISK
 */
export async function predictFolder(options: PredictOptions, hooks: PredictionHooks): Promise<number> {
  const model = await openModel(options.run, options.folds, options.checkpoint)
  const cases = listImageFolder(path.resolve(options.input), model.dataset)
  await checkInputs(cases, model)
  const outputFolder = path.resolve(options.output)
  for (const file of ['dataset.json', 'plans.json']) {
    const content = await readBytes(path.join(model.folder, file), file)
    await writeFileAtomically(path.join(outputFolder, file), content)
  }

  const trainers: NativeTrainer[] = []
  try {
    for (const checkpoint of model.checkpoints) {
      const trainer = await native().createTrainer(inferenceConfig(model.configuration, model.dataset, options))
      trainers.push(trainer)
      await trainer.loadCheckpoint({ path: checkpoint, what: 'weights' })
    }
    const begin = performance.now()
    for (const [index, { caseId, images }] of cases.entries()) {
      const file = path.join(outputFolder, caseId + model.dataset.fileEnding)
      await predictCase(
        await readCaseImages(images, caseId, { reader: model.reader }),
        file,
        model,
        trainers,
        options,
        hooks,
      )
      const done = index + 1
      const secondsPerCase = (performance.now() - begin) / 1000 / done
      hooks.onCase(caseId, done, cases.length, secondsPerCase * (cases.length - done))
    }
  } finally {
    for (const trainer of trainers) await trainer.dispose()
  }
  return cases.length
}

/** Reads every input once, so that a damaged one is known before hours of prediction. */
async function checkInputs(cases: RawCase[], model: Model): Promise<void> {
  const faults: string[] = []
  for (const { caseId, images } of cases) {
    try {
      const { image } = await readCaseImages(images, caseId, { reader: model.reader })
      const expected = model.dataset.channels.length
      if (image.shape[0] !== expected) {
        const names = images.map((file) => path.basename(file)).join(', ')
        faults.push(`${caseId}: expected ${expected} channels, found ${image.shape[0]} in ${names}`)
      }
    } catch (error) {
      faults.push((error as Error).message)
    }
  }
  if (faults.length > 0) {
    throw new VoxgradError('ERR_DATASET', `Nothing was predicted; these inputs are faulty:\n${faults.join('\n')}`)
  }
}

async function predictCase(
  { image, spacing, geometry }: CaseImage,
  file: string,
  { plans, configuration, dataset, mirrorAxes, reader }: Model,
  trainers: NativeTrainer[],
  options: PredictOptions,
  hooks: PredictionHooks,
): Promise<void> {
  const plan = preprocessingPlan(plans, configuration)
  const preprocessed = await native().preprocessForPrediction({ image, spacing, plan })
  const window: PredictionJob = {
    tileStep: options.stepSize,
    gaussian: true,
    mirrorAxes: options.mirroring ? mirrorAxes : [],
  }
  const perFold: NativeImage[] = []
  for (const trainer of trainers) {
    perFold.push(await hooks.predict(trainer, () => trainer.predict({ ...window, image: preprocessed.image })))
  }
  const { labels, shape } = await native().exportSegmentation({
    ...exportPlan(plans, configuration, dataset),
    logits: meanLogits(perFold),
    properties: preprocessed.properties,
  })
  await writeSegmentation(file, labels, shape, { geometry, spacing }, reader)
}

/** Mean over folds, taken before the resampling as nnU-Net does. */
export function meanLogits(folds: NativeImage[]): NativeImage {
  const [first, ...others] = folds as [NativeImage, ...NativeImage[]]
  if (others.length === 0) return first
  const data = first.data.map((value, i) => {
    const sum = others.reduce((total, other) => total + (other.data[i] as number), value)
    return sum / folds.length
  })
  return { data, shape: first.shape }
}
