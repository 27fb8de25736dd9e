// Images and segmentations of a case as nnU-Net's readers give them: .nii.gz as SimpleITKIO does, .nii as NibabelIO.
import { VoxgradError } from '../errors.js'
import type { NativeImage } from '../native/binding.js'

/**
 * Where the voxels lie in space, under the key that nnU-Net's reader gives it; stored with a preprocessed case and needed
 * to write a segmentation. SimpleITK's values are in x, y, z order and LPS millimeters, 2 entries for a 2D file and 4 for a
 * 4D file (direction: rows of a square matrix, flat); nibabel's affine (4 x 4) maps x, y, z indices to RAS millimeters.
 */
export type Geometry =
  | { sitk_stuff: { spacing: number[]; origin: number[]; direction: number[] } }
  | { nibabel_stuff: { original_affine: number[][] } }

export interface CaseImage {
  /** All channels, float32, (c, z, y, x); 2D files have z = 1. */
  image: NativeImage
  /** Millimeters in the order (z, y, x); a 2D file gets z = 999 times its larger spacing, as nnU-Net has it. */
  spacing: [number, number, number]
  geometry: Geometry
}

export interface Segmentation {
  /** Labels as nnU-Net's readers give them, C order (z, y, x). */
  labels: Float32Array
  shape: [number, number, number]
  spacing: [number, number, number]
  geometry: Geometry
}

/**
 * Reads the files of one case and stacks their channels; a 4D file holds several.
 * @param paths one file a channel, in channel order
 * @param origin the case, for messages
 * @throws VoxgradError ERR_DATASET, naming the file, if one is missing, damaged, no NIfTI or differs in shape or spacing
 */
export async function readCaseImages(_paths: string[], _origin: string): Promise<CaseImage> {
  throw new VoxgradError('ERR_INTERNAL', 'reading images follows')
}

/** Reads a label file with one channel. Throws as readCaseImages does. */
export async function readSegmentation(_path: string): Promise<Segmentation> {
  throw new VoxgradError('ERR_INTERNAL', 'reading segmentations follows')
}

/**
 * Writes labels with the geometry of the case that they belong to, as nnU-Net's writer of the same kind would, atomically.
 * @param path ends on .nii.gz (written compressed) or .nii
 * @param shape (z, y, x)
 * @throws VoxgradError ERR_DISK
 */
export async function writeSegmentation(
  _path: string,
  _labels: Uint8Array | Uint16Array,
  _shape: [number, number, number],
  _geometry: Geometry,
): Promise<void> {
  throw new VoxgradError('ERR_INTERNAL', 'writing segmentations follows')
}
