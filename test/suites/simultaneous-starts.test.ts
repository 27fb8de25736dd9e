// Several processes start the same run at once: one of them gets the folder, the others end with 2 and name it. Its owner
// is then killed (-9), and the next round starts at once in the same folder.
import { rmSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { recordOf } from '../train/run-files.js'
import { makeSmallDataset, type SmallDataset, writeLeastPlans } from '../train/small-dataset.js'
import { count, figuresOf, Random, suiteTimeout } from './counts.js'
import { Program, trainArguments, wholeCheckpoints } from './program.js'

const figures = figuresOf('simultaneous-starts', { rounds: 0, starts: 0, winners: 0, 'refused, naming the owner': 0 })
const random = new Random('simultaneous-starts')

let dataset: SmallDataset
beforeAll(async () => {
  dataset = await makeSmallDataset()
  const first = new Program(trainArguments({ run: path.join(dataset.root, 'first'), epochs: 1 }), dataset.folders)
  expect((await first.ended).code).toBe(0)
  writeLeastPlans(dataset)
}, suiteTimeout)
afterAll(() => rmSync(dataset.root, { recursive: true, force: true }))

test(
  'exactly one of two to four wins',
  async () => {
    const run = path.join(dataset.root, 'run')
    const args = trainArguments({
      run,
      plans: 'nnUNetPlansLeast',
      epochs: 100_000,
      stepsPerEpoch: 50,
      set: { 'checkpoint.everyEpochs': 20 },
      flags: ['--continue'],
    })
    for (let round = 0; round < count(100); round++) {
      const programs = Array.from({ length: 2 + random.below(3) }, () => new Program(args, dataset.folders))
      const outcomes = await Promise.all(
        programs.map(async (program) => {
          const started = await program.until(({ type }) => type === 'run_started')
          return started ? 'won' : program.ended
        }),
      )
      const [winner, ...others] = programs.filter((_, i) => outcomes[i] === 'won')
      expect(others).toEqual([])
      expect(winner?.isRunning).toBe(true)
      const owner = recordOf(run).processId
      expect(winner?.group()).toContain(owner)
      for (const outcome of outcomes) {
        if (outcome === 'won') continue
        expect(outcome.code).toBe(2)
        expect(outcome.stderr).toContain(`is in use by process ${owner} on `)
        figures['refused, naming the owner']++
      }
      figures.rounds++
      figures.starts += programs.length
      figures.winners++
      winner?.signalGroup('SIGKILL')
      await winner?.ended
      await wholeCheckpoints(run, 50)
    }
  },
  suiteTimeout,
)
