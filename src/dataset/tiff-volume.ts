// 3D TIFF files as nnU-Net's Tiff3DIO gives them; the spacing lies in CASE.json beside them.
import { existsSync } from 'node:fs'
import path from 'node:path'
import { z } from 'zod'
import { readBytes, readJson, writeFileAtomically, writeJson } from '../files.js'
import { type FileImage, imageFault } from './file-image.js'
import { decodeTiff, encodeTiff } from './tiff.js'

const spacingFile = z.looseObject({ spacing: z.array(z.number().positive()).length(3) })

/**
 * The file that holds the spacing of an image or label file: CASE.json.
 * @param isImage the name ends on a channel, which is no part of CASE
 */
export function spacingFileOf(file: string, isImage: boolean): string {
  const name = path.basename(file, path.extname(file))
  return path.join(path.dirname(file), `${isImage ? name.slice(0, -'_0000'.length) : name}.json`)
}

/**
 * Reads a volume; without CASE.json its voxels count as 1 mm.
 * @throws VoxgradError ERR_DATASET
 */
export async function readTiffVolume(file: string, isImage: boolean): Promise<FileImage> {
  const { values, shape } = await decodeTiff(await readBytes(file, 'image'), file)
  const [z = 1, y = 1, x = 1] = shape
  if (shape.length !== 3) throw imageFault(file, 'three axes (z, y, x)', `${shape.length}: ${shape.join(' x ')}`)
  return { path: file, values, shape: [1, z, y, x], spacing: await spacingOf(file, isImage), geometry: {} }
}

async function spacingOf(file: string, isImage: boolean): Promise<[number, number, number]> {
  const beside = spacingFileOf(file, isImage)
  if (!existsSync(beside)) return [1, 1, 1]
  const parsed = spacingFile.safeParse(await readJson(beside, 'spacing file'))
  if (!parsed.success) throw imageFault(beside, '{ "spacing": [z, y, x] } of three positive numbers', 'something else')
  return parsed.data.spacing as [number, number, number]
}

/** Writes labels and their spacing, each atomically. Throws ERR_DISK. */
export async function writeTiffVolume(
  file: string,
  labels: Uint8Array | Uint16Array,
  shape: [number, number, number],
  spacing: number[],
): Promise<void> {
  await writeFileAtomically(file, encodeTiff(labels, shape, file, { compressed: true }))
  await writeJson(spacingFileOf(file, false), { spacing })
}
