// nnU-Net's reader classes by name and by file ending.
// Source: nnU-Net imageio/reader_writer_registry.py and the supported_file_endings of each reader.
import { VoxgradError } from '../errors.js'

/** File endings of each supported reader, in the order in which nnU-Net asks them. */
const endingsOf = {
  NaturalImage2DIO: ['.png', '.bmp', '.tif'],
  SimpleITKIO: ['.nii.gz', '.nrrd', '.mha', '.gipl'],
  Tiff3DIO: ['.tif', '.tiff'],
  NibabelIO: ['.nii', '.nii.gz'],
} as const satisfies Record<string, readonly string[]>

/** nnU-Net's reader classes that are supported. */
export type ReaderName = keyof typeof endingsOf

const readerNames = Object.keys(endingsOf) as ReaderName[]

/**
 * The readers that nnU-Net tries for a file ending, in its order; the first that can read the first image is taken.
 * @throws VoxgradError ERR_DATASET if there is none
 */
export function readersForEnding(ending: string): [ReaderName, ...ReaderName[]] {
  const found = readerNames.filter((name) => (endingsOf[name] as readonly string[]).includes(ending.toLowerCase()))
  const [first, ...others] = found
  if (first !== undefined) return [first, ...others]
  const known = [...new Set(Object.values(endingsOf).flat())].join(', ')
  throw new VoxgradError('ERR_IMAGE', {
    required: `images with one of the file endings ${known}`,
    found: `"${ending}"`,
    remedy: 'Convert them.',
  })
}

/**
 * The first choice for a file that is read outside of a dataset.
 * @throws VoxgradError ERR_DATASET if there is none
 */
export function readerOfFile(file: string): ReaderName {
  return readersForEnding(endingOf(file))[0]
}

/** The file ending with its dot, .nii.gz in one. */
export function endingOf(file: string): string {
  return /(\.nii\.gz|\.[^./]*)$/i.exec(file)?.[0].toLowerCase() ?? ''
}

/**
 * Checks the name of a reader: the plans' image_reader_writer, or that of dataset.json.
 * @param origin what names it, for the message
 * @throws VoxgradError ERR_DATASET for one that is not supported
 */
export function supportedReader(name: string, origin: string): ReaderName {
  const known = readerNames.find((one) => one === name)
  if (known !== undefined) return known
  throw new VoxgradError('ERR_DATASET', {
    where: origin,
    required: `one of ${readerNames.join(', ')}`,
    found: `"${name}"`,
  })
}
