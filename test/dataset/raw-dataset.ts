// Makes small raw datasets on disk for tests.
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { writeNifti } from '../../src/dataset/nifti.js'
import { headerFromItk } from '../../src/dataset/nifti-geometry.js'

export interface CaseFiles {
  shape?: [number, number, number]
  spacing?: number[]
  origin?: number[]
  values?: (index: number) => number
}

/** Writes a volume; by default 4 x 5 x 6 voxels (z, y, x) of 1 mm. */
export async function writeVolume(file: string, files: CaseFiles, kind: 'image' | 'label'): Promise<void> {
  const { shape = [4, 5, 6], spacing = [1, 1, 1], origin = [0, 0, 0] } = files
  const values = files.values ?? ((index) => (kind === 'image' ? index / 2 : index % 3))
  const numbers = Array.from({ length: shape[0] * shape[1] * shape[2] }, (_, index) => values(index))
  const header = headerFromItk({ spacing, origin, direction: [1, 0, 0, 0, 1, 0, 0, 0, 1] }, shape)
  await writeNifti(file, header, kind === 'image' ? Float32Array.from(numbers) : Uint8Array.from(numbers))
}

export const datasetJson = {
  channel_names: { '0': 'T1', '1': 'T2' },
  labels: { background: 0, a: 1, b: 2 },
  numTraining: 4,
  file_ending: '.nii.gz',
}

/** A sound raw dataset with two channels and `count` cases named case_0, case_1, ... */
export async function makeRawDataset(count = 4): Promise<string> {
  const folder = path.join(mkdtempSync(path.join(tmpdir(), 'voxgrad-raw-')), 'Dataset007_Test')
  for (const part of ['imagesTr', 'labelsTr']) mkdirSync(path.join(folder, part), { recursive: true })
  writeFileSync(path.join(folder, 'dataset.json'), JSON.stringify({ ...datasetJson, numTraining: count }))
  for (let index = 0; index < count; index++) {
    for (const channel of [0, 1])
      await writeVolume(path.join(folder, `imagesTr/case_${index}_000${channel}.nii.gz`), {}, 'image')
    await writeVolume(path.join(folder, `labelsTr/case_${index}.nii.gz`), {}, 'label')
  }
  return folder
}
