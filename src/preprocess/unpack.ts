// nnU-Net's older preprocessed layout: CASE.npz, which is unpacked to CASE.npy and CASE_seg.npy before training.
// Source: nnU-Net training/dataloading/utils.py, unpack_dataset.
import { existsSync, statSync } from 'node:fs'
import path from 'node:path'
import { type Unzipped, unzipSync } from 'fflate'
import { type CasePoolOptions, forEachCase } from '../case-pool.js'
import { VoxgradError } from '../errors.js'
import { readBytes, writeFileAtomically } from '../files.js'

/** Unpacked arrays are larger than the archive by about this factor. */
const usualRatio = 4

/**
 * Unpacks CASE.npz where neither CASE.b2nd nor CASE.npy is there, in the same folder, as nnU-Net does.
 * @param folder of preprocessed cases
 * @throws VoxgradError ERR_DATASET naming every damaged file, ERR_DISK
 */
export async function unpackCases(folder: string, caseIds: string[], options: CasePoolOptions = {}): Promise<void> {
  const at = (name: string) => path.join(folder, name)
  const packed = caseIds.filter(
    (id) => existsSync(at(`${id}.npz`)) && !existsSync(at(`${id}.b2nd`)) && !existsSync(at(`${id}.npy`)),
  )
  const unpack = async ({ caseId }: { caseId: string }) => {
    const file = at(`${caseId}.npz`)
    const { 'data.npy': image, 'seg.npy': segmentation } = unzip(await readBytes(file, 'preprocessed case'), file)
    if (image === undefined || segmentation === undefined) throw damaged(file, 'lacks data or seg')
    // CASE.npy last: its presence says that the case is unpacked.
    await writeFileAtomically(at(`${caseId}_seg.npy`), segmentation)
    await writeFileAtomically(at(`${caseId}.npy`), image)
  }
  const bytesOf = ({ caseId }: { caseId: string }) => (1 + 2 * usualRatio) * statSync(at(`${caseId}.npz`)).size
  await forEachCase(
    packed.map((caseId) => ({ caseId })),
    unpack,
    bytesOf,
    options,
  )
}

function unzip(bytes: Uint8Array, file: string): Unzipped {
  try {
    return unzipSync(bytes)
  } catch (error) {
    throw damaged(file, `is damaged (${(error as Error).message})`)
  }
}

function damaged(file: string, what: string): VoxgradError {
  return new VoxgradError(
    'ERR_DATASET',
    `${file}: expected an archive of data and seg, but it ${what}; preprocess again`,
  )
}
