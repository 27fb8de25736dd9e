// A raw dataset that trains in seconds: six small volumes with two touching boxes in noise.
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { TrainInput } from '../../src/config/schema.js'
import { writeVolume } from '../dataset/raw-dataset.js'

const shape: [number, number, number] = [20, 24, 20]
const cases = 6

/** Label of a voxel: a box along y whose halves are 1 and 2, shifted by the case. */
function labelAt(index: number, shift: number): number {
  const x = index % shape[2]
  const y = Math.floor(index / shape[2]) % shape[1]
  const z = Math.floor(index / (shape[1] * shape[2]))
  const inside = Math.abs(x - 10 - shift) < 4 && Math.abs(z - 9) < 4 && y >= 4 && y < 20
  return inside ? (y < 12 ? 1 : 2) : 0
}

/** A number in [0, 1) that looks random. */
const noiseAt = (index: number): number => {
  const value = Math.sin(index * 12.9898) * 43758.5453
  return value - Math.floor(value)
}

export interface SmallDataset {
  root: string
  folders: { raw: string; preprocessed: string; results: string }
  /** A folder of two images to predict. */
  images: string
}

/** Two regions, and two slices of three that are not annotated. */
export const regionsWithIgnore = {
  labels: { background: 0, whole: [1, 2], back: 2, ignore: 3 },
  regions_class_order: [1, 2],
}

/**
 * Writes nnUNet_raw/Dataset009_Boxes into a new temporary folder.
 * @param changes of dataset.json; where it has an ignore label, some slices are not annotated
 */
export async function makeSmallDataset(changes: { labels?: Record<string, unknown> } = {}): Promise<SmallDataset> {
  const root = mkdtempSync(path.join(tmpdir(), 'voxgrad-train-'))
  const folders = {
    raw: path.join(root, 'raw'),
    preprocessed: path.join(root, 'preprocessed'),
    results: path.join(root, 'results'),
  }
  const dataset = path.join(folders.raw, 'Dataset009_Boxes')
  const images = path.join(root, 'images')
  for (const folder of ['imagesTr', 'labelsTr'].map((part) => path.join(dataset, part)).concat(images)) {
    mkdirSync(folder, { recursive: true })
  }
  const description = {
    channel_names: { '0': 'MRI' },
    labels: { background: 0, front: 1, back: 2 },
    numTraining: cases,
    file_ending: '.nii.gz',
    ...changes,
  }
  const ignore = changes.labels?.ignore as number | undefined
  writeFileSync(path.join(dataset, 'dataset.json'), JSON.stringify(description))
  for (let i = 0; i < cases; i++) {
    const label = (index: number) => labelAt(index, i % 3)
    const intensity = (index: number) => 100 * label(index) + 40 * noiseAt(index + 7919 * i) + 20
    const sparse = (index: number) =>
      ignore !== undefined && Math.floor(index / (shape[1] * shape[2])) % 3 !== i % 3 ? ignore : label(index)
    await writeVolume(path.join(dataset, `labelsTr/box_${i}.nii.gz`), { shape, values: sparse }, 'label')
    for (const folder of i < 2 ? [path.join(dataset, 'imagesTr'), images] : [path.join(dataset, 'imagesTr')]) {
      await writeVolume(path.join(folder, `box_${i}_0000.nii.gz`), { shape, values: intensity }, 'image')
    }
  }
  return { root, folders, images }
}

/** A short run on it: 3 epochs of 4 steps. */
export function smallRun({ folders }: SmallDataset, changes: Partial<TrainInput> = {}): TrainInput {
  return {
    dataset: 9,
    configuration: '3d_fullres',
    fold: 0,
    plans: 'nnUNetPlansTiny',
    folders,
    threads: 1,
    seed: 7,
    budget: { epochs: 3, stepsPerEpoch: 4, valSteps: 2 },
    validation: { mirroring: false },
    checkpoint: { everyEpochs: 1 },
    ...changes,
  }
}

/**
 * Adds nnUNetPlansLeast to a preprocessed dataset: about the smallest network that plans allow, for runs in which training
 * itself is not the point. It also has a cascade: 3d_lowres at half the resolution, and 3d_cascade_fullres.
 */
export function writeLeastPlans({ folders }: SmallDataset): void {
  const file = (name: string) => path.join(folders.preprocessed, 'Dataset009_Boxes', `${name}.json`)
  const plans = JSON.parse(readFileSync(file('nnUNetPlansTiny'), 'utf8')) as {
    plans_name: string
    configurations: Record<string, { patch_size: number[]; spacing: number[]; architecture: { arch_kwargs: object } }>
  }
  const kept = plans.configurations['3d_fullres'] as (typeof plans.configurations)[string]
  const pair = <Value>(value: Value) => [value, value]
  const least = {
    ...kept,
    patch_size: [8, 8, 8],
    architecture: {
      ...kept.architecture,
      arch_kwargs: {
        ...kept.architecture.arch_kwargs,
        n_stages: 2,
        features_per_stage: [2, 4],
        kernel_sizes: pair([3, 3, 3]),
        strides: [
          [1, 1, 1],
          [2, 2, 2],
        ],
        n_conv_per_stage: pair(1),
        n_conv_per_stage_decoder: [1],
      },
    },
  }
  const lowres = {
    ...least,
    data_identifier: 'nnUNetPlansLeast_3d_lowres',
    spacing: kept.spacing.map((extent) => 2 * extent),
    next_stage: '3d_cascade_fullres',
  }
  const cascade = { inherits_from: '3d_fullres', previous_stage: '3d_lowres' }
  const configurations = { '3d_fullres': least, '3d_lowres': lowres, '3d_cascade_fullres': cascade }
  const changed = { ...plans, plans_name: 'nnUNetPlansLeast', configurations }
  writeFileSync(file('nnUNetPlansLeast'), JSON.stringify(changed))
}
