// voxgrad report: the page that shows a run, written for any run folder at any time.
import path from 'node:path'
import type { Command } from 'commander'
import { formatBytes } from '../report/format.js'
import { writeReport } from '../report/write-report.js'
import { addCommonFlags, type CommonFlags, makeContext } from './context.js'

interface ReportFlags extends CommonFlags {
  output?: string
}

export function addReport(program: Command): void {
  const command = program
    .command('report')
    .summary('Write a run as one page, report.html.')
    .description(
      'Writes one self-contained page of a run, under way or ended: curves, Dice of every case, the worst and best of ' +
        'them as pictures, time and memory, advice, events, options and versions. A run writes it at its end by itself.',
    )
    .argument('<run>', 'The run folder, .../fold_0.')
    .option('-o, --output <file>', 'Where to write (default: report.html in the run folder).')
    .addHelpText(
      'after',
      '\nExample:\n  voxgrad report results/Dataset004_Hippocampus/voxgrad__nnUNetPlans__3d_fullres/fold_0 -o hippocampus.html',
    )
  addCommonFlags(command, ['raw', 'preprocessed']).action(async (run: string, flags: ReportFlags) => {
    const { view, json, folderOptions } = makeContext(flags)
    const folder = path.resolve(run)
    const file = path.resolve(flags.output ?? path.join(folder, 'report.html'))
    const bytes = await writeReport(folder, { file, folders: folderOptions })
    json?.write({ type: 'report', run: folder, file, bytes })
    view.message(`${file} (${formatBytes(bytes)})`)
  })
}
