// dataset.json: nnU-Net's description of a raw dataset, checked and with its meaning worked out.
import { z } from 'zod'
import { VoxgradError } from '../errors.js'
import { readJson } from '../files.js'
import { type JsonObject, keysInFileOrder } from '../json.js'
import { isPlainName } from '../names.js'

/** One entry of "labels": a label, or a region made of several. */
export interface LabelEntry {
  name: string
  values: number[]
}

/** What is trained, counted and evaluated: a foreground label, or with regions a region. */
export interface Target {
  name: string
  /** As in dataset.json: a list is a region. */
  value: number | number[]
  /** The labels that it covers. */
  labels: number[]
  /** Its name in summary.json: the text of Python's number or tuple. */
  key: string
}

export interface DatasetJson {
  /** The file as parsed (keysInFileOrder gives its order): what checkpoints and run folders store. */
  content: JsonObject
  /** Channel names in the order of the file; they select the normalization. */
  channels: string[]
  /** All entries of "labels" in the order of the file, background and ignore included. */
  labels: LabelEntry[]
  /** Sorted label values, background (0) included, the ignore label not. */
  allLabels: number[]
  /** allLabels without 0. */
  foregroundLabels: number[]
  /**
   * Without regions the foreground labels in ascending order, each with the name of the first entry with this value alone
   * (else the value as text); with regions all entries but background and ignore in the order of the file.
   */
  targets: Target[]
  /** Label of voxels that are not annotated. */
  ignoreLabel: number | undefined
  /** Training with overlapping regions: an entry has more than one value. */
  hasRegions: boolean
  /** With regions: the label that each one paints into a segmentation, later ones over earlier ones. */
  regionsClassOrder: number[] | undefined
  numTraining: number
  /** With the dot: .nii.gz */
  fileEnding: string
  /** Class name of nnU-Net's reader, if the file fixes one. */
  overwriteImageReaderWriter: string | undefined
  /** Explicit listing of files instead of imagesTr and labelsTr. */
  listing: Record<string, { images: string[]; label: string }> | undefined
}

const label = z.union([
  z.number().int().nonnegative(),
  z.array(z.number().int().nonnegative()).min(1, 'a region needs at least one label'),
])
const channelNames = z
  .record(z.string(), z.string())
  .refine((names) => Object.keys(names).length > 0, 'at least one channel is needed')

const caseNameText = 'the name of a case must be a file name, without / or \\'
/** It becomes the name of files. */
export const caseName = z.string().refine(isPlainName, caseNameText)

const schema = z.looseObject({
  channel_names: channelNames.optional(),
  modality: channelNames.optional(),
  labels: z.record(z.string(), label),
  regions_class_order: z.array(z.number().int()).optional(),
  numTraining: z.number().int().positive(),
  file_ending: z.string().regex(/^(\.\w+)+$/, 'must be a dot and letters, such as ".nii.gz"'),
  overwrite_image_reader_writer: z.string().optional(),
  dataset: z
    .record(z.string(), z.looseObject({ images: z.array(z.string()).min(1), label: z.string() }))
    .refine((cases) => Object.keys(cases).every(isPlainName), caseNameText)
    .optional(),
})

/**
 * Reads the dataset.json of a raw or preprocessed folder.
 * @param file the file itself
 * @throws VoxgradError ERR_DATASET with all faults at once
 */
export async function readDatasetJson(file: string): Promise<DatasetJson> {
  return parseDatasetJson(await readJson(file, 'dataset.json'), file)
}

/** Checks parsed content (of a file or a checkpoint). Throws ERR_DATASET with all faults at once. */
export function parseDatasetJson(content: unknown, origin: string): DatasetJson {
  const parsed = schema.safeParse(content)
  if (!parsed.success) {
    const faults = parsed.error.issues.map((issue) => {
      const where = issue.path.length === 0 ? 'the file' : `"${issue.path.join('.')}"`
      return `${where}: ${issue.message}`
    })
    throw faulty(origin, faults)
  }
  const { channel_names: names = parsed.data.modality, ...fields } = parsed.data
  const inFile = content as Record<string, JsonObject>
  const labels = keysInFileOrder(inFile.labels ?? {}).map((name) => ({
    name,
    values: [fields.labels[name] ?? []].flat(),
  }))
  const faults = [
    ...(names === undefined ? ['"channel_names" is missing, such as { "0": "MRI" }'] : []),
    ...labelFaults(labels, fields.labels, fields.regions_class_order),
  ]
  if (names === undefined || faults.length > 0) throw faulty(origin, faults)

  const ignoreLabel = labels.find((entry) => entry.name === 'ignore')?.values[0]
  const allLabels = uniqueSorted(labels.filter((entry) => entry.name !== 'ignore').flatMap((entry) => entry.values))
  const foregroundLabels = allLabels.filter((value) => value !== 0)
  const hasRegions = labels.some((entry) => entry.values.length > 1)
  const reader = fields.overwrite_image_reader_writer
  return {
    content: content as JsonObject,
    channels: keysInFileOrder(inFile.channel_names ?? inFile.modality ?? {}).map((key) => names[key] ?? ''),
    labels,
    allLabels,
    foregroundLabels,
    targets: hasRegions
      ? labels.filter(isRegion).map(({ name }) => makeTarget(name, fields.labels[name] as number | number[]))
      : foregroundLabels.map((value) => makeTarget(nameOf(value, labels), value)),
    ignoreLabel,
    hasRegions,
    regionsClassOrder: hasRegions ? fields.regions_class_order : undefined,
    numTraining: fields.numTraining,
    fileEnding: fields.file_ending,
    overwriteImageReaderWriter: reader === undefined || reader === 'None' ? undefined : reader,
    listing: fields.dataset,
  }
}

const isRegion = ({ name, values }: LabelEntry) => name !== 'ignore' && values.some((value) => value !== 0)

const nameOf = (value: number, labels: LabelEntry[]) =>
  labels.find((entry) => entry.values.length === 1 && entry.values[0] === value)?.name ?? String(value)

function makeTarget(name: string, value: number | number[]): Target {
  const labels = [value].flat()
  const tuple = labels.length === 1 ? `(${labels[0]},)` : `(${labels.join(', ')})`
  return { name, value, labels, key: Array.isArray(value) ? tuple : String(value) }
}

/** nnU-Net's rules for labels (LabelManager and verify_dataset_integrity). */
function labelFaults(
  labels: LabelEntry[],
  byName: Record<string, number | number[]>,
  order: number[] | undefined,
): string[] {
  const faults: string[] = []
  if (byName.background !== 0) {
    faults.push(`"labels.background" must be 0, found ${JSON.stringify(byName.background) ?? 'nothing'}`)
  }
  const others = uniqueSorted(labels.filter((entry) => entry.name !== 'ignore').flatMap((entry) => entry.values))
  const ignore = byName.ignore
  if (ignore !== undefined && ignore !== (others.at(-1) ?? 0) + 1) {
    faults.push(
      `"labels.ignore" must be ${(others.at(-1) ?? 0) + 1}, the largest other label plus one, found ${JSON.stringify(ignore)}`,
    )
  }
  const expected = others.map((_, index) => index)
  if (others.some((value, index) => value !== index)) {
    faults.push(
      `label values must be consecutive (${expected.join(', ')}), found ${others.join(', ')}; renumber them here and in the label files`,
    )
  }
  if (others.length < 2) faults.push('"labels" needs at least one label besides background')
  if (labels.some((entry) => entry.values.length > 1)) {
    const regions = labels.filter(isRegion)
    if (order === undefined || order.length !== regions.length) {
      faults.push(
        `"regions_class_order" must list one label per region (${regions.length}), found ${JSON.stringify(order) ?? 'nothing'}`,
      )
    }
  }
  return faults
}

function uniqueSorted(values: number[]): number[] {
  return [...new Set(values)].sort((a, b) => a - b)
}

function faulty(origin: string, faults: string[]): VoxgradError {
  return new VoxgradError(
    'ERR_DATASET',
    `${origin} is not a valid dataset.json:\n${faults.map((fault) => `  - ${fault}`).join('\n')}`,
  )
}
