// What nnU-Net's augmentation drew, compared with what ours draws on the same sample: rates, parameters and moments of
// what comes out. One folder holds any number of chains: NAME.json, NAME.npz and fixture_NAME.npz, as
// goldens/make_augmentation_draws.py writes them (names as in batchgeneratorsv2).
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { resolveAugmentation } from '../../src/config/resolve.js'
import { trainOptionsSchema } from '../../src/config/schema.js'
import type { AugmentationConfig, NativeTensor } from '../../src/native/binding.js'
import { type NpyArray, readNpz } from '../npz.js'
import type { Item } from '../parity/item.js'
import { columns, type Draws, flatten, only } from './default-config.js'
import { callOp, callOp1 } from './op.js'
import { fisherExact, kolmogorovSmirnov } from './statistics.js'

/** A test whose p value is not above it tells of a difference. */
export const level = 1e-4
/** Drawn without an image, to compare parameters. */
const parameterDraws = 20_000
const seed = 3

/** Of CHAIN.json. */
interface Report {
  patch_size: number[]
  draws: number
  /** The chain as voxgrad's options; without them the file's name is the preset. */
  augmentation?: object
  mask_image?: boolean[]
  transforms: { name: string; share_changed: number; share_of_channels_changed: number[] }[]
}

interface Test {
  what: string
  p: number
}

export type CountedItem = Item & { tests: number }

/** Names of the chains in a folder. */
export function chainsIn(folder: string): string[] {
  return readdirSync(folder)
    .map((file) => path.basename(file, '.json'))
    .filter((name) => ['.json', '.npz'].every((ending) => existsSync(path.join(folder, `${name}${ending}`))))
    .filter((name) => existsSync(path.join(folder, `fixture_${name}.npz`)))
    .sort()
}

/**
 * Compares one chain: an item a transform, and one for the whole.
 * Each transform runs as often as nnU-Net's did.
 * @param change what ours is to do otherwise, to see that it is found
 */
export function* compareChain(
  folder: string,
  name: string,
  change: Partial<AugmentationConfig> = {},
): Iterable<CountedItem> {
  const report = JSON.parse(readFileSync(path.join(folder, `${name}.json`), 'utf8')) as Report
  const arrays = readNpz(path.join(folder, `${name}.npz`))
  const config = { ...configOf(name, report), ...change }
  const sample = new Sample(readNpz(path.join(folder, `fixture_${name}.npz`)), report.patch_size)
  const runs = report.draws
  const dimensions = report.patch_size.length
  const table = callOp1('draw_augmentation', [flatten(config), report.patch_size, 2, seed, 0, parameterDraws, 0])
  const draws = columns(table, 2, dimensions)
  const statistics = (key: string, width: number, ours: number[][]) =>
    Array.from({ length: width }, (_, column) => ({
      what: `${key}, column ${column}`,
      p: kolmogorovSmirnov(
        ours.map((row) => rounded(row[column] as number)),
        Array.from(arrays[key]?.data ?? [], Number)
          .filter((_, i) => i % width === column)
          .map(rounded),
      ),
    }))

  const seen: string[] = []
  for (const { name: key, share_changed, share_of_channels_changed } of report.transforms) {
    const kind = key.replace(/^\d+_/, '')
    if (sameForAll.includes(kind)) continue
    const rule = rules[seen.includes(kind) ? `${kind}#2` : kind]
    seen.push(kind)
    if (rule === undefined) {
      yield { name: `${name} ${key}`, tests: 0, differences: [], skipped: 'voxgrad does not know this transform' }
      continue
    }
    const alone = only(config, { ...Object.fromEntries(rule.fields.map((field) => [field, config[field]])) })
    const results = sample.run({ ...alone, maskImage: [false, false] }, runs)
    const rate = (what: string, count: number, trials: number, theirs: number, theirTrials = report.draws): Test => ({
      what: `${what}: ${count} of ${trials}, expected as ${theirs} of ${theirTrials}`,
      p: fisherExact([count, trials], [theirs, theirTrials]),
    })
    const changed = (acts: (result: Result) => boolean) => results.filter(acts).length
    const tests = [
      rate('rate', changed(isChanged), runs, Math.round(share_changed * report.draws)),
      ...share_of_channels_changed.map((share, channel) =>
        rate(
          `rate of channel ${channel}`,
          changed(({ channels }) => channels[channel] === true),
          runs,
          Math.round(share * report.draws),
        ),
      ),
    ]
    const changedRows = results.filter(isChanged).map(({ image }) => image)
    if (changedRows.length > 0) tests.push(...statistics(`${key}/statistics_when_changed`, 8, changedRows))
    const theirs = (parameter: string) => Array.from(arrays[`${key}/${parameter}`]?.data ?? [], Number)
    const view: View = { draws, dimensions, inPlane: dimensions === 2 || config.dummy2d, config, theirs }
    for (const [what, ours, expected] of rule.parameters?.(view) ?? []) {
      const nothing = ours.length === 0 || expected.length === 0
      tests.push({ what, p: nothing ? 0 : kolmogorovSmirnov(ours, expected) })
    }
    for (const [what, count, expected] of rule.rates?.(view) ?? []) {
      tests.push(rate(what, count, parameterDraws, expected))
    }
    yield item(`${name} ${key}`, tests)
  }

  const whole = sample.run(config, runs)
  yield item(`${name} whole chain`, [
    ...statistics(
      'chain/statistics',
      8,
      whole.map(({ image }) => image),
    ),
    ...statistics(
      'chain/label_shares',
      4,
      whole.map(({ labels }) => labels),
    ),
  ])
}

function item(name: string, tests: Test[]): CountedItem {
  const differences = tests.filter(({ p }) => !(p > level)).map(({ what, p }) => `${what}: p = ${p.toExponential(1)}`)
  const smallest = Math.min(...tests.map(({ p }) => p))
  return {
    name,
    differences,
    tests: tests.length,
    note: `${tests.length} tests, smallest p ${smallest.toPrecision(2)}`,
  }
}

function configOf(name: string, report: Report): AugmentationConfig {
  const augmentation = report.augmentation ?? { preset: name }
  const options = trainOptionsSchema.parse({ dataset: 0, configuration: 'any', fold: 0, augmentation })
  const configuration = { patch_size: report.patch_size, use_mask_for_norm: report.mask_image ?? [false, false] }
  return resolveAugmentation(configuration, options.augmentation)
}

/** What a transform keeps up to rounding must count as equal. */
const rounded = (value: number) => Math.round(value * 1e4) / 1e4

interface Result {
  /** Mean, standard deviation, minimum and maximum of each channel. */
  image: number[]
  /** Shares of the labels -1, 0, 1 and 2. */
  labels: number[]
  /** Whether it changed. */
  channels: boolean[]
  segmentation: boolean
}
const isChanged = ({ channels, segmentation }: Result) => segmentation || channels.includes(true)

/** The fixed image with its labels that both sides augment. */
class Sample {
  private readonly image: NativeTensor
  private readonly segmentation: NativeTensor
  private readonly untouched: [NativeTensor, NativeTensor]

  constructor(
    fixture: Record<string, NpyArray>,
    private readonly patch: number[],
  ) {
    const { image, seg } = fixture as { image: NpyArray; seg: NpyArray }
    this.image = { data: Float32Array.from(image.data as Float32Array), shape: image.shape }
    this.segmentation = { data: Int16Array.from(seg.data as Int16Array), shape: seg.shape.slice(1) }
    const crop = [this.image, this.segmentation, true, false, [0, 0, 0], [1, 1, 1], patch, false, false]
    const [x, y] = callOp('spatial', crop) as [NativeTensor, NativeTensor]
    this.untouched = [x, callOp1('remove_label_', [y])]
  }

  run(config: AugmentationConfig, count: number): Result[] {
    const flat = flatten(config)
    const dimensions = this.patch.length
    // nnU-Net's interpolation changes the last digits also where all angles are 0.
    const table = callOp1('draw_augmentation', [flat, this.patch, 2, seed, 0, count, 0])
    const interpolated = config.nearestImage ? [] : columns(table, 2, dimensions).spatial
    return Array.from({ length: count }, (_, step) => {
      const arguments_ = [this.image, this.segmentation, flat, this.patch, seed, step, 0]
      const [x, y] = callOp('augment', arguments_) as [NativeTensor, NativeTensor]
      const counts = [0, 0, 0, 0]
      for (const label of y.data) counts[Number(label) + 1] = (counts[Number(label) + 1] as number) + 1
      const channels = channelsOf(x)
      const before = channelsOf(this.untouched[0])
      return {
        image: channels.flatMap(momentsOf),
        labels: counts.map((count) => count / y.data.length),
        channels: channels.map(
          (channel, c) => interpolated[step] === 1 || channel.some((value, i) => value !== before[c]?.[i]),
        ),
        segmentation: y.data.some((label, i) => label !== this.untouched[1].data[i]),
      }
    })
  }
}

function channelsOf({ data, shape }: NativeTensor): Float32Array[] {
  const size = data.length / (shape[0] as number)
  return Array.from({ length: shape[0] as number }, (_, c) => (data as Float32Array).subarray(c * size, (c + 1) * size))
}

function momentsOf(channel: Float32Array): number[] {
  let [sum, low, high] = [0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (const value of channel) {
    sum += value
    low = Math.min(low, value)
    high = Math.max(high, value)
  }
  const mean = sum / channel.length
  const variance = channel.reduce((total, value) => total + (value - mean) ** 2, 0) / channel.length
  return [mean, Math.sqrt(variance), low, high]
}

/** One chain's draws, ours and theirs. */
interface View {
  draws: Draws
  dimensions: number
  /** Rotation and scaling in the plane of the last two axes. */
  inPlane: boolean
  config: AugmentationConfig
  /** Recorded values of CLASS.PARAMETER; none where the chain does not have it. */
  theirs: (parameter: string) => number[]
}

interface Rule {
  /** What belongs to the transform alone. */
  fields: (keyof AugmentationConfig)[]
  /** Name, our values, nnU-Net's. */
  parameters?: (view: View) => [string, number[], number[]][]
  /** Name, how often in our draws and in nnU-Net's. */
  rates?: (view: View) => [string, number, number][]
}

/** They do the same to every sample; goldens/augment has them. */
const sameForAll = [
  'MaskImageTransform',
  'RemoveLabelTransform',
  'DownsampleSegForDSTransform',
  'Convert3DTo2DTransform',
  'Convert2DTo3DTransform',
]

type Channel = Draws['channels'][number]
const acting = (values: readonly number[]) => values.filter((value) => value !== 0)
const both = ({ draws }: View, select: (channel: Channel) => number[]) => acting(draws.channels.flatMap(select))

/** Values of a parameter that is one number per channel; `perAxis`: nnU-Net records it once for each axis. */
const perChannel =
  (parameter: string, select: (channel: Channel) => number[], perAxis = false) =>
  (view: View): [string, number[], number[]][] => {
    // The last axis, because in dummy 2D the first one of the low resolution is always 1.
    const last = (_: number, i: number) => !perAxis || i % view.dimensions === view.dimensions - 1
    return [[parameter, both(view, select), view.theirs(parameter).filter(last)]]
  }

const rotatedAxes = (angles: number[][]) =>
  (angles[0] ?? []).map((_, i) => angles.filter((angle) => angle[i] !== 0).length)

function spatialParameters({ draws, inPlane, theirs }: View): [string, number[], number[]][] {
  const axes = inPlane ? [0, 1] : [0, 1, 2]
  const isScaled = (draws.scales[2] ?? []).map((scale) => scale !== 1)
  const ourScales = axes.map((axis) => (draws.scales[inPlane ? axis + 1 : axis] ?? []).filter((_, i) => isScaled[i]))
  const theirScales = axes.map((axis) => theirs(`SpatialTransform.scale${axis}`))
  const ratio = (scales: number[][]) => (scales[0] ?? []).map((scale, i) => rounded(scale / (scales[1]?.[i] as number)))
  const angleAxes = inPlane ? [0] : axes
  const theirAngles = angleAxes.map((axis) => theirs(`SpatialTransform.angle${axis}`))
  return [
    ...angleAxes.map((axis): [string, number[], number[]] => [
      `angle ${axis}`,
      acting(draws.angles[axis] ?? []),
      acting(theirAngles[axis] ?? []),
    ]),
    ['number of angles', acting(rotatedAxes(draws.angles)), acting(rotatedAxes(theirAngles))],
    ...axes.map((axis): [string, number[], number[]] => [
      `scale ${axis}`,
      ourScales[axis] as number[],
      theirScales[axis] as number[],
    ]),
    ['ratio of scales', ratio(ourScales), ratio(theirScales)],
  ]
}

const rules: Record<string, Rule> = {
  SpatialTransform: {
    fields: ['rotationProbability', 'scalingProbability'],
    parameters: spatialParameters,
    rates: ({ draws, theirs }) => [
      ['rotation', acting(rotatedAxes(draws.angles)).length, acting(theirs('SpatialTransform.rotated')).length],
      [
        'scaling',
        (draws.scales[2] ?? []).filter((scale) => scale !== 1).length,
        acting(theirs('SpatialTransform.scaled')).length,
      ],
    ],
  },
  Rot90Transform: {
    fields: ['quarterTurnProbability'],
    parameters: ({ draws, theirs }) => [
      ['quarter turns', acting(draws.turns), acting(theirs('Rot90Transform.num_rot_per_combination'))],
    ],
  },
  TransposeAxesTransform: { fields: ['transposeProbability'] },
  OneOf_MedianFilterTransform_GaussianBlurTransform: {
    fields: ['medianFilterProbability', 'blurProbability'],
    parameters: (view) => [
      ...perChannel('MedianFilterTransform.filter_sizes', ({ median }) => median)(view),
      ...perChannel('GaussianBlurTransform.sigmas', ({ sigmas }) => sigmas[2] ?? [], true)(view),
    ],
  },
  GaussianNoiseTransform: {
    fields: ['noiseProbability'],
    parameters: ({ draws, theirs }) => [['deviation', acting(draws.noise), theirs('GaussianNoiseTransform.sigmas')]],
  },
  GaussianBlurTransform: {
    fields: ['blurProbability'],
    parameters: perChannel('GaussianBlurTransform.sigmas', ({ sigmas }) => sigmas.flat()),
  },
  MultiplicativeBrightnessTransform: {
    fields: ['brightnessProbability'],
    parameters: perChannel('MultiplicativeBrightnessTransform.multipliers', ({ brightness }) => brightness),
  },
  BrightnessAdditiveTransform: {
    fields: ['additiveBrightnessProbability'],
    parameters: perChannel('BrightnessAdditiveTransform.shift', ({ additiveBrightness }) => additiveBrightness),
  },
  ContrastTransform: {
    fields: ['contrastProbability'],
    parameters: perChannel('ContrastTransform.multipliers', ({ contrast }) => contrast),
  },
  OneOf_ContrastTransform_ContrastTransform: {
    fields: ['contrastProbability', 'unclampedContrastProbability'],
    parameters: (view) =>
      ['ContrastTransform', 'ContrastTransform#2'].flatMap((name, i) => {
        const isKind = (_: number, step: number) => view.draws.contrastClamped[step] === 1 - i
        return perChannel(`${name}.multipliers`, ({ contrast }) => contrast.filter(isKind))(view)
      }),
  },
  SimulateLowResolutionTransform: {
    fields: ['lowResolutionProbability'],
    parameters: perChannel('SimulateLowResolutionTransform.scales', ({ lowResolution }) => lowResolution, true),
  },
  GammaTransform: {
    fields: ['gammaInvertedProbability'],
    parameters: perChannel('GammaTransform.gamma', ({ gammaInverted }) => gammaInverted),
  },
  'GammaTransform#2': {
    fields: ['secondGammaInvertedProbability', 'gammaProbability'],
    parameters: perChannel('GammaTransform.gamma', ({ secondGammaInverted, gamma }) => [
      ...secondGammaInverted,
      ...gamma,
    ]),
  },
  MirrorTransform: {
    fields: ['mirrorAxes'],
    rates: ({ draws, dimensions, config, theirs }) =>
      Array.from({ length: dimensions }, (_, axis) => [
        `axis ${axis}`,
        acting(draws.mirror[config.mirrorAxes.indexOf(axis)] ?? []).length,
        acting(theirs(`MirrorTransform.axis${axis}`)).length,
      ]),
  },
  BlankRectangleTransform: {
    fields: ['blankRectangleProbability'],
    parameters: (view) => [
      ...perChannel('BlankRectangleTransform.rectangles_per_channel', ({ rectangles }) => rectangles)(view),
      ...Array.from({ length: view.dimensions }, (_, axis): [string, number[], number[]] => [
        `extent along axis ${axis}`,
        both(view, ({ rectangleExtent }) => rectangleExtent[axis] ?? []),
        view.theirs('BlankRectangleTransform.size').filter((_, i) => i % view.dimensions === axis),
      ]),
    ],
  },
  BrightnessGradientAdditiveTransform: { fields: ['brightnessGradientProbability'] },
  LocalGammaTransform: {
    fields: ['localGammaProbability'],
    parameters: perChannel('LocalGammaTransform.gammas', ({ localGamma }) => localGamma),
  },
  SharpeningTransform: {
    fields: ['sharpeningProbability'],
    parameters: perChannel('SharpeningTransform.strengths', ({ sharpening }) => sharpening),
  },
}
