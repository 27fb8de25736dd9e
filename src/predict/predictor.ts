// A trained model in memory, one network a fold, that segments case after case: sliding window, mean of the logits.
import path from 'node:path'
import { inferenceConfig } from '../config/resolve.js'
import { type PredictorInput, type PredictorOptions, parseOptions, predictorOptionsSchema } from '../config/schema.js'
import { type CaseImage, readCaseImages, readSegmentation } from '../dataset/image.js'
import { VoxgradError } from '../errors.js'
import type { ExportedSegmentation, NativeImage, NativeTrainer, PredictionJob } from '../native/binding.js'
import { native } from '../native/load.js'
import { type CaseLogits, type ExportFormat, exportCase } from '../preprocess/export-case.js'
import { exportPlan } from '../preprocess/export-plan.js'
import { preprocessingPlan } from '../preprocess/native-plan.js'
import { type Model, openModel } from './model.js'

/** Runs one native prediction; it may end it early, which rejects. */
export type PredictionRunner = <Result>(trainer: NativeTrainer, job: () => Promise<Result>) => Promise<Result>

/** The files of one case, in and out. */
export interface CaseToPredict {
  /** Image files, one a channel in the order of dataset.json; one alone where it holds all (RGB). */
  images: string[]
  /** The file to write, with the file ending of the dataset. */
  output: string
  /** In a cascade: file of the previous stage's segmentation of this case. */
  previousStage?: string | undefined
}

/**
 * Opens a trained model of voxgrad or nnU-Net and keeps its networks in memory; dispose of it by `await using` or dispose().
 * @throws VoxgradError ERR_CONFIG, ERR_RUN naming every checkpoint that is missing, ERR_CHECKPOINT, ERR_FORMAT, ERR_DEVICE
 */
export async function openPredictor(input: PredictorInput): Promise<Predictor> {
  const options = parseOptions(predictorOptionsSchema, input, 'options of openPredictor')
  return Predictor.open(await openModel(options.run, options.folds, options.checkpoint), options)
}

/** Segments one case at a time; further calls wait for their turn. */
export class Predictor {
  #turn: Promise<unknown> = Promise.resolve()

  private constructor(
    /** @internal */
    readonly model: Model,
    private readonly trainers: NativeTrainer[],
    private readonly options: PredictorOptions,
  ) {}

  /** @internal */
  static async open(model: Model, options: PredictorOptions): Promise<Predictor> {
    const { network } = model
    const config = inferenceConfig(model.configuration, model.dataset, { ...options, network })
    const predictor = new Predictor(model, [], options)
    try {
      for (const checkpoint of model.checkpoints) {
        const trainer = await native().createTrainer(config)
        predictor.trainers.push(trainer)
        await trainer.loadCheckpoint({ path: checkpoint, what: 'weights' })
      }
    } catch (error) {
      await predictor.dispose()
      throw error
    }
    return predictor
  }

  /** Of images and segmentations, with the dot. */
  get fileEnding(): string {
    return this.model.dataset.fileEnding
  }

  /**
   * How this model's predictions are written.
   * @internal
   */
  get format(): ExportFormat {
    const { plans, configuration, dataset, reader } = this.model
    return {
      exportPlan: exportPlan(plans, configuration, dataset),
      reader,
      fileEnding: dataset.fileEnding,
      saveProbabilities: this.options.saveProbabilities,
    }
  }

  /** Names of the channels that a case has, in the order of its images. */
  get channels(): string[] {
    return this.model.dataset.channels
  }

  /**
   * Segments one case and writes it on the image's own grid; with saveProbabilities also .npz and .pkl beside it.
   * @param settings.signal its abort ends the prediction, which then rejects
   * @throws VoxgradError ERR_CONFIG, ERR_DATASET, ERR_FORMAT, ERR_DISK, ERR_STOPPED
   */
  predict(
    { images, output, previousStage }: CaseToPredict,
    { signal }: { signal?: AbortSignal } = {},
  ): Promise<ExportedSegmentation> {
    return this.inTurn(async () => {
      const { dataset, configuration } = this.model
      if (!output.endsWith(dataset.fileEnding)) {
        throw new VoxgradError('ERR_CONFIG', {
          where: 'output',
          required: `a file ending in ${dataset.fileEnding}`,
          found: output,
        })
      }
      if ((previousStage === undefined) !== (configuration.previous_stage === undefined)) {
        const expected = configuration.previous_stage ? `a segmentation by ${configuration.previous_stage}` : 'none'
        throw new VoxgradError('ERR_CONFIG', {
          where: 'previousStage',
          required: expected,
          found: previousStage ?? 'none',
        })
      }
      const file = path.resolve(output)
      const image = await readCase(this.model, path.basename(file, dataset.fileEnding), images)
      const logits = await this.logitsOf(image, previousStage ?? null, async (trainer, job) => {
        signal?.throwIfAborted()
        const stop = () => trainer.stop()
        signal?.addEventListener('abort', stop)
        return job().finally(() => signal?.removeEventListener('abort', stop))
      })
      return exportCase(file.slice(0, -dataset.fileEnding.length), logits, this.format)
    })
  }

  /**
   * The mean of all folds' logits of a case, on the network's grid.
   * @internal
   */
  async logitsOf(
    { image, spacing, geometry }: CaseImage,
    previousFile: string | null,
    run: PredictionRunner,
  ): Promise<CaseLogits> {
    const { plans, configuration, dataset, mirrorAxes, reader } = this.model
    const previousStage =
      previousFile === null
        ? null
        : {
            segmentation: (await readSegmentation(previousFile, { reader })).labels,
            labels: dataset.foregroundLabels.length,
          }
    const plan = preprocessingPlan(plans, configuration)
    const preprocessed = await native().preprocessForPrediction({ image, spacing, plan, previousStage })
    const window: PredictionJob = {
      tileStep: this.options.stepSize,
      gaussian: true,
      mirrorAxes: this.options.mirroring ? mirrorAxes : [],
    }
    const perFold: NativeImage[] = []
    for (const trainer of this.trainers) {
      perFold.push(await run(trainer, () => trainer.predict({ ...window, image: preprocessed.image })))
    }
    return { logits: meanLogits(perFold), properties: preprocessed.properties, geometry }
  }

  /** Frees the networks, after the case in work. */
  async dispose(): Promise<void> {
    await this.inTurn(async () => {
      for (const trainer of this.trainers.splice(0)) await trainer.dispose()
    })
  }

  /** Frees the network's memory; `await using` calls it. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose()
  }

  private inTurn<Result>(deed: () => Promise<Result>): Promise<Result> {
    const done = this.#turn.then(deed)
    this.#turn = done.catch(() => {})
    return done
  }
}

/**
 * Reads a case as a model expects it.
 * @throws VoxgradError ERR_IMAGE, ERR_DATASET, ERR_FORMAT
 */
export async function readCase({ dataset, reader }: Model, caseId: string, images: string[]): Promise<CaseImage> {
  const read = await readCaseImages(images, caseId, { reader })
  const [expected, there] = [dataset.channels.length, read.image.shape[0]]
  if (there === expected) return read
  const names = images.map((file) => path.basename(file)).join(', ')
  const [required, found] = [`${expected} channels`, `${there} in ${names}`]
  throw new VoxgradError('ERR_IMAGE', { where: caseId, required, found })
}

/** Mean over folds, taken before the resampling as nnU-Net does. */
function meanLogits(folds: NativeImage[]): NativeImage {
  const [first, ...others] = folds as [NativeImage, ...NativeImage[]]
  if (others.length === 0) return first
  const data = first.data.map((value, i) => {
    const sum = others.reduce((total, other) => total + (other.data[i] as number), value)
    return sum / folds.length
  })
  return { data, shape: first.shape }
}
