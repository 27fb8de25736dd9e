// The program that draws a run's chart from its metrics.jsonl: started by drawChart, and gone as soon as it has said how it
// went.
import { VoxgradError } from '../errors.js'
import { RunFolder } from '../train/run-folder.js'
import type { ChartOutcome } from './chart.js'
import { writeProgress } from './plot.js'

process.on('disconnect', () => process.exit())

async function draw(folder: string): Promise<ChartOutcome> {
  try {
    const lines = await new RunFolder(folder).readMetrics()
    await writeProgress(
      folder,
      lines.filter((line) => line.type === 'epoch'),
    )
    return {}
  } catch (error) {
    const isDiskFault = error instanceof VoxgradError && error.code === 'ERR_DISK'
    return { failure: { message: (error as Error).message, isDiskFault } }
  }
}

process.send?.(await draw(process.argv[2] as string), () => process.exit())
