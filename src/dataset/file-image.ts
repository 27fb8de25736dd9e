// What reading one image file gives, whatever its format: channels on one grid, and where the grid lies.
import { VoxgradError } from '../errors.js'
import type { ItkGeometry } from './nifti-geometry.js'

/**
 * Where the voxels lie in space, under the key that nnU-Net's reader gives it; stored with a preprocessed case and needed
 * to write a segmentation. SimpleITK's values are in x, y, z order and LPS millimeters, 2 entries for a 2D file and 4 for a
 * 4D file (direction: rows of a square matrix, flat); nibabel's affine (4 x 4) maps x, y, z indices to RAS millimeters.
 * Formats without a place in space (PNG, BMP, TIFF) have neither.
 */
export type Geometry = {
  sitk_stuff?: ItkGeometry
  nibabel_stuff?: { original_affine: number[][] }
}

/**
 * The geometry among the properties of a case (CASE.pkl, as the native reader gives it): a matrix of NumPy comes as
 * { data, shape }.
 */
export function geometryOfProperties(properties: Record<string, unknown>): Geometry {
  const { sitk_stuff: itk, nibabel_stuff: nibabel } = properties as {
    sitk_stuff?: ItkGeometry
    nibabel_stuff?: { original_affine: number[][] | { data: Float64Array } }
  }
  if (itk !== undefined) return { sitk_stuff: itk }
  if (nibabel === undefined) return {}
  const { original_affine: affine } = nibabel
  if (Array.isArray(affine)) return { nibabel_stuff: { original_affine: affine } }
  const rows = [0, 1, 2, 3].map((row) => Array.from(affine.data.subarray(4 * row, 4 * row + 4)))
  return { nibabel_stuff: { original_affine: rows } }
}

/** One file, its channels and their grid. */
export interface FileImage {
  path: string
  /** (c, z, y, x) */
  values: Float32Array
  shape: [number, number, number, number]
  /** Millimeters in the order (z, y, x). */
  spacing: [number, number, number]
  geometry: Geometry
}

/** An image without a third axis is one slice; nnU-Net gives it 999 times the spacing within, so that it is never resampled. */
export const sliceSpacing = 999

/** ERR_IMAGE about an image file. */
export function imageFault(file: string, expected: string, found: string): VoxgradError {
  return new VoxgradError('ERR_IMAGE', { where: file, required: expected, found })
}

/** What a library says of a damaged file, in parentheses; nothing where it only stumbled over it. */
export function saidBy(error: unknown): string {
  const reason = typeof error === 'string' ? error : (error as Error).message
  return error instanceof TypeError || error instanceof RangeError || !reason ? '' : ` (${reason})`
}

/**
 * Spacing as SimpleITKIO hands it on.
 * @param spacing x, y, z, ... as ITK has it, 2 to 4 entries
 */
export function spacingOfItk(spacing: number[]): [number, number, number] {
  const [x = 1, y = 1, z = 1] = spacing.map(Math.abs)
  return spacing.length === 2 ? [Math.max(x, y) * sliceSpacing, y, x] : [z, y, x]
}
