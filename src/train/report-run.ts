// The report at the end of a run. It is written last, from what is on the disk, and no fault of it is one of the run.
import { writeReportApart } from '../report/report.js'
import type { JobContext } from './job.js'
import { RunFolder } from './run-folder.js'

/** Writes report.html; a warning says where that fails. */
export async function reportRun(folder: string, context: JobContext): Promise<void> {
  const fault = await writeReportApart(folder, { stopping: context.stopping, alive: () => context.alive('saving') })
  if (fault === null) return
  const text = `report.html could not be written: ${fault} The run is complete; \`voxgrad report ${folder}\` tries again.`
  const warning = { type: 'warning', text } as const
  context.emit(warning)
  // The disk that refused the report may refuse this line too.
  await new RunFolder(folder).appendMetrics(warning).catch(() => {})
}
