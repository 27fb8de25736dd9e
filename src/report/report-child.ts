// The program that writes the report of a run at its end.
import { answerApart } from './apart.js'
import { writeReport } from './write-report.js'

await answerApart(async () => {
  await writeReport(process.argv[2] as string)
})
