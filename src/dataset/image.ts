// Images and segmentations of a case as nnU-Net's readers give them: .nii.gz as SimpleITKIO does, .nii as NibabelIO.
import { VoxgradError } from '../errors.js'
import type { NativeImage } from '../native/binding.js'
import { type NiftiImage, readNifti, scaledVoxels, writeNifti } from './nifti.js'
import {
  dimensionsOf,
  headerFromAffine,
  headerFromItk,
  type ItkGeometry,
  itkGeometry,
  nibabelAffine,
  voxelExtents,
} from './nifti-geometry.js'

/**
 * Where the voxels lie in space, under the key that nnU-Net's reader gives it; stored with a preprocessed case and needed
 * to write a segmentation. SimpleITK's values are in x, y, z order and LPS millimeters, 2 entries for a 2D file and 4 for a
 * 4D file (direction: rows of a square matrix, flat); nibabel's affine (4 x 4) maps x, y, z indices to RAS millimeters.
 */
export type Geometry = { sitk_stuff: ItkGeometry } | { nibabel_stuff: { original_affine: number[][] } }

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

/** nnU-Net's reader classes that are supported. */
export type ReaderName = 'SimpleITKIO' | 'NibabelIO'

/**
 * The reader of a dataset: the one that dataset.json fixes, else by file ending (.nii.gz SimpleITKIO, .nii NibabelIO).
 * @throws VoxgradError ERR_DATASET for any other
 */
export function readerFor(dataset: {
  fileEnding: string
  overwriteImageReaderWriter?: string | undefined
}): ReaderName {
  const ending = dataset.fileEnding.toLowerCase()
  if (ending !== '.nii.gz' && ending !== '.nii') {
    throw new VoxgradError(
      'ERR_DATASET',
      `Images with the file ending "${dataset.fileEnding}" are not supported yet, NIfTI is (.nii.gz, .nii): convert them.`,
    )
  }
  const fixed = dataset.overwriteImageReaderWriter
  if (fixed === undefined) return ending === '.nii' ? 'NibabelIO' : 'SimpleITKIO'
  return supportedReader(fixed, 'overwrite_image_reader_writer of dataset.json')
}

/**
 * Checks the name of a reader: the plans' image_reader_writer, or that of dataset.json.
 * @param origin what names it, for the message
 * @throws VoxgradError ERR_DATASET for one that is not supported
 */
export function supportedReader(name: string, origin: string): ReaderName {
  if (name === 'SimpleITKIO' || name === 'NibabelIO') return name
  throw new VoxgradError(
    'ERR_DATASET',
    `${origin}: "${name}" is not supported yet, SimpleITKIO and NibabelIO are. Convert the images to NIfTI.`,
  )
}

/** One file, its channels and their grid. */
interface FileImage {
  path: string
  /** (c, z, y, x) */
  values: Float32Array
  shape: [number, number, number, number]
  spacing: [number, number, number]
  geometry: Geometry
}

function readerOf(path: string): ReaderName {
  return readerFor({ fileEnding: path.toLowerCase().endsWith('.gz') ? '.nii.gz' : (/\.[^./]*$/.exec(path)?.[0] ?? '') })
}

async function readFile(path: string, reader: ReaderName): Promise<FileImage> {
  const nifti = await readNifti(path)
  const { extents } = nifti.header
  const dimensions = Math.max(dimensionsOf(extents), 2)
  // Five dimensions: NIfTI keeps the components of a vector in the fifth, behind a time axis of extent 1.
  const isVector = dimensions === 5 && extents[3] === 1
  if (dimensions > 4 && !isVector) {
    throw new VoxgradError(
      'ERR_DATASET',
      `${path}: expected 2 to 4 dimensions, found ${extents.join(' x ')}; split the image into one file per channel`,
    )
  }
  const [x = 1, y = 1, z = 1] = extents
  const channels = isVector ? (extents[4] ?? 1) : dimensions === 4 ? (extents[3] ?? 1) : 1
  const { geometry, spacing } = geometryOf(nifti, path, reader, isVector ? 3 : dimensions)
  return { path, values: scaledVoxels(nifti), shape: [channels, z, y, x], spacing, geometry }
}

function geometryOf(
  { header }: NiftiImage,
  path: string,
  reader: ReaderName,
  dimensions: number,
): Pick<FileImage, 'geometry' | 'spacing'> {
  if (reader === 'NibabelIO') {
    const affine = nibabelAffine(header)
    if (!affine.flat().every(Number.isFinite)) {
      throw new VoxgradError(
        'ERR_DATASET',
        `${path}: expected a finite affine in the header, found ${JSON.stringify(affine)}; correct the header`,
      )
    }
    const [x = 1, y = 1, z = 1] = voxelExtents(header)
    const spacing: [number, number, number] = dimensions === 2 ? [Math.max(x, y) * 999, y, x] : [z, y, x]
    return { geometry: { nibabel_stuff: { original_affine: affine } }, spacing }
  }
  const itk = itkGeometry(header, dimensions)
  if (itk === undefined || ![...itk.origin, ...itk.direction].every(Number.isFinite)) {
    throw new VoxgradError(
      'ERR_DATASET',
      `${path}: expected orthogonal axes in sform or qform, found sform ${JSON.stringify(header.sform)} (code ${header.sformCode}) and qform code ${header.qformCode}; resample the image or correct its header`,
    )
  }
  const [x = 1, y = 1, z = 1] = itk.spacing
  return { geometry: { sitk_stuff: itk }, spacing: dimensions === 2 ? [Math.max(x, y) * 999, y, x] : [z, y, x] }
}

/** numpy's allclose with its default tolerances. */
export function allClose(found: number[], reference: number[]): boolean {
  return (
    found.length === reference.length &&
    found.every((value, i) => Math.abs(value - (reference[i] ?? 0)) <= 1e-8 + 1e-5 * Math.abs(reference[i] ?? 0))
  )
}

/**
 * Reads the files of one case and stacks their channels; a 4D file holds several.
 * @param paths one file a channel, in channel order
 * @param origin the case, for messages
 * @param options reader: the plans' image_reader_writer; by file ending if it is missing
 * @throws VoxgradError ERR_DATASET, naming the file, if one is missing, damaged, no NIfTI or differs in shape or spacing
 */
export async function readCaseImages(
  paths: string[],
  origin: string,
  options: { reader?: ReaderName | undefined } = {},
): Promise<CaseImage> {
  const files: FileImage[] = []
  for (const path of paths) files.push(await readFile(path, options.reader ?? readerOf(path)))
  const [first] = files
  if (first === undefined)
    throw new VoxgradError('ERR_DATASET', `${origin}: expected at least one image file, found none`)
  for (const file of files.slice(1)) {
    const extents = (image: FileImage) => image.shape.slice(1).join(' x ')
    if (extents(file) !== extents(first)) throw mismatch(origin, 'shape', first, extents(first), file, extents(file))
    if (!allClose(file.spacing, first.spacing)) {
      throw mismatch(origin, 'spacing', first, first.spacing.join(' x '), file, file.spacing.join(' x '))
    }
  }
  const channels = files.reduce((sum, file) => sum + file.shape[0], 0)
  const shape: NativeImage['shape'] = [channels, first.shape[1], first.shape[2], first.shape[3]]
  return { image: { data: stack(files), shape }, spacing: first.spacing, geometry: first.geometry }
}

function mismatch(
  origin: string,
  what: string,
  first: FileImage,
  expected: string,
  file: FileImage,
  found: string,
): VoxgradError {
  return new VoxgradError(
    'ERR_DATASET',
    `${origin}: all channels need one ${what} (z, y, x); ${first.path} has ${expected}, ${file.path} has ${found}. Resample one onto the other.`,
  )
}

function stack(files: FileImage[]): Float32Array {
  if (files.length === 1) return (files[0] as FileImage).values
  const result = new Float32Array(files.reduce((sum, file) => sum + file.values.length, 0))
  let offset = 0
  for (const file of files) {
    result.set(file.values, offset)
    offset += file.values.length
  }
  return result
}

/** Reads a label file with one channel. Throws as readCaseImages does. */
export async function readSegmentation(
  path: string,
  options: { reader?: ReaderName | undefined } = {},
): Promise<Segmentation> {
  const { image, spacing, geometry } = await readCaseImages([path], path, options)
  const [channels, z, y, x] = image.shape
  if (channels !== 1) {
    throw new VoxgradError(
      'ERR_DATASET',
      `${path}: expected one label per voxel, found ${channels} channels; write one 3D label image`,
    )
  }
  return { labels: image.data, shape: [z, y, x], spacing, geometry }
}

/**
 * Writes labels with the geometry of the case that they belong to, as nnU-Net's writer of the same kind would, atomically.
 * @param path ends on .nii.gz (written compressed) or .nii
 * @param shape (z, y, x)
 * @throws VoxgradError ERR_DISK
 */
export async function writeSegmentation(
  path: string,
  labels: Uint8Array | Uint16Array,
  shape: [number, number, number],
  geometry: Geometry,
): Promise<void> {
  const header =
    'sitk_stuff' in geometry
      ? headerFromItk(geometry.sitk_stuff, shape)
      : headerFromAffine(geometry.nibabel_stuff.original_affine, shape)
  // nnU-Net's writers store the smaller type wherever it suffices.
  const fitsByte = labels.every((label) => label < 255)
  await writeNifti(path, header, fitsByte ? Uint8Array.from(labels) : Uint16Array.from(labels))
}
