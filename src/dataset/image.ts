// Images and segmentations of a case as nnU-Net's readers give them, whatever the file type.
import { VoxgradError } from '../errors.js'
import type { NativeImage } from '../native/binding.js'
import { type FileImage, type Geometry, imageFault } from './file-image.js'
import { readMetaImage, writeMetaImage } from './metaimage.js'
import { readNaturalImage, writeNaturalImage } from './natural-image.js'
import { writeNifti } from './nifti.js'
import { headerFromAffine, headerFromItk } from './nifti-geometry.js'
import { readNiftiImage } from './nifti-image.js'
import { readNrrd, writeNrrd } from './nrrd.js'
import { endingOf, type ReaderName, readerOfFile } from './readers.js'
import { readTiffVolume, writeTiffVolume } from './tiff-volume.js'

export type { Geometry } from './file-image.js'

const itkEndings = ['.nii.gz', '.nii', '.nrrd', '.mha', '.mhd']

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
 * Reads one file by the rules of one of nnU-Net's readers.
 * @param kind decides where the spacing of a TIFF volume is looked for
 * @throws VoxgradError ERR_DATASET, naming the file
 */
export async function readImageFile(path: string, reader: ReaderName, kind: 'image' | 'label'): Promise<FileImage> {
  if (reader === 'NaturalImage2DIO') return readNaturalImage(path)
  if (reader === 'Tiff3DIO') return readTiffVolume(path, kind === 'image')
  const ending = endingOf(path)
  if (ending === '.nii' || ending === '.nii.gz') return readNiftiImage(path, reader)
  if (reader === 'SimpleITKIO' && (ending === '.mha' || ending === '.mhd')) return readMetaImage(path)
  if (reader === 'SimpleITKIO' && ending === '.nrrd') return readNrrd(path)
  throw imageFault(path, `a file type that ${reader} reads (${itkEndings.join(', ')})`, `"${ending}"`)
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
  options: { reader?: ReaderName | undefined; kind?: 'image' | 'label' } = {},
): Promise<CaseImage> {
  const files: FileImage[] = []
  for (const path of paths)
    files.push(await readImageFile(path, options.reader ?? readerOfFile(path), options.kind ?? 'image'))
  const [first] = files
  if (first === undefined)
    throw new VoxgradError('ERR_DATASET', { where: origin, required: 'at least one image file', found: 'none' })
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
  return new VoxgradError('ERR_IMAGE', {
    where: origin,
    required: `one ${what} (z, y, x) for all channels`,
    found: `${expected} in ${first.path} and ${found} in ${file.path}`,
    remedy: 'Resample one onto the other.',
  })
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
  const { image, spacing, geometry } = await readCaseImages([path], path, { ...options, kind: 'label' })
  const [channels, z, y, x] = image.shape
  if (channels !== 1) {
    throw new VoxgradError('ERR_IMAGE', {
      where: path,
      required: 'one label per voxel',
      found: `${channels} channels`,
      remedy: 'Write one number per voxel, without colors or a palette.',
    })
  }
  return { labels: image.data, shape: [z, y, x], spacing, geometry }
}

/**
 * Writes labels with the geometry of the case that they belong to, as nnU-Net's writer of the same kind would, atomically.
 * @param path its ending decides the file type
 * @param shape (z, y, x)
 * @param grid where the voxels of the case lie, as it was read
 * @param reader the plans' image_reader_writer; by file ending if it is missing
 * @throws VoxgradError ERR_DATASET for labels that the file type does not hold, ERR_DISK
 */
export async function writeSegmentation(
  path: string,
  labels: Uint8Array | Uint16Array,
  shape: [number, number, number],
  grid: { geometry: Geometry; spacing: number[] },
  reader: ReaderName = readerOfFile(path),
): Promise<void> {
  // nnU-Net's writers store the smaller type wherever it suffices.
  const fitsByte = labels.every((label) => label < 255)
  const smallest = fitsByte ? Uint8Array.from(labels) : Uint16Array.from(labels)
  if (reader === 'NaturalImage2DIO') return writeNaturalImage(path, smallest, shape)
  if (reader === 'Tiff3DIO') return writeTiffVolume(path, smallest, shape, grid.spacing)
  const { sitk_stuff: itk, nibabel_stuff: nibabel } = grid.geometry
  if (nibabel !== undefined) return writeNifti(path, headerFromAffine(nibabel.original_affine, shape), smallest)
  if (itk === undefined)
    throw new VoxgradError('ERR_INTERNAL', { where: path, required: 'a place of the voxels', found: 'none' })
  const ending = endingOf(path)
  if (ending === '.mha' || ending === '.mhd') return writeMetaImage(path, smallest, shape, itk)
  if (ending === '.nrrd') return writeNrrd(path, smallest, shape, itk)
  return writeNifti(path, headerFromItk(itk, shape), smallest)
}
