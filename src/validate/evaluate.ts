// Compares a folder of segmentations with their references and writes summary.json (nnU-Net's evaluate_folder).
import { existsSync } from 'node:fs'
import path from 'node:path'
import { type CasePoolOptions, forEachCase } from '../case-pool.js'
import { type EvaluateInput, type EvaluateOptions, evaluateOptionsSchema, parseOptions } from '../config/schema.js'
import { type DatasetJson, readDatasetJson, type Target } from '../dataset/dataset-json.js'
import { readSegmentation, type Segmentation } from '../dataset/image.js'
import { bytesToRead, readerOfCases, visibleNames } from '../dataset/raw.js'
import { type ReaderName, supportedReader } from '../dataset/readers.js'
import { VoxgradError } from '../errors.js'
import { writeFileAtomically } from '../files.js'
import { readPlans } from '../plan/plans.js'
import { caseMetrics } from './metrics.js'
import { type CaseResult, type Summary, summarize, summaryText } from './summary.js'

/** Metrics of a folder of segmentations, and where they were written. */
export interface Evaluation {
  /** summary.json */
  file: string
  targets: Target[]
  summary: Summary
}

/**
 * Evaluates all segmentations of a folder against the files of the same names in another one.
 * @throws VoxgradError ERR_CONFIG; ERR_DATASET naming every file that is missing, or every case whose two grids differ;
 * ERR_DISK
 */
export async function evaluate(input: EvaluateInput, pool: CasePoolOptions = {}): Promise<Evaluation> {
  const options = parseOptions(evaluateOptionsSchema, input, 'options of evaluate')
  const predictions = path.resolve(options.predictions)
  const truth = path.resolve(options.truth)
  const { dataset, reader } = await describe(options)
  const cases = matchFiles(predictions, truth, dataset.fileEnding, options.skipMissing)
  const file = path.resolve(options.output ?? path.join(predictions, 'summary.json'))
  const how = { reader: reader ?? (await readerOfSegmentations(dataset, cases)), dataset }
  const summary = await evaluateFiles(cases, how, { jobs: options.jobs, ...pool })
  await writeFileAtomically(file, summaryText(summary))
  return { file, targets: dataset.targets, summary }
}

/** One case to evaluate. */
export interface EvaluatedFiles {
  caseId: string
  prediction: string
  reference: string
}

export interface EvaluationRules {
  reader: ReaderName
  dataset: Pick<DatasetJson, 'targets' | 'ignoreLabel'>
  /** What is done to each prediction first. */
  change?: (segmentation: Segmentation) => Float32Array
}

/**
 * Metrics of every case, and their means.
 * @throws VoxgradError ERR_DATASET naming every faulty case
 */
export async function evaluateFiles(
  cases: EvaluatedFiles[],
  { reader, dataset: { targets, ignoreLabel }, change = ({ labels }) => labels }: EvaluationRules,
  pool: CasePoolOptions,
): Promise<Summary> {
  const evaluateCase = async ({ prediction, reference }: EvaluatedFiles): Promise<CaseResult> => {
    const predicted = await readSegmentation(prediction, { reader })
    const referred = await readSegmentation(reference, { reader })
    if (predicted.shape.join() !== referred.shape.join()) {
      throw new VoxgradError('ERR_DATASET', {
        required: 'both segmentations on one grid',
        found: `(z, y, x) = (${predicted.shape.join(', ')}) in ${prediction} and (${referred.shape.join(', ')}) in ${reference}`,
        remedy: 'Predict the case again from the image that the reference belongs to.',
      })
    }
    return {
      metrics: caseMetrics(change(predicted), referred.labels, targets, ignoreLabel),
      predictionFile: prediction,
      referenceFile: reference,
    }
  }
  const bytes = ({ prediction, reference }: EvaluatedFiles) =>
    bytesToRead({ caseId: '', images: [prediction, reference] })
  return summarize(
    await forEachCase(cases, evaluateCase, bytes, pool),
    targets.map(({ key }) => key),
  )
}

/** dataset.json and the reader that the plans fix, given or found beside the segmentations. */
async function describe(options: EvaluateOptions): Promise<{ dataset: DatasetJson; reader: ReaderName | undefined }> {
  const beside = [options.predictions, path.dirname(path.resolve(options.truth))]
  const found = (name: string) => beside.map((folder) => path.resolve(folder, name)).find((file) => existsSync(file))
  const file = options.datasetJson ?? found('dataset.json')
  if (file === undefined) {
    throw new VoxgradError('ERR_CONFIG', {
      found: `There is no dataset.json in ${beside.join(' or ')}, which says what labels to evaluate`,
      remedy: 'Name it by --dataset-json.',
    })
  }
  const plansFile = options.plans ?? found('plans.json')
  const plans = plansFile === undefined ? undefined : await readPlans(plansFile)
  return {
    dataset: await readDatasetJson(file),
    reader: plans && supportedReader(plans.image_reader_writer, `image_reader_writer of ${plansFile}`),
  }
}

/** Without plans the reference files decide, as images do in planning. */
function readerOfSegmentations(dataset: DatasetJson, cases: EvaluatedFiles[]): Promise<ReaderName> {
  return readerOfCases(
    dataset,
    cases.map(({ caseId, reference }) => ({ caseId, images: [reference] })),
  )
}

/**
 * Pairs the files of two folders by name.
 * @param skipMissing references without a prediction are left out
 * @throws VoxgradError ERR_DATASET naming every file without its counterpart
 */
export function matchFiles(
  predictions: string,
  truth: string,
  fileEnding: string,
  skipMissing: boolean,
): EvaluatedFiles[] {
  const names = (folder: string) => visibleNames(folder).filter((name) => name.endsWith(fileEnding))
  const predicted = names(predictions)
  const referred = names(truth)
  const [inPredictions, inTruth] = [new Set(predicted), new Set(referred)]
  const unpredicted = skipMissing ? [] : referred.filter((name) => !inPredictions.has(name))
  const unreferred = predicted.filter((name) => !inTruth.has(name))
  const faults = [
    predicted.length === 0 && `${predictions} holds no segmentation (*${fileEnding})`,
    unpredicted.length > 0 &&
      `${predictions} lacks predictions for (--skip-missing leaves them out): ${unpredicted.join(', ')}`,
    unreferred.length > 0 && `${truth} lacks references for: ${unreferred.join(', ')}`,
  ].filter((fault) => fault !== false)
  if (faults.length > 0) throw new VoxgradError('ERR_DATASET', faults.join('\n'))
  return predicted.map((name) => ({
    caseId: name.slice(0, -fileEnding.length),
    prediction: path.join(predictions, name),
    reference: path.join(truth, name),
  }))
}
