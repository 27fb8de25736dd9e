// The native addon's surface, as src/native alone sees it. Shapes are (channel, z, y, x) or (z, y, x) in nnU-Net's order.

/** A float32 volume (c, z, y, x) in C order. */
export interface NativeImage {
  data: Float32Array
  shape: [number, number, number, number]
}

/** What the plans say about preprocessing one configuration, resolved to plain values. */
export interface PreprocessingPlan {
  transposeForward: number[]
  /** Transposed order. Two extents for a 2D configuration: axis 0 then keeps the case's own spacing. */
  targetSpacing: number[]
  /** One of nnU-Net's class names per channel: ZScoreNormalization, CTNormalization, NoNormalization, ... */
  normalizationSchemes: string[]
  useMaskForNormalization: boolean[]
  /** foreground_intensity_properties_per_channel, in channel order. */
  intensityProperties: IntensityProperties[]
  /** resampling_fn_*_kwargs of the plan; forceSeparateZ null lets anisotropy decide. */
  imageResampling: ResamplingRule
  segmentationResampling: ResamplingRule
}

export interface ResamplingRule {
  isSegmentation: boolean
  order: number
  orderZ: number
  forceSeparateZ: boolean | null
}

export interface IntensityProperties {
  max: number
  mean: number
  median: number
  min: number
  percentile_00_5: number
  percentile_99_5: number
  std: number
}

export interface CaseFingerprint {
  shapeAfterCrop: [number, number, number]
  relativeSizeAfterCrop: number
  /** Drawn foreground intensities per channel; empty where there is no foreground. */
  intensities: Float32Array[]
}

/** What export needs to bring a prediction back to the original grid; also nnU-Net's CASE.pkl. Transposed axis order. */
export interface CaseProperties {
  /** Original axis order (not transposed). */
  spacing: number[]
  shapeBeforeCropping: number[]
  boundingBox: [number, number][]
  shapeAfterCropping: number[]
}

export interface PreprocessedCase {
  image: NativeImage
  properties: CaseProperties
}

/** A prediction's labels on the original grid: uint8 values held as Uint8Array, Uint16Array from 255 foreground labels on. */
export interface ExportedSegmentation {
  labels: Uint8Array | Uint16Array
  shape: [number, number, number]
}

/** Final values only: every default lives in the zod schema (src/config). Spellings equal the C++ structs. */
export interface TrainerConfig {
  device: string
  threads: number
  deterministic: boolean
  /** On CUDA: steps are recorded once and replayed. */
  cudaGraph: boolean
  /** float32 on the CPU; bfloat16 or float16 autocast on CUDA. */
  precision: 'float32' | 'bfloat16' | 'float16'
  /** Decimal text of an unsigned 64-bit number. */
  seed: string
  /** Of all ranks together. */
  batchSize: number
  /** (z, y, x), or (y, x) for a 2D configuration. */
  patchSize: number[]
  /** What is cut from the case before the spatial transform. */
  initialPatchSize: number[]
  oversampleForeground: number
  /** oversampleForeground is the probability of each sample, in place of the share of the batch. */
  foregroundByProbability: boolean
  /** A cascade's one-hot channels of the previous stage behind the image's own (part of inputChannels); 0 without one. */
  previousStageLabels: number
  network: NetworkConfig
  labels: LabelsConfig
  loss: LossConfig
  optimizer: OptimizerConfig
  augmentation: AugmentationConfig
  group: RanksConfig
}

/** Which of the processes that train one network together this one is. With one rank the rest is not looked at. */
export interface RanksConfig {
  rank: number
  ranks: number
  /** Where the ranks meet: the host of the store, and its port. */
  address: string
  port: number
  /** This rank runs the store; otherwise somebody else does. */
  hostsStore: boolean
  /** Ranks of another attempt of the same run do not meet these. */
  attempt: string
  /** The longest wait for the other ranks. */
  timeoutSeconds: number
}

/** A process that trains by itself. */
export const aloneInGroup: RanksConfig = {
  rank: 0,
  ranks: 1,
  address: '',
  port: 0,
  hostsStore: false,
  attempt: '',
  timeoutSeconds: 0,
}

export interface NetworkConfig {
  architecture: 'PlainConvUNet' | 'ResidualEncoderUNet'
  dimensions: number
  inputChannels: number
  outputChannels: number
  featuresPerStage: number[]
  kernelSizes: number[][]
  strides: number[][]
  /** Convolutions of a PlainConvUNet, residual blocks of a ResidualEncoderUNet. */
  convsPerStage: number[]
  convsPerStageDecoder: number[]
  convBias: boolean
  /** Whole channels of a sample, before the norm; the layers count in the names of the weights. */
  hasDropout: boolean
  dropoutProbability: number
  /** Batch norm in place of instance norm. */
  batchNorm: boolean
  normEps: number
  negativeSlope: number
}

/** What the network's outputs stand for. */
export interface LabelsConfig {
  /** The labels that each output covers. */
  outputs: number[][]
  /** Regions, a sigmoid each; else output i is label i, with a softmax over all. */
  overlapping: boolean
  /** Label of voxels that are not annotated; -1: there is none. */
  ignoreLabel: number
}

export interface LossConfig {
  diceWeight: number
  crossEntropyWeight: number
  /** Cross-entropy is the mean over this share of voxels, those where it is largest; 100: over all. */
  topKPercent: number
  /** Share of the cross-entropy that is the mean over all classes; 0 with regions. */
  labelSmoothing: number
  /** With an ignore label: means and shares are of annotated voxels; false: nnU-Net's sum over regions, its share of all. */
  annotatedMean: boolean
  batchDice: boolean
  smooth: number
  /** One weight per deep-supervision output, full resolution first; zero weights are not evaluated. */
  deepSupervisionWeights: number[]
}

export interface OptimizerConfig {
  kind: 'sgd' | 'adam' | 'adamw' | 'adan'
  /** momentum and nesterov are of sgd. */
  momentum: number
  nesterov: boolean
  /** beta1, beta2 and amsgrad are of adam and adamw, eps of them and adan. */
  beta1: number
  beta2: number
  /** What adan's averages of gradient, gradient difference and square take of the new value. */
  adanBetas: [number, number, number]
  eps: number
  amsgrad: boolean
  weightDecay: number
  /** Infinity: no clipping. */
  clipNorm: number
}

/**
 * What nnU-Net's default chain and its DA5 need; rotations in radians. Ranges are [low, high]. Probabilities are of the
 * sample, those named ChannelProbability then of each of its channels.
 */
export interface AugmentationConfig {
  /** false: no transform at all but the centre crop. */
  enabled: boolean
  dummy2d: boolean
  rotationProbability: number
  rotationRange: [number, number]
  /** Each angle of a rotated sample is kept with it, else 0. */
  rotationAxisProbability: number
  scalingProbability: number
  scalingRange: [number, number]
  /** A factor of its own for each axis. */
  scalingPerAxis: boolean
  /** Rotation and scaling take the nearest voxel in place of interpolating the image, and the labels. */
  nearestImage: boolean
  nearestLabels: boolean
  /** By 90 degrees, like the next between axes of equal extent. */
  quarterTurnProbability: number
  transposeProbability: number
  noiseProbability: number
  noiseStandardDeviation: [number, number]
  /** Blur and the median filter come before noise. */
  noiseAfterBlur: boolean
  /** Excludes the median filter. */
  blurProbability: number
  blurSigma: [number, number]
  blurSigmaPerAxis: boolean
  blurChannelProbability: number
  /** Excludes blur. */
  medianFilterProbability: number
  /** Whole numbers of voxels, both included. */
  medianFilterSize: [number, number]
  medianFilterChannelProbability: number
  brightnessProbability: number
  brightnessRange: [number, number]
  additiveBrightnessProbability: number
  additiveBrightnessDeviation: number
  additiveBrightnessChannelProbability: number
  /** Clamped to the channel's range; excludes the next. */
  contrastProbability: number
  unclampedContrastProbability: number
  contrastRange: [number, number]
  contrastChannelProbability: number
  lowResolutionProbability: number
  lowResolutionScale: [number, number]
  lowResolutionChannelProbability: number
  gammaInvertedProbability: number
  /** DA5 has the inverted gamma twice. */
  secondGammaInvertedProbability: number
  gammaProbability: number
  gammaRange: [number, number]
  blankRectangleProbability: number
  /** Whole numbers, both included. */
  blankRectangleCount: [number, number]
  blankRectangleChannelProbability: number
  brightnessGradientProbability: number
  /** What is added or subtracted at its peak. */
  brightnessGradientStrength: [number, number]
  brightnessGradientChannelProbability: number
  localGammaProbability: number
  /** This range or the next with probability 0.5 each. */
  localGammaBelow: [number, number]
  localGammaAbove: [number, number]
  localGammaChannelProbability: number
  sharpeningProbability: number
  sharpeningStrength: [number, number]
  sharpeningChannelProbability: number
  /** Of a cascade's previous stage: dilation, erosion, closing or opening of its labels. */
  previousOperatorProbability: number
  previousOperatorLabelProbability: number
  /** Voxels. */
  previousOperatorRadius: [number, number]
  /** Of a cascade's previous stage: a component of a label becomes background. */
  previousRemovalProbability: number
  previousRemovalLabelProbability: number
  /** Of the patch; larger components stay. */
  previousRemovalShare: number
  /** Spatial axes that are flipped with probability 0.5 each. */
  mirrorAxes: number[]
  /** Per channel: set the image to 0 where the segmentation is -1 (nnU-Net's MaskImageTransform). */
  maskImage: boolean[]
}

/** One number per step, as columns. */
export interface TrainingChunk {
  /** non_finite: as many steps in a row as the job allows were skipped. */
  reason: 'completed' | 'stopped' | 'non_finite'
  /** Another rank wished to stop, not this one. */
  stoppedElsewhere: boolean
  /** The first step's index and how many were done. */
  firstStep: number
  steps: number
  loss: Float32Array
  gradientNorm: Float32Array
  /**
   * 1 for a step that changed nothing, because its loss or gradient was not finite. The float16 scaler's ordinary
   * back-offs are 0 as long as its scale is at least 1.
   */
  skipped: Uint8Array
  /** Why the steps are not replayed as a CUDA graph though they should be; empty if they are, or the device has none. */
  graphFault: string
  stepMs: Float32Array
  /** Of stepMs: the host's time for drawing, cutting and augmenting the batch. */
  dataMs: Float32Array
}

export interface CaseStorage {
  place: 'device' | 'host' | 'disk'
  /** Of all cases in memory; on disk what they would take. Estimated from 256 of them if there are more. */
  bytes: number
  /** Bytes that were free: on the device if they are there, else on the host. */
  free: number
}

/** A copy of weights, optimizer and entries on the host, which training no longer touches. */
export interface CapturedCheckpoint {
  /** Memory that it holds; the file is little larger. */
  readonly bytes: number
}

/** Memory of the trainer's device in bytes; null on the CPU, whose memory is the process's. */
export type DeviceMemory = { allocated: number; peak: number } | null

export interface ValidationChunk {
  reason: 'completed' | 'stopped'
  steps: number
  loss: Float32Array
  /** Summed over all batches, one entry per foreground label or region. */
  truePositives: Float64Array
  falsePositives: Float64Array
  falseNegatives: Float64Array
}

export interface Snapshot {
  /** What the trainer is doing. */
  job: 'idle' | 'training' | 'validation' | 'prediction' | 'other'
  /** Steps, validation batches or tiles done in this job, and how many it has. */
  done: number
  total: number
  /** Global training step. */
  step: number
  lossOfLastStep: number
  /** Another rank has not come so far; this one is not what hangs. */
  waitsForRanks: boolean
}

export interface PredictionJob {
  tileStep: number
  gaussian: boolean
  mirrorAxes: number[]
}

/** Milliseconds, one entry a step; on an accelerator of its own timeline. */
export interface StepTimes {
  /** From the step's start to the next one's. */
  step: Float32Array
  /** data, forward, loss, backward, optimizer; in validation data, forward, pseudo_dice, loss. */
  parts: Record<string, Float32Array>
}

/** An operator that computes something, as often as a step ran it. */
export interface OperatorCount {
  name: string
  calls: number
  /** Of all tensors read and written, each once a call. */
  bytes: number
  ms: number
}

/** Exact counts of one step on a batch that is there. */
export interface StepCounts {
  training: OperatorCount[]
  validation: OperatorCount[]
  /** Of the training step. peak and growth: bytes above what was held before; segments: requests to a GPU's driver. */
  allocations: { allocations: number; bytes: number; peak: number; growth: number; segments: number }
}

/** What a device does in a second at most, measured by a matrix product and a copy. */
export interface DeviceCeilings {
  flopPerSecond: number
  bytesPerSecond: number
}

/** Counted on the host, which does not see what a replayed CUDA graph does. */
export interface ExchangeReport {
  /** Begun since the trainer was opened, and the bytes of their tensors at this rank. */
  collectives: number
  bytes: number
  /** Of the last step, one entry a bucket in the order of sending: gradients that had arrived when its sum began, of `gradients`. */
  arrivedWhenSent: number[]
  gradients: number
}

/** Jobs that measure a trainer (native/engine/benchmark.h); `held`: all steps on one batch. */
export interface Benchmarks {
  /** Random cases for training and validation, of extents (z, y, x). */
  (job: { what: 'cases'; count: number; shape: [number, number, number] }): Promise<void>
  (job: { what: 'training' | 'validation'; steps: number; held: boolean }): Promise<StepTimes>
  /** Training batches number first, first + 1, ... alone. */
  (job: { what: 'batches'; first: number; steps: number }): Promise<StepTimes>
  /** Milliseconds of each run: network, loss, optimizer, pseudo_dice and norm, each alone. */
  (job: { what: 'parts'; runs: number }): Promise<Record<string, Float32Array>>
  (job: { what: 'counts' }): Promise<StepCounts>
  (job: { what: 'ceilings' }): Promise<DeviceCeilings>
}

/** All methods but snapshot and stop run as one job at a time on the trainer's own thread; a second one is ERR_BUSY. */
export interface NativeTrainer {
  /**
   * Takes cases of a preprocessed folder (CASE.b2nd, CASE_seg.b2nd, CASE.pkl) into the case store, and says where they are
   * kept. Up to a thousand that do not stay on disk are read at once, more of them when they are first needed. `labels`: all
   * values that may occur in a segmentation besides -1, the ignore label included.
   */
  loadCases(job: {
    folder: string
    training: string[]
    validation: string[]
    labels: number[]
    /** In a cascade: folder of the previous stage's segmentations, CASE.b2nd (z, y, x) on the grid of the cases. */
    previousStage?: string | null
    /** auto (default): the first that has room. On the CPU device and host are the same. */
    place?: 'auto' | 'device' | 'host' | 'disk'
    /** Training images as float16; those of validation are float32. */
    half?: boolean
    /** Bytes that the process may still take; without it there is no limit. */
    freeHostMemory?: number
  }): Promise<CaseStorage>
  /**
   * As many steps as there are rates, unless stopped or `mostSkipped` (default: no limit) steps in a row are skipped. The
   * CPU ends right after the last of them, an accelerator at the end of the chunk, since reading earlier would make it wait.
   */
  runTraining(job: { learningRates: Float64Array; mostSkipped?: number }): Promise<TrainingChunk>
  runValidation(job: { steps: number }): Promise<ValidationChunk>
  /** Sliding window over a preprocessed image (c, z, y, x); returns logits (classes, z, y, x). */
  predict(job: PredictionJob & { image: NativeImage }): Promise<NativeImage>
  /** The same for CASE.b2nd of a preprocessed folder; previousStage as in loadCases. */
  predictCase(job: PredictionJob & { folder: string; caseId: string; previousStage?: string | null }): Promise<{
    logits: NativeImage
    properties: CaseProperties
    /** The reader's own entry of the pickle (sitk_stuff or nibabel_stuff), as plain values. */
    geometry: Record<string, unknown>
  }>
  /**
   * Copies what nnU-Net's checkpoint holds, so that training goes on while it is written. `entries` are all keys but the
   * weights and the optimizer's state (logging, _best_ema, current_epoch, init_args, trainer_name,
   * inference_allowed_mirroring_axes, voxgrad, ...); `learningRate` goes into the optimizer's param group.
   * Rejects with ERR_NON_FINITE, naming the tensor, if a weight or a tensor of the optimizer is not finite.
   */
  captureCheckpoint(job: { entries: Record<string, unknown>; learningRate: number }): Promise<CapturedCheckpoint>
  /** Reads one back: weights, and with 'everything' also the optimizer. Returns all other entries as plain values. */
  loadCheckpoint(job: { path: string; what: 'everything' | 'weights' }): Promise<Record<string, unknown>>
  /**
   * Weights to start a training from, of a checkpoint whose segmentation layers are left out. Rejects with ERR_CHECKPOINT,
   * naming every weight that is missing or has another shape.
   */
  loadPretrained(job: { path: string }): Promise<void>
  /**
   * The global step that the next training job starts with, and which draws its steps make: after `redraws` reloads because
   * of non-finite losses, others than before (0: the draws of a run that never had any).
   */
  setPosition(position: { step: number; redraws: number }): void
  deviceMemory(): DeviceMemory
  /** What ranks exchange; null for one alone. */
  exchangeReport(): Promise<ExchangeReport | null>
  benchmark: Benchmarks
  snapshot(): Snapshot
  /** The running job ends after its current step (training, validation) or tile. */
  stop(): void
  dispose(): Promise<void>
}

export interface FloatTensor {
  data: Float32Array
  shape: number[]
}

export interface StepTrace {
  /** Logits of the first step, highest resolution first; null for a head that is not computed. */
  outputs: (FloatTensor | null)[]
  /** Of the first step, before clipping, by parameter name. */
  gradients: Record<string, FloatTensor>
  losses: number[]
  gradientNorms: number[]
  /** Parameters and running statistics. */
  afterFirst: Record<string, FloatTensor>
  afterLast: Record<string, FloatTensor>
  /** Logits of the first batch at full resolution as validation and prediction compute them, before the first step. */
  evaluated: FloatTensor
}

/** Tensors that cross by the test door: numbers, booleans, strings, null, or a tensor. */
export interface NativeTensor {
  data: Float32Array | Float64Array | Int8Array | Uint8Array | Int16Array | Int32Array | BigInt64Array
  shape: number[]
}
export type OpArgument = number | boolean | string | null | number[] | NativeTensor

export interface NativeBinding {
  /** collectives, over which several ranks train together: gloo on the CPU, nccl on CUDA, both or none. */
  versions(): { libtorch: string; compiler: string; cpu: string; collectives: string }

  /** Intensities drawn and extents after the crop to nonzero. segmentation: labels as float32, shape (1, z, y, x). */
  fingerprintCase(job: { image: NativeImage; segmentation: Float32Array; samples: number }): Promise<CaseFingerprint>
  /** Statistics over all cases' draws of one channel (float32 sums, as NumPy does them). */
  intensityStatistics(draws: Float32Array[]): Promise<IntensityProperties>
  /** Crops, normalizes, resamples; writes CASE.b2nd, CASE_seg.b2nd and CASE.pkl into a folder. */
  preprocessToFolder(job: {
    image: NativeImage
    segmentation: Float32Array
    spacing: number[]
    plan: PreprocessingPlan
    /** What class locations are drawn for, in this order: foreground labels; an array is a region of several labels. */
    labels: (number | number[])[]
    patchSize: number[]
    folder: string
    caseId: string
    /** Stored in the pickle under its own key(s): { sitk_stuff: {...} }. Arrays become tuples. */
    geometry: Record<string, unknown>
  }): Promise<{ shape: number[] }>
  /**
   * The same without files, for prediction. In a cascade the previous stage's segmentation on the image's grid goes along,
   * and becomes one channel a foreground label behind the image's own.
   */
  preprocessForPrediction(job: {
    image: NativeImage
    spacing: number[]
    plan: PreprocessingPlan
    previousStage?: { segmentation: Float32Array; labels: number } | null
  }): Promise<PreprocessedCase>
  /**
   * Resamples logits to the cropped grid and makes labels of them, fills the crop box, undoes the transpose. Labels are the
   * argmax, or with `regionLabels` what each region whose sigmoid exceeds 0.5 paints, in this order.
   */
  exportSegmentation(job: {
    logits: NativeImage
    properties: CaseProperties
    targetSpacing: number[]
    transposeForward: number[]
    resampling: ResamplingRule
    regionLabels: number[] | null
  }): Promise<ExportedSegmentation>

  /**
   * The same for probabilities (classes, z, y, x): softmax over the classes, or with `overlapping` a sigmoid each. Outside the
   * crop box the background is certain.
   */
  exportProbabilities(job: {
    logits: NativeImage
    properties: CaseProperties
    targetSpacing: number[]
    transposeForward: number[]
    resampling: ResamplingRule
    overlapping: boolean
  }): Promise<NativeImage>
  /** Writes CASE.pkl of a predicted case: nnU-Net's properties without class locations. */
  writeProperties(job: { path: string; properties: CaseProperties; geometry: Record<string, unknown> }): Promise<void>

  /**
   * Writes labels of logits on the next stage's grid of the case, as a Blosc2 array (z, y, x) that a cascade trains on
   * (nnU-Net's predicted_next_stage).
   */
  exportNextStage(job: {
    logits: NativeImage
    properties: CaseProperties
    targetSpacing: number[]
    /** The next stage's, in transposed order. */
    nextSpacing: number[]
    transposeForward: number[]
    resampling: ResamplingRule
    regionLabels: number[] | null
    /** This stage's; decides the chunks. */
    patchSize: number[]
    file: string
  }): Promise<void>

  readBlosc2(path: string): Promise<{ data: NativeTensor['data']; shape: number[] }>
  /** A .pkl or .pth as plain values; tensors become { data, shape }. For tools and tests. */
  readPickle(path: string): Promise<unknown>
  readTorchFile(path: string): Promise<unknown>
  /** Atomic: temporary file, fsync, rename, fsync of the folder. */
  writeFileAtomically(path: string, bytes: Uint8Array): Promise<void>

  /**
   * Writes a captured checkpoint on another thread: temporary file, space reserved, fsync, rename, fsync of the folder.
   * Rejects with ERR_DISK, whose message has the bytes needed; the earlier file is then untouched.
   */
  writeCheckpoint(path: string, checkpoint: CapturedCheckpoint): Promise<void>
  /** Leaves a text for the other ranks of a group, at the store where they meet. Rejects with ERR_RANK. */
  leaveText(group: RanksConfig, name: string, text: string): Promise<void>
  /** Waits for one. Rejects with ERR_RANK where it does not come in time, or the store is gone. */
  awaitText(group: RanksConfig, name: string, seconds: number): Promise<string>
  /** A text, or null as long as it is not there. Rejects with ERR_RANK where the store is gone. */
  findText(group: RanksConfig, name: string): Promise<string | null>
  /** Gives memory that was freed back to the system; the C library would keep it in gaps that pile up over a long run. */
  releaseMemory(): Promise<void>
  /**
   * Writes nnU-Net's postprocessing.pkl: each step keeps the largest component of a label, of a region (pickled as a tuple),
   * or of several of them together (a list).
   */
  writePostprocessing(path: string, steps: { form: 'label' | 'region' | 'list'; labels: number[] }[]): Promise<void>
  /**
   * Opens (or makes) a file and takes the kernel's exclusive lock on it (flock), which ends with the descriptor or the
   * process. Returns the descriptor for Node's fs, or null if another holds the lock. The file at the path is the locked
   * one, also where another process removed and made it anew meanwhile. Throws ERR_DISK.
   */
  lockFile(path: string): number | null

  createTrainer(config: TrainerConfig): Promise<NativeTrainer>
  /** Training steps on given batches, with what they pass through: for comparisons with nnU-Net. */
  traceSteps(job: {
    config: TrainerConfig
    /** A .pth with network_weights to start from. */
    checkpoint: string
    images: { data: Float32Array; shape: number[] }[]
    labels: { data: Int16Array; shape: number[] }[]
    learningRates: number[]
  }): Promise<StepTrace>
  /** Names and types of the engine's configuration, as a tree of 'number', 'string', 'boolean' and one-element arrays. */
  describeConfig(): unknown
  /** Every registered voxgrad::* op by name, for tests and benchmarks. */
  callOp(name: string, args: OpArgument[]): NativeTensor[]
}
