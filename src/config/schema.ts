// The options of every verb as zod schemas: all names, defaults and limits live here and nowhere else.
import { z } from 'zod'
import { VoxgradError } from '../errors.js'
import { type PresetName, presets } from '../plan/presets.js'
import { type AugmentationNumbers, augmentationPresets } from './augmentation-presets.js'
import { describeIssues } from './issues.js'

const positive = z.number().positive()
const count = z.int().positive()
const probability = z.number().min(0).max(1)
const range = z
  .tuple([z.number(), z.number()])
  .refine(([low, high]) => low <= high, 'expected [low, high] with low <= high')
const countRange = z.tuple([count, count]).refine(([low, high]) => low <= high, 'expected [low, high] with low <= high')

/** An id (`4`, `"004"`) or a name (`"Dataset004_Hippocampus"`). */
const dataset = z
  .union([z.string().min(1), z.int().nonnegative()])
  .transform(String)
  .describe('Id (4) or name (Dataset004_Hippocampus)')

/** Of `dashboard` and `train --dashboard`: fixed, so that a tunnel and a bookmark can rely on it. */
export const defaultDashboardPort = 7788

const foldersSchema = z
  .strictObject({
    raw: z.string().optional().describe('Datasets as they came: images, labels, dataset.json'),
    preprocessed: z.string().optional().describe('Fingerprints, plans, splits and preprocessed cases'),
    results: z.string().optional().describe('Runs and what follows from them'),
  })
  .describe("Roots of nnU-Net's folders; without them nnUNet_raw, nnUNet_preprocessed and nnUNet_results count")

const foldText = 'expected 0, 1, 2, 3, 4 or all'
const foldSchema = z.union([z.int().min(0, foldText).max(4, foldText), z.literal('all')], foldText)

const secondsOfUnit: Record<string, number> = { d: 86_400, h: 3600, m: 60, s: 1 }
const durationText = /^(?=\d)(?:[\d.]+d)?(?:[\d.]+h)?(?:[\d.]+m)?(?:[\d.]+s)?$/
/** Seconds, or text such as 12h, 90m or 1d12h; seconds come out. */
const duration = z
  .union([
    positive,
    z.string().regex(durationText, 'expected a duration such as 12h, 90m, 1h30m or a number of seconds'),
  ])
  .transform((value) => {
    if (typeof value === 'number') return value
    const parts = [...value.matchAll(/([\d.]+)([dhms])/g)]
    return parts.reduce((sum, [, number, unit]) => sum + Number(number) * (secondsOfUnit[unit as string] as number), 0)
  })
  .refine((seconds) => Number.isFinite(seconds) && seconds > 0, 'expected a duration above 0')

const budgetFields = {
  epochs: count.optional().describe('Number of epochs; 1000 unless steps is given'),
  steps: count.optional().describe('Total optimizer steps in place of epochs; the last epoch may be short'),
  stepsPerEpoch: count.default(250).describe('Optimizer steps in an epoch'),
  valSteps: count.default(50).describe('Validation batches at the end of each epoch'),
  time: duration
    .optional()
    .describe('Longest training time of one call, as 12h or in seconds; then the run stops and can be resumed'),
}
const epochsOrSteps = (budget: { epochs?: number | undefined; steps?: number | undefined }) =>
  budget.epochs === undefined || budget.steps === undefined
const epochsOrStepsText = 'epochs and steps exclude each other'
const budgetSchema = z.strictObject(budgetFields).refine(epochsOrSteps, epochsOrStepsText)

const momentum = z.number().min(0).lt(1)
const share = z.number().positive().lt(1)
const optimizerSchema = z.strictObject({
  kind: z
    .enum(['sgd', 'adam', 'adamw', 'adan'])
    .default('sgd')
    .describe('adamw and adan decay the weights apart from the gradient, sgd and adam as a part of it'),
  initialLr: positive.default(0.01).describe('The highest learning rate'),
  momentum: momentum.default(0.99).describe('Of sgd'),
  nesterov: z.boolean().default(true).describe('Of sgd'),
  betas: z.tuple([momentum, momentum]).default([0.9, 0.999]).describe('Decay of the two moments of adam and adamw'),
  adanBetas: z
    .tuple([share, share, share])
    .default([0.02, 0.08, 0.01])
    .describe("What adan's averages of gradient, gradient difference and square take of the new value"),
  eps: positive.default(1e-8).describe('Of adam, adamw and adan'),
  amsgrad: z.boolean().default(false).describe('Of adam and adamw'),
  weightDecay: z.number().nonnegative().default(3e-5).describe('L2 penalty of the weights'),
  clipNorm: z
    .union([positive, z.null(), z.literal('off')])
    .transform((value) => (value === 'off' ? null : value))
    .default(12)
    .describe('Largest L2 norm of the gradient over all parameters; off does not clip'),
})

const networkSchema = z.strictObject({
  normalization: z
    .enum(['plans', 'batch'])
    .default('plans')
    .describe("plans: what norm_op of the plans names; batch: batch norm in its place, as nnU-Net's trainer BN has it"),
})

const lossSchema = z
  .strictObject({
    kind: z
      .enum(['dice_ce', 'dice_topk', 'ce', 'topk', 'dice'])
      .default('dice_ce')
      .describe(
        'Soft Dice and cross-entropy, the cross-entropy of the hardest voxels in its place (topk), or one of them alone. ' +
          'With regions cross-entropy is binary, and there is no topk',
      ),
    weights: z
      .strictObject({
        dice: positive.default(1).describe('Of the soft Dice'),
        crossEntropy: positive.default(1).describe('Of the cross-entropy, or of its hardest voxels'),
      })
      .prefault({})
      .describe('Of the two parts, as far as kind has them'),
    topKPercent: z.number().positive().max(100).default(10).describe('Share of voxels that topk takes the mean over'),
    labelSmoothing: z
      .number()
      .min(0)
      .lt(1)
      .default(0)
      .describe(
        "Share of the cross-entropy that is the mean over all classes, in place of the label's; not with regions",
      ),
    smooth: z.number().nonnegative().default(1e-5).describe('Added to numerator and denominator of the soft Dice'),
    deepSupervision: z
      .boolean()
      .default(true)
      .describe("Whether the decoder's lower resolutions have a loss too; their outputs stay in the checkpoint"),
    ignoredMean: z
      .enum(['annotated', 'nnunet'])
      .default('annotated')
      .describe(
        'With an ignore label and regions or topk: the mean and the share are of annotated voxels; nnunet sums over ' +
          'regions and takes the share of all voxels, which other weights result from',
      ),
  })
  .describe('Of training and validation batches')

const scheduleSchema = z.strictObject({
  kind: z.enum(['poly', 'cosine', 'constant']).default('poly').describe('How the learning rate decays'),
  exponent: positive.default(0.9).describe('Exponent of the polynomial decay'),
  warmupSteps: z
    .int()
    .nonnegative()
    .default(0)
    .describe('Steps at the start in which the rate rises to optimizer.initialLr; the decay takes those that remain'),
  granularity: z
    .enum(['step', 'epoch'])
    .default('step')
    .describe("How often the rate changes; epoch is nnU-Net's own, step makes a run independent of the epoch size"),
  extensions: z
    .array(z.strictObject({ kind: z.enum(['continue', 'restart']), from: count }))
    .default([])
    .describe('Written by resume --schedule: from a step on the last rate is held, or a fresh decay begins'),
})

const bestModelSchema = z.strictObject({
  metric: z
    .union([z.enum(['ema_fg_dice', 'mean_fg_dice', 'val_loss']), z.templateLiteral(['label:', z.string().min(1)])])
    .default('ema_fg_dice')
    .describe('What decides about checkpoint_best and patience; label:NAME is the moving average of one label'),
  emaDecay: z
    .number()
    .min(0)
    .lt(1)
    .default(0.9)
    .describe('Weight of the past in the moving average of the pseudo-Dice'),
})

/** Names for common patiences, in epochs. */
export const patiencePresets = { off: null, short: 10, medium: 30, long: 50 } as const
type PatiencePreset = keyof typeof patiencePresets

const earlyStoppingSchema = z.strictObject({
  patience: z
    .union([count, z.null(), z.enum(Object.keys(patiencePresets) as [PatiencePreset, ...PatiencePreset[]])])
    .transform((value) => (typeof value === 'string' ? patiencePresets[value] : value))
    .default(null)
    .describe('Epochs without improvement after which training ends; short is 10, medium 30, long 50'),
  minDelta: z.number().nonnegative().default(0).describe('A smaller improvement does not count for patience'),
  warmupEpochs: z.int().nonnegative().default(0).describe('Epochs at the start that patience does not count'),
  onPlateau: z
    .enum(['stop', 'anneal'])
    .default('stop')
    .describe('anneal first brings the learning rate down to 0 over annealSteps'),
  annealSteps: count.optional().describe('Without it the steps of 10 epochs'),
  divergenceLoss: z.number().optional().describe('Training ends when the mean training loss of an epoch exceeds this'),
})

const nonFiniteSchema = z
  .strictObject({
    mostInARow: count.default(10).describe('Skipped steps in a row that load the last checkpoint'),
    mostReloads: z.int().nonnegative().default(3).describe('Reloads at the same place after which the run ends'),
  })
  .describe(
    'A step with a loss or gradient that is not finite is skipped; after mostInARow of them the last checkpoint is loaded and other patches are drawn, and after mostReloads the run ends',
  )

/** Ranges are [low, high]; what each number means: AugmentationConfig in src/native/binding.ts. */
const augmentationFields = z
  .strictObject({
    preset: z
      .enum(['default', 'none', 'no-mirroring', 'only-mirror-01', 'da5'])
      .default('default')
      .describe(
        "default: nnU-Net's chain; none: no transform and no mirroring; no-mirroring: neither in training nor in " +
          'prediction; only-mirror-01: along all axes but the last; da5: the stronger chain of nnUNetTrainerDA5',
      ),
    mirrorAxes: z
      .array(z.int().min(0).max(2))
      .refine((axes) => new Set(axes).size === axes.length, 'expected each axis once')
      .optional()
      .describe(
        'Spatial axes, 0 first, that training mirrors and prediction averages over; in place of those of preset',
      ),
    dummy2d: z
      .boolean()
      .optional()
      .describe(
        "Slices of axis 0 as 2D images, for rotation, scaling and low resolution; false is nnU-Net's noDummy2DDA",
      ),
    rotationDegrees: range.optional().describe("In place of the range that follows from the patch's shape"),
    rotationProbability: probability.optional(),
    rotationAxisProbability: probability.optional(),
    scalingProbability: probability.optional(),
    scalingRange: range.optional(),
    scalingPerAxis: z.boolean().optional(),
    nearestImage: z.boolean().optional(),
    nearestLabels: z.boolean().optional(),
    quarterTurnProbability: probability.optional(),
    transposeProbability: probability.optional(),
    noiseProbability: probability.optional(),
    noiseStandardDeviation: range.optional(),
    noiseAfterBlur: z.boolean().optional(),
    blurProbability: probability.optional(),
    blurSigma: range.optional(),
    blurSigmaPerAxis: z.boolean().optional(),
    blurChannelProbability: probability.optional(),
    medianFilterProbability: probability.optional(),
    medianFilterSize: countRange.optional(),
    medianFilterChannelProbability: probability.optional(),
    brightnessProbability: probability.optional(),
    brightnessRange: range.optional(),
    additiveBrightnessProbability: probability.optional(),
    additiveBrightnessDeviation: z.number().nonnegative().optional(),
    additiveBrightnessChannelProbability: probability.optional(),
    contrastProbability: probability.optional(),
    unclampedContrastProbability: probability.optional(),
    contrastRange: range.optional(),
    contrastChannelProbability: probability.optional(),
    lowResolutionProbability: probability.optional(),
    lowResolutionScale: range.optional(),
    lowResolutionChannelProbability: probability.optional(),
    gammaInvertedProbability: probability.optional(),
    secondGammaInvertedProbability: probability.optional(),
    gammaProbability: probability.optional(),
    gammaRange: range.optional(),
    blankRectangleProbability: probability.optional(),
    blankRectangleCount: countRange.optional(),
    blankRectangleChannelProbability: probability.optional(),
    brightnessGradientProbability: probability.optional(),
    brightnessGradientStrength: range.optional(),
    brightnessGradientChannelProbability: probability.optional(),
    localGammaProbability: probability.optional(),
    localGammaBelow: range.optional(),
    localGammaAbove: range.optional(),
    localGammaChannelProbability: probability.optional(),
    sharpeningProbability: probability.optional(),
    sharpeningStrength: range.optional(),
    sharpeningChannelProbability: probability.optional(),
    previousOperatorProbability: probability.optional().describe("Of a cascade's previous stage, as all that follow"),
    previousOperatorLabelProbability: probability.optional(),
    previousOperatorRadius: z.tuple([z.number().min(1), z.number().min(1)]).optional(),
    previousRemovalProbability: probability.optional(),
    previousRemovalLabelProbability: probability.optional(),
    previousRemovalShare: probability.optional(),
  })
  .describe('What is left out has the value of the preset')

/** With every number filled in, so that a stored run does not depend on what a preset is later. */
const augmentationSchema = augmentationFields
  .transform((options) => {
    const given = Object.entries(options).filter(([, value]) => value !== undefined)
    return {
      ...augmentationPresets[options.preset],
      ...(Object.fromEntries(given) as Pick<typeof options, 'preset' | 'mirrorAxes' | 'dummy2d' | 'rotationDegrees'> &
        Partial<AugmentationNumbers>),
    }
  })
  .superRefine((numbers, context) => {
    if (numbers.preset === 'none' && numbers.mirrorAxes?.length) {
      context.addIssue({
        code: 'custom',
        path: ['mirrorAxes'],
        message: 'expected none, because preset none mirrors nothing',
      })
    }
    for (const [first, second] of excluding) {
      if (numbers[first] + numbers[second] <= 1) continue
      context.addIssue({
        code: 'custom',
        message: `${first} and ${second} exclude each other and may sum to 1 at most`,
      })
    }
  })
const excluding = [
  ['blurProbability', 'medianFilterProbability'],
  ['contrastProbability', 'unclampedContrastProbability'],
] as const

const samplingSchema = z.strictObject({
  foreground: z
    .enum(['share', 'probability', 'matched-probability'])
    .default('share')
    .describe(
      'share: that of oversampleForeground, rounded, of every batch is forced to show foreground; probability: each ' +
        'sample with probability oversampleForeground; matched-probability: with the share that the rounded one is',
    ),
})

const dataSchema = z
  .strictObject({
    place: z
      .enum(['auto', 'device', 'host', 'disk'])
      .default('auto')
      .describe(
        'Where cases are kept while training; auto: the first of these that has room for them. It changes no result',
      ),
    storage: z
      .enum(['auto', 'float32', 'float16'])
      .default('auto')
      .describe(
        'Number format of training images there; auto: float16 where training is in bfloat16 or float16 and the ' +
          'normalization bounds the values. Validation is always of float32',
      ),
  })
  .describe('The preprocessed cases of a run')

const checkpointSchema = z
  .strictObject({
    everyEpochs: count.default(10).describe('Epochs between two saves'),
    everyMinutes: positive.default(10).describe('Minutes between two saves'),
  })
  .describe('checkpoint_latest is saved by whichever comes first, also in the middle of an epoch')

const slidingWindowSchema = z.strictObject({
  stepSize: z.number().positive().max(1).default(0.5).describe('Distance of neighboring tiles as a share of the tile'),
  mirroring: z.boolean().default(true).describe('Average over mirrored inputs, along the axes mirrored in training'),
})

const saveProbabilities = z
  .boolean()
  .describe("Also CASE.npz (probabilities) and CASE.pkl, nnU-Net's --npz; ensembles of configurations need them")

const deviceSchema = z.string().regex(/^(cpu|cuda(:\d+)?)$/, 'expected cpu, cuda or cuda:N')
const seedSchema = z
  .union([z.int().nonnegative(), z.string().regex(/^\d{1,20}$/)])
  .transform(String)
  .refine((text) => BigInt(text) < 2n ** 64n, 'expected a number below 2^64')
const checkpointName = z.enum(['final', 'best', 'latest'])
const threads = count.optional().describe('Native threads; without it one for each processor that the process may use')

/** Options of `plan`. */
export const planOptionsSchema = z.strictObject({
  dataset,
  folders: foldersSchema.prefault({}),
  preset: z
    .enum(Object.keys(presets) as [PresetName, ...PresetName[]])
    .default('default')
    .describe("Which of nnU-Net's planners; tiny has a quarter of the features, for machines without a GPU"),
  gpuMemoryGb: positive.optional().describe("The GPU memory to plan for; without it that of nnU-Net's planner"),
  plansName: z
    .string()
    .regex(
      /^(?!.*__)\w[\w.-]*$/,
      'expected a name of letters, digits, ".", "-" and "_", without two "_" in a row (they divide the parts of a run folder)',
    )
    .optional()
    .describe("The plans file without .json, in place of the preset's"),
  overwrite: z
    .boolean()
    .default(false)
    .describe('Replace configurations of an existing plans file of this dataset by ones with other numbers'),
  jobs: count.optional().describe('Cases at once; without it one for each processor, 8 at most'),
})

/** Options of `preprocess`. */
export const preprocessOptionsSchema = z.strictObject({
  dataset,
  folders: foldersSchema.prefault({}),
  configurations: z
    .array(z.string().min(1))
    .min(1)
    .optional()
    .describe('By default those of 2d, 3d_fullres and 3d_lowres that the plans have'),
  plans: z.string().min(1).default('nnUNetPlans').describe('The plans file, without .json'),
  jobs: count.optional().describe('Cases at once; without it one for each processor, 8 at most'),
})

/** Options of `train`; `z.infer` of it with every default filled in is what a run stores in run.json. */
export const trainOptionsSchema = z.strictObject({
  dataset,
  configuration: z.string().min(1).describe('2d, 3d_fullres, or another configuration of the plans'),
  fold: foldSchema.describe('The fold that is held out; all trains on every case'),
  plans: z.string().min(1).default('nnUNetPlans').describe('The plans file, without .json'),
  folders: foldersSchema.prefault({}),
  run: z.string().min(1).optional().describe('The run folder, in place of the one below nnUNet_results'),
  pretrained: z
    .string()
    .min(1)
    .optional()
    .describe(
      'A checkpoint of voxgrad or nnU-Net whose weights training starts from, all but the segmentation layers; the rest of the network must be the same',
    ),
  previousStage: z
    .string()
    .min(1)
    .optional()
    .describe("In a cascade: folder of the previous stage's predictions, in place of its predicted_next_stage"),
  continue: z.boolean().default(false).describe('Resume the run if the folder holds one, start it otherwise'),
  device: deviceSchema.default('cpu').describe('cpu, cuda or cuda:N'),
  precision: z
    .enum(['auto', 'float32', 'bfloat16', 'float16'])
    .default('auto')
    .describe('auto: float32 on the CPU, bfloat16 on CUDA'),
  threads,
  seed: seedSchema.default('12345').describe('Of everything random'),
  deterministic: z
    .boolean()
    .default(false)
    .describe('Makes CUDA reproducible, at some cost in speed; the CPU always is'),
  cudaGraph: z.boolean().default(true).describe('On CUDA: record a step once and replay it, in place of launching it'),
  budget: budgetSchema.prefault({}),
  network: networkSchema.prefault({}),
  loss: lossSchema.prefault({}),
  optimizer: optimizerSchema.prefault({}),
  schedule: scheduleSchema.prefault({}),
  bestModel: bestModelSchema.prefault({}),
  earlyStopping: earlyStoppingSchema.prefault({}),
  nonFinite: nonFiniteSchema.prefault({}),
  batchSize: count.optional().describe('In place of that of the plans'),
  oversampleForeground: probability
    .default(0.33)
    .describe('Share of samples that are forced to show foreground; see sampling.foreground'),
  sampling: samplingSchema.prefault({}),
  data: dataSchema.prefault({}),
  augmentation: augmentationSchema.prefault({}),
  checkpoint: checkpointSchema.prefault({}),
  watchdog: z
    .strictObject({
      hangSeconds: positive
        .default(60)
        .describe('A step without a sign of life for this long, and 20 times its usual time, counts as a hang'),
      rankSeconds: positive
        .default(120)
        .describe('Of several ranks: one that the others wait for longer in the middle of a step counts as lost'),
    })
    .prefault({}),
  validation: slidingWindowSchema
    .extend({ saveProbabilities: saveProbabilities.default(false) })
    .prefault({})
    .describe('The validation at the end: its sliding window, and what it saves'),
  validateAtEnd: z
    .union([z.boolean(), z.enum(['final', 'best', 'both'])])
    .default(true)
    .transform((value) => (value === true ? 'final' : value))
    .describe('The weights that are validated at the end: final, best, both, or false for none'),
})

/** Options of `sweep`: those of `train` for every run, and in place of the one run's own what is swept over. */
export const sweepOptionsSchema = trainOptionsSchema
  .omit({
    dataset: true,
    configuration: true,
    fold: true,
    run: true,
    previousStage: true,
    continue: true,
    device: true,
  })
  .extend({
    datasets: z.array(dataset).min(1).describe('Ids (4) or names (Dataset004_Hippocampus)'),
    configurations: z.array(z.string().min(1)).min(1).describe('2d, 3d_fullres, or other configurations of the plans'),
    folds: z.array(foldSchema).min(1).default([0, 1, 2, 3, 4]).describe('The folds that are held out, or all'),
    devices: z
      .array(deviceSchema)
      .min(1)
      .optional()
      .describe('One for each run at a time, so that a device may stand there twice; without it all GPUs, or one cpu'),
  })

/** Options of `resume`; what is not given stays as the run was started. */
export const resumeOptionsSchema = z.strictObject({
  run: z.string().min(1).describe('The run folder'),
  from: z
    .enum(['newest', 'latest', 'best', 'final'])
    .default('newest')
    .describe('The checkpoint to go on from; newest: the whole one with the most steps'),
  budget: z
    .strictObject({
      ...budgetFields,
      stepsPerEpoch: count.optional().describe('Optimizer steps in an epoch'),
      valSteps: count.optional().describe('Validation batches at the end of each epoch'),
    })
    .refine(epochsOrSteps, epochsOrStepsText)
    .prefault({})
    .describe('What is given replaces what the run was started with'),
  schedule: z
    .enum(['stretch', 'continue', 'restart'])
    .optional()
    .describe('The learning rate of a longer run: over all steps (default), the last rate, or afresh over those added'),
  device: deviceSchema.optional().describe('In place of the one that it was on'),
  folders: foldersSchema.prefault({}),
})

export const validateOptionsSchema = z.strictObject({
  run: z.string().min(1).describe('The run folder'),
  checkpoint: checkpointName.default('final').describe('Which weights are validated'),
  saveProbabilities: saveProbabilities.optional(),
  folders: foldersSchema.prefault({}),
  device: deviceSchema.optional().describe('cpu, cuda or cuda:N; without it that of the training'),
  threads,
})

/** Options of `openPredictor`: a trained model, and how it predicts. */
export const predictorOptionsSchema = z.strictObject({
  run: z.string().min(1).describe('A fold folder, or its parent together with folds'),
  folds: z.array(foldSchema).min(1).optional().describe('Folds whose probabilities are averaged'),
  checkpoint: checkpointName.default('final').describe('Which weights predict'),
  stepSize: slidingWindowSchema.shape.stepSize,
  mirroring: slidingWindowSchema.shape.mirroring,
  saveProbabilities: saveProbabilities.default(false),
  device: deviceSchema.default('cpu').describe('cpu, cuda or cuda:N'),
  threads,
})

/** Options of `predict`. */
export const predictOptionsSchema = predictorOptionsSchema
  .extend({
    input: z.string().min(1).describe('Folder of images, CASE_0000.nii.gz and so on'),
    output: z.string().min(1).describe('Folder for the segmentations'),
    previousStage: z
      .string()
      .min(1)
      .optional()
      .describe("For a cascade: folder of the previous stage's segmentations of the same cases, CASE.nii.gz and so on"),
    continue: z.boolean().default(false).describe('Leave out cases whose files are there already'),
    numParts: count.default(1).describe('Processes that share the cases'),
    partId: z.int().nonnegative().default(0).describe('Which of numParts this is, from 0'),
  })
  .refine(({ numParts, partId }) => partId < numParts, {
    path: ['partId'],
    message: 'expected a number below numParts, since parts count from 0',
  })

/** Cases at once. */
const jobs = count.optional().describe('Cases at once; without it one for each processor, 8 at most')

export const evaluateOptionsSchema = z.strictObject({
  predictions: z.string().min(1).describe('Folder of predicted segmentations'),
  truth: z.string().min(1).describe('Folder of references'),
  datasetJson: z.string().min(1).optional().describe('By default the one in predictions, or beside truth'),
  plans: z
    .string()
    .min(1)
    .optional()
    .describe('Plans that name the reader of the files; by default plans.json in predictions, or beside truth'),
  output: z.string().min(1).optional().describe('By default summary.json in predictions'),
  skipMissing: z.boolean().default(false).describe('Leave out references without a prediction'),
  jobs,
})

export const ensembleOptionsSchema = z.strictObject({
  inputs: z.array(z.string().min(1)).min(2).describe('Folders of predictions with probabilities'),
  output: z.string().min(1).describe('Folder for the segmentations'),
  saveProbabilities: saveProbabilities.default(false),
  jobs,
})

export const postprocessOptionsSchema = z.strictObject({
  input: z.string().min(1).describe('Folder of predictions'),
  output: z.string().min(1).describe('Folder for the segmentations'),
  steps: z.string().min(1).describe('The postprocessing.json of best-configuration'),
  datasetJson: z.string().min(1).optional().describe('By default the one in input'),
  plans: z.string().min(1).optional().describe('By default the one in input'),
  jobs,
})

export const bestConfigurationOptionsSchema = z.strictObject({
  dataset,
  configurations: z
    .array(z.string().min(1))
    .min(1)
    .default(['2d', '3d_fullres', '3d_lowres', '3d_cascade_fullres'])
    .describe('What is compared, as far as the plans have it'),
  plans: z.array(z.string().min(1)).min(1).default(['nnUNetPlans']).describe('Plans files, without .json'),
  trainers: z.array(z.string().min(1)).min(1).default(['voxgrad']).describe('First parts of the names of run folders'),
  folds: z.array(foldSchema).min(1).default([0, 1, 2, 3, 4]).describe('Folds that the comparison rests on'),
  ensembles: z.boolean().default(true).describe('Also compare ensembles of every two'),
  folders: foldersSchema.prefault({}),
  jobs,
})

/** What a benchmark runs; end-to-end also validates. */
export const benchmarkKinds = ['step', 'data', 'end-to-end'] as const

/** Options of `bench`. */
export const benchOptionsSchema = z.strictObject({
  kind: z.enum(benchmarkKinds),
  plan: z.string().min(1).default('hippocampus').describe('A named shape, or a plans file such as nnUNetPlans.json'),
  configuration: z.string().min(1).default('3d_fullres').describe('Of a plans file'),
  classes: z
    .int()
    .min(2)
    .default(3)
    .describe('Labels with the background, for a plans file without a dataset.json beside it'),
  batchSize: count.optional().describe('In place of that of the plan'),
  device: deviceSchema.default('cpu').describe('cpu, cuda or cuda:N'),
  threads,
  warmup: z.int().nonnegative().default(3).describe('Steps before those that count'),
  repeat: count.default(20).describe('Steps that count'),
  withoutData: z
    .boolean()
    .default(false)
    .describe("All steps on one batch, as nnU-Net's benchmark without data loading does"),
  parts: z.boolean().default(false).describe('Also time loss, optimizer, norm and pseudo-Dice alone'),
  output: z.string().min(1).optional().describe("Folder whose benchmark_result.json, nnU-Net's form, gets an entry"),
})

// What a caller writes; defaults may be left out. Interfaces, so that editors and the API pages name them.

/** What `voxgrad bench` takes. */
export interface BenchInput extends z.input<typeof benchOptionsSchema> {}
/** What plan() takes. */
export interface PlanInput extends z.input<typeof planOptionsSchema> {}
/** What preprocess() takes. */
export interface PreprocessInput extends z.input<typeof preprocessOptionsSchema> {}
/** What train() takes. */
export interface TrainInput extends z.input<typeof trainOptionsSchema> {}
/** What sweep() takes. */
export interface SweepInput extends z.input<typeof sweepOptionsSchema> {}
/** What resume() takes. */
export interface ResumeInput extends z.input<typeof resumeOptionsSchema> {}
/** What validate() takes. */
export interface ValidateInput extends z.input<typeof validateOptionsSchema> {}
/** What openPredictor() takes. */
export interface PredictorInput extends z.input<typeof predictorOptionsSchema> {}
/** What predict() takes. */
export interface PredictInput extends z.input<typeof predictOptionsSchema> {}
/** What evaluate() takes. */
export interface EvaluateInput extends z.input<typeof evaluateOptionsSchema> {}
/** What ensemble() takes. */
export interface EnsembleInput extends z.input<typeof ensembleOptionsSchema> {}
/** What applyPostprocessing() takes. */
export interface PostprocessInput extends z.input<typeof postprocessOptionsSchema> {}
/** What bestConfiguration() takes. */
export interface BestConfigurationInput extends z.input<typeof bestConfigurationOptionsSchema> {}

// The same with every default filled in.

export type BenchOptions = z.infer<typeof benchOptionsSchema>
/** Options of train() with every default filled in, as run.json keeps them. */
export type TrainOptions = z.infer<typeof trainOptionsSchema>
export type SweepOptions = z.infer<typeof sweepOptionsSchema>
export type ResumeOptions = z.infer<typeof resumeOptionsSchema>
export type ValidateOptions = z.infer<typeof validateOptionsSchema>
export type PredictorOptions = z.infer<typeof predictorOptionsSchema>
export type PredictOptions = z.infer<typeof predictOptionsSchema>
export type EvaluateOptions = z.infer<typeof evaluateOptionsSchema>
export type Fold = z.infer<typeof foldSchema>
export type CheckpointName = z.infer<typeof checkpointName>

/** JSON Schema (draft 2020-12) of what `train` takes, for editors and `voxgrad config schema`. */
export const trainOptionsJsonSchema = (): object => z.toJSONSchema(trainOptionsSchema, { io: 'input' })

/**
 * Checks options and fills in defaults.
 * @param origin where the options come from, for the message ("options of train", "run.yaml")
 * @throws VoxgradError ERR_CONFIG naming every faulty field at once
 */
export function parseOptions<Schema extends z.ZodType>(
  schema: Schema,
  input: unknown,
  origin: string,
): z.infer<Schema> {
  const result = schema.safeParse(input)
  if (result.success) return result.data
  const faults = describeIssues(schema, result.error.issues, input).map((fault) => `  ${fault}`)
  throw new VoxgradError(
    'ERR_CONFIG',
    `${origin}: ${faults.length === 1 ? 'one fault' : `${faults.length} faults`}\n${faults.join('\n')}`,
  )
}
