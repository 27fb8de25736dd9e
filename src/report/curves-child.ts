// The program that writes a run's curves from its metrics.jsonl: started by writeCurves, and gone as soon as it has said how
// it went.
import path from 'node:path'
import { readDatasetJson } from '../dataset/dataset-json.js'
import { VoxgradError } from '../errors.js'
import { RunFolder } from '../train/run-folder.js'
import { writeCsv } from './csv.js'
import type { CurvesOutcome } from './curves.js'
import { writeProgress } from './plot.js'
import { writeEvents } from './tensorboard.js'

process.on('disconnect', () => process.exit())

async function write(folder: string): Promise<CurvesOutcome> {
  try {
    const run = new RunFolder(folder)
    const epochs = (await run.readMetrics()).filter((line) => line.type === 'epoch')
    await writeProgress(folder, epochs)
    const { targets } = await readDatasetJson(path.join(run.modelFolder, 'dataset.json'))
    const labels = targets.map(({ name }) => name)
    await writeCsv(folder, epochs, labels)
    await writeEvents(folder, Date.parse((await run.readRecord()).startedAt) / 1000, epochs, labels)
    return {}
  } catch (error) {
    const isDiskFault = error instanceof VoxgradError && error.code === 'ERR_DISK'
    return { failure: { message: (error as Error).message, isDiskFault } }
  }
}

process.send?.(await write(process.argv[2] as string), () => process.exit())
