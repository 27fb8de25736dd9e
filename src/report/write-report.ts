// report.html: a run on one page that can be sent to a colleague.
import path from 'node:path'
import type { FolderOptions } from '../config/folders.js'
import { writeFileAtomically } from '../files.js'
import { readReportContent } from './page/content.js'
import { reportPage } from './page/page.js'
import { makePictures } from './page/pictures.js'

/**
 * Writes the report of a run folder, of a run under way or ended in any way.
 * @param options file: by default report.html in the run folder; folders: where the images of pictures are looked for
 * @returns its size in bytes
 * @throws VoxgradError ERR_RUN without a run, ERR_DATASET or ERR_FORMAT for damaged files of it, ERR_DISK
 */
export async function writeReport(
  runFolder: string,
  { file = path.join(runFolder, 'report.html'), folders = {} }: { file?: string; folders?: FolderOptions } = {},
): Promise<number> {
  const content = await readReportContent(runFolder)
  const page = reportPage(content, await makePictures(runFolder, content, folders))
  await writeFileAtomically(file, page)
  return Buffer.byteLength(page)
}
