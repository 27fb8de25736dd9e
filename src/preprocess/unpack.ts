// nnU-Net's older preprocessed layout: CASE.npz, which is unpacked to CASE.npy and CASE_seg.npy before training.
// Source: nnU-Net training/dataloading/utils.py, unpack_dataset.
import { existsSync, statSync } from 'node:fs'
import path from 'node:path'
import { type CasePoolOptions, forEachCase } from '../case-pool.js'
import { writeFileAtomically } from '../files.js'
import { readNpyOfNpz } from '../npz.js'

/** Unpacked arrays are larger than the archive by about this factor. */
const usualRatio = 4

/**
 * Unpacks CASE.npz where neither CASE.b2nd nor CASE.npy is there, in the same folder, as nnU-Net does.
 * @param folder of preprocessed cases
 * @throws VoxgradError ERR_PREPROCESSED naming every damaged file, ERR_DISK
 */
export async function unpackCases(folder: string, caseIds: string[], options: CasePoolOptions = {}): Promise<void> {
  const at = (name: string) => path.join(folder, name)
  const packed = caseIds.filter(
    (id) => existsSync(at(`${id}.npz`)) && !existsSync(at(`${id}.b2nd`)) && !existsSync(at(`${id}.npy`)),
  )
  const unpack = async ({ caseId }: { caseId: string }) => {
    const file = at(`${caseId}.npz`)
    // Both before anything is written.
    const image = await readNpyOfNpz(file, 'data', 'ERR_PREPROCESSED')
    const segmentation = await readNpyOfNpz(file, 'seg', 'ERR_PREPROCESSED')
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
