// Fuzzes one format: main.ts FORMAT RUNS SEED. Prints its progress and, as the last line, the outcome as JSON.
import { formats } from './formats.js'
import { fuzz } from './fuzz.js'

const [name, runs, seed] = process.argv.slice(2)
if (name === undefined) {
  console.log(JSON.stringify(formats.map((format) => format.name)))
} else {
  const format = formats.find((one) => one.name === name)
  if (format === undefined) throw new Error(`there is no format ${name}`)
  let said = performance.now()
  const progress = (done: number) => {
    if (performance.now() - said < 1000) return
    said = performance.now()
    console.log(`#${done}`)
  }
  console.log(JSON.stringify(await fuzz(format, { runs: Number(runs), seed: Number(seed), progress })))
}
