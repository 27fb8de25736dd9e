// Damaged run folders: flipped bits, cut, emptied, lengthened and exchanged checkpoints are all found, the best whole one
// is chosen, and what is passed over is named with its reason.
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { CheckpointName, TrainInput } from '../../src/config/schema.js'
import { readCandidates } from '../../src/train/candidates.js'
import { train } from '../../src/train/jobs.js'
import { chooseCheckpoint } from '../../src/train/resume.js'
import { checkpointNames, RunFolder } from '../../src/train/run-folder.js'
import { recordOf } from '../train/run-files.js'
import { makeSmallDataset, type SmallDataset, smallRun, writeLeastPlans } from '../train/small-dataset.js'
import { count, figuresOf, Random, suiteTimeout } from './counts.js'

const figures = figuresOf('corruptions', {
  'damaged folders': 0,
  'damaged files': 0,
  'damaged files found': 0,
  'folders with a whole checkpoint left': 0,
  'best one left chosen': 0,
})
const random = new Random('corruptions')

type Files = Record<CheckpointName, Buffer>

let dataset: SmallDataset
let folder: RunFolder
let id: string
let sound: Files
/** Of another run with the same options, and of one on another fold. */
let foreign: Files[]

beforeAll(async () => {
  dataset = await makeSmallDataset()
  await train(smallRun(dataset, { budget: { steps: 1, stepsPerEpoch: 1, valSteps: 1 }, validateAtEnd: false })).finished
  writeLeastPlans(dataset)
  const ours = await trainOnce('ours', 0)
  folder = new RunFolder(ours.run)
  id = recordOf(ours.run).id
  sound = ours.files
  foreign = [(await trainOnce('other', 0)).files, (await trainOnce('fold', 1)).files]
}, suiteTimeout)
afterAll(() => rmSync(dataset.root, { recursive: true, force: true }))

/** A run with all three checkpoints: best after the first epoch, latest after the second, final after the third. */
async function trainOnce(name: string, fold: TrainInput['fold']): Promise<{ run: string; files: Files }> {
  const run = path.join(dataset.root, name)
  const keep = (file: CheckpointName) => path.join(dataset.root, `${name}-${file}.pth`)
  const file = (checkpoint: CheckpointName) => new RunFolder(run).checkpoint(checkpoint)
  const options = smallRun(dataset, { run, fold, plans: 'nnUNetPlansLeast', validateAtEnd: false })
  for await (const event of train(options)) {
    if (event.type !== 'checkpoint') continue
    if (event.file === 'checkpoint_best.pth' && event.epoch === 1) copyFileSync(file('best'), keep('best'))
    if (event.file === 'checkpoint_latest.pth' && event.epoch === 2) copyFileSync(file('latest'), keep('latest'))
  }
  copyFileSync(file('final'), keep('final'))
  const files = Object.fromEntries(checkpointNames.map((each) => [each, readFileSync(keep(each))])) as Files
  return { run, files }
}

const copyOf = (bytes: Buffer) => Buffer.from(bytes)
const randomBytes = (length: number) => Buffer.from(Array.from({ length }, () => random.below(256)))

function flip(bytes: Buffer, bits: number): Buffer {
  const damaged = copyOf(bytes)
  // Of distinct places, so that none is flipped back.
  const places = new Set(Array.from({ length: bits }, () => random.below(8 * bytes.length)))
  for (const place of places) damaged[place >> 3] = (damaged[place >> 3] as number) ^ (1 << (place & 7))
  return damaged
}

/** What another file has in the same place, as after a mixed up block of a disk. */
function mixBlock(bytes: Buffer, other: Buffer): Buffer {
  const damaged = copyOf(bytes)
  const from = 4096 * random.below(Math.ceil(bytes.length / 4096))
  other.copy(damaged, from, from, Math.min(from + 4096, bytes.length))
  return damaged
}

/** Ways to damage one file. */
const damages: Record<string, (bytes: Buffer, name: CheckpointName) => Buffer> = {
  'a flipped bit': (bytes) => flip(bytes, 1),
  'flipped bits': (bytes) => flip(bytes, 2 + random.below(30)),
  'cut anywhere': (bytes) => bytes.subarray(0, random.below(bytes.length)),
  'cut near its end': (bytes) => bytes.subarray(0, bytes.length - 1 - random.below(64)),
  'without its beginning': (bytes) => bytes.subarray(1 + random.below(bytes.length - 1)),
  empty: () => Buffer.alloc(0),
  'appended bytes': (bytes) => Buffer.concat([bytes, randomBytes(1 + random.below(1000))]),
  'appended zeros': (bytes) => Buffer.concat([bytes, Buffer.alloc(1 + random.below(4096))]),
  'appended twice': (bytes) => Buffer.concat([bytes, bytes]),
  'a block of zeros': (bytes) => {
    const from = random.below(bytes.length)
    return copyOf(bytes).fill(0, from, Math.min(bytes.length, from + 1 + random.below(4096)))
  },
  'a block of another checkpoint': (bytes, name) => mixBlock(bytes, sound[otherThan(name)]),
  'a block of another run': (bytes, name) => mixBlock(bytes, random.pick(foreign)[name]),
  'only random bytes': (bytes) => randomBytes(Math.min(bytes.length, 5000)),
  'another checkpoint of the run': (_, name) => sound[otherThan(name)],
  'a checkpoint of another run or fold': (_, name) => random.pick(foreign)[name],
}

const otherThan = (name: CheckpointName) => random.pick(checkpointNames.filter((other) => other !== name))

/** Damages files, or exchanges two of them; at least one is no longer what it was. */
function damageFolder(): Files {
  const files = { ...sound }
  if (random.next() < 0.1) {
    const [a, b] = random.pick([
      ['best', 'latest'],
      ['latest', 'final'],
      ['best', 'final'],
    ] as const)
    return { ...files, [a]: sound[b], [b]: sound[a] }
  }
  const wanted = random.pick([1, 1, 1, 2, 2, 3])
  const left = [...checkpointNames]
  while (left.length > checkpointNames.length - wanted) {
    const [name] = left.splice(random.below(left.length), 1) as [CheckpointName]
    const damage = damages[random.pick(Object.keys(damages))] as (typeof damages)[string]
    // A block of zeros may have been one before.
    while (files[name].equals(sound[name])) files[name] = damage(sound[name], name)
  }
  return files
}

test('the sound folder is sound', async () => {
  for (const name of checkpointNames) writeFileSync(folder.checkpoint(name), sound[name])
  const candidates = await readCandidates(folder, id, 4)
  expect(candidates.map((found) => [found.name, 'state' in found && found.state.step])).toEqual([
    ['final', 12],
    ['latest', 8],
    ['best', 4],
  ])
})

test(
  'every damage is found',
  async () => {
    for (let i = 0; i < count(2000); i++) {
      const files = damageFolder()
      for (const name of checkpointNames) writeFileSync(folder.checkpoint(name), files[name])
      const candidates = await readCandidates(folder, id, 4)
      const choice = chooseCheckpoint(candidates, 'newest')
      const isSound = (name: CheckpointName) => files[name].equals(sound[name])
      for (const name of checkpointNames) {
        const found = candidates.find((candidate) => candidate.name === name)
        if (isSound(name)) {
          expect(found).toHaveProperty('state')
          continue
        }
        figures['damaged files']++
        const fault = found && 'fault' in found ? found.fault : ''
        expect(fault).not.toBe('')
        expect(choice.text).toContain(`checkpoint_${name} is passed over (${fault})`)
        figures['damaged files found']++
      }
      figures['damaged folders']++
      const best = checkpointNames.find(isSound) ?? null
      if (best) figures['folders with a whole checkpoint left']++
      expect(choice.name).toBe(best)
      if (best) figures['best one left chosen']++
    }
  },
  suiteTimeout,
)
