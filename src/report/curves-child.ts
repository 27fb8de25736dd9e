// The program that writes a run's curves from its metrics.jsonl: started by writeCurves, and gone as soon as it has said how
// it went.
import path from 'node:path'
import { readDatasetJson } from '../dataset/dataset-json.js'
import { RunFolder } from '../train/run-folder.js'
import { answerApart } from './apart.js'
import { writeCsv } from './csv.js'
import { writeProgress } from './plot.js'
import { writeEvents } from './tensorboard.js'

async function write(folder: string): Promise<void> {
  const run = new RunFolder(folder)
  const epochs = (await run.readMetrics()).filter((line) => line.type === 'epoch')
  await writeProgress(folder, epochs)
  const { targets } = await readDatasetJson(path.join(run.modelFolder, 'dataset.json'))
  const labels = targets.map(({ name }) => name)
  await writeCsv(folder, epochs, labels)
  await writeEvents(folder, Date.parse((await run.readRecord()).startedAt) / 1000, epochs, labels)
}

await answerApart(() => write(process.argv[2] as string))
