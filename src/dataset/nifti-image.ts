// NIfTI files as nnU-Net's readers give them: SimpleITKIO or NibabelIO.
import { type FileImage, imageFault, sliceSpacing, spacingOfItk } from './file-image.js'
import { type NiftiImage, readNifti, scaledVoxels } from './nifti.js'
import { dimensionsOf, itkGeometry, nibabelAffine, voxelExtents } from './nifti-geometry.js'

/**
 * Reads a .nii or .nii.gz file.
 * @throws VoxgradError ERR_DATASET
 */
export async function readNiftiImage(path: string, reader: 'SimpleITKIO' | 'NibabelIO'): Promise<FileImage> {
  return imageOfNifti(await readNifti(path), path, reader)
}

/** What a reader makes of a decoded file. Throws as readNiftiImage does. */
export function imageOfNifti(nifti: NiftiImage, path: string, reader: 'SimpleITKIO' | 'NibabelIO'): FileImage {
  const { extents } = nifti.header
  const dimensions = Math.max(dimensionsOf(extents), 2)
  // Five dimensions: NIfTI keeps the components of a vector in the fifth, behind a time axis of extent 1.
  const isVector = dimensions === 5 && extents[3] === 1
  if (dimensions > 4 && !isVector) {
    throw imageFault(path, '2 to 4 dimensions', `${extents.join(' x ')}; split the image into one file per channel`)
  }
  const [x = 1, y = 1, z = 1] = extents
  const channels = isVector ? (extents[4] ?? 1) : dimensions === 4 ? (extents[3] ?? 1) : 1
  const { geometry, spacing } = geometryOf(nifti, path, reader, isVector ? 3 : dimensions)
  return { path, values: scaledVoxels(nifti), shape: [channels, z, y, x], spacing, geometry }
}

/** Whether SimpleITK reads the file: no NIfTI-2, and axes that are orthogonal. Throws ERR_DATASET for a damaged file. */
export async function isNiftiForItk(path: string): Promise<boolean> {
  const { header } = await readNifti(path)
  return header.version === 1 && itkGeometry(header, 3) !== undefined
}

function geometryOf(
  { header }: NiftiImage,
  path: string,
  reader: 'SimpleITKIO' | 'NibabelIO',
  dimensions: number,
): Pick<FileImage, 'geometry' | 'spacing'> {
  if (reader === 'NibabelIO') {
    const affine = nibabelAffine(header)
    if (!affine.flat().every(Number.isFinite)) {
      throw imageFault(path, 'a finite affine in the header', `${JSON.stringify(affine)}; correct the header`)
    }
    const [x = 1, y = 1, z = 1] = voxelExtents(header)
    const spacing: [number, number, number] = dimensions === 2 ? [Math.max(x, y) * sliceSpacing, y, x] : [z, y, x]
    return { geometry: { nibabel_stuff: { original_affine: affine } }, spacing }
  }
  const itk = itkGeometry(header, dimensions)
  if (itk === undefined || ![...itk.origin, ...itk.direction].every(Number.isFinite)) {
    throw imageFault(
      path,
      'orthogonal axes in sform or qform',
      `sform ${JSON.stringify(header.sform)} (code ${header.sformCode}) and qform code ${header.qformCode}; resample the image or correct its header`,
    )
  }
  return { geometry: { sitk_stuff: itk }, spacing: spacingOfItk(itk.spacing) }
}
