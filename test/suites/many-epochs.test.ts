// Thousands of epochs do not make a run grow: resident memory, file descriptors and threads stay as they are.
import { spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { train } from '../../src/train/jobs.js'
import { makeSmallDataset, type SmallDataset, smallRun, writeLeastPlans } from '../train/small-dataset.js'
import { count, figuresOf, suiteTimeout } from './counts.js'

const figures = figuresOf('many-epochs', {
  epochs: 0,
  'MB more in 1000 epochs': Number.NaN,
  'file descriptors more': Number.NaN,
  'threads more': Number.NaN,
  'MB resident at the end': Number.NaN,
})
/** Below this many, the noise of single pages hides any slope. */
const leastEpochs = 1000
const mostMegabytes = 1
/** Epochs. */
const window = 20

let dataset: SmallDataset
beforeAll(async () => {
  dataset = await makeSmallDataset()
  await train(smallRun(dataset, { budget: { steps: 1, stepsPerEpoch: 1, valSteps: 1 }, validateAtEnd: false })).finished
  writeLeastPlans(dataset)
}, suiteTimeout)
afterAll(() => rmSync(dataset.root, { recursive: true, force: true }))

interface Measure {
  epoch: number
  kilobytes: number
  descriptors: number
  threads: number
}

/**
 * Trains in a Node of its own that collects garbage before each measurement, with a young generation that is full at once:
 * it would else grow to its fixed limit (3 x 16 MB) at some moment of the run.
 */
async function measureRun(options: object): Promise<Measure[]> {
  const index = new URL('../../dist/index.js', import.meta.url).href
  const script = `
    import { readdirSync, readFileSync } from 'node:fs'
    import { train } from ${JSON.stringify(index)}
    for await (const event of train(${JSON.stringify(options)})) {
      if (event.type !== 'epoch') continue
      gc()
      const number = (name) => Number(new RegExp('^' + name + ':\\\\s*(\\\\d+)', 'm').exec(readFileSync('/proc/self/status', 'utf8'))[1])
      const descriptors = readdirSync('/proc/self/fd').length
      console.log(JSON.stringify({ epoch: event.epoch, kilobytes: number('VmRSS'), descriptors, threads: number('Threads') }))
    }`
  const child = spawn(
    process.execPath,
    ['--expose-gc', '--max-semi-space-size=1', '--input-type=module', '--eval', script],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  const measures: Measure[] = []
  const ended = new Promise((resolve) => child.on('exit', resolve))
  for await (const line of createInterface({ input: child.stdout })) measures.push(JSON.parse(line) as Measure)
  expect(await ended).toBe(0)
  return measures
}

/** Of a straight line by least squares. */
function slope(points: { x: number; y: number }[]): number {
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
  const [x, y] = [mean(points.map((point) => point.x)), mean(points.map((point) => point.y))]
  const covariance = points.reduce((sum, point) => sum + (point.x - x) * (point.y - y), 0)
  return covariance / points.reduce((sum, point) => sum + (point.x - x) ** 2, 0)
}

test(
  'memory, descriptors and threads of a long run',
  async () => {
    const epochs = count(2000)
    const measures = await measureRun(
      smallRun(dataset, {
        run: path.join(dataset.root, 'long'),
        plans: 'nnUNetPlansLeast',
        budget: { epochs, stepsPerEpoch: 1, valSteps: 1 },
        checkpoint: {},
        validateAtEnd: false,
      }),
    )
    expect(measures).toHaveLength(epochs)
    const settled = measures.slice(Math.floor(epochs / 10))
    // A checkpoint that is being written takes memory and has a file open; the least of many moments is without.
    const least = Array.from({ length: Math.floor(settled.length / window) }, (_, i) => {
      const part = settled.slice(i * window, (i + 1) * window)
      return { x: i * window, y: Math.min(...part.map(({ kilobytes }) => kilobytes)) }
    })
    const kilobytesAnEpoch = slope(least)
    const growth = (key: 'descriptors' | 'threads') => {
      const values = settled.map((measure) => measure[key])
      const quarter = Math.ceil(values.length / 4)
      return Math.min(...values.slice(-quarter)) - Math.min(...values.slice(0, quarter))
    }
    figures.epochs = epochs
    figures['MB more in 1000 epochs'] = (kilobytesAnEpoch * 1000) / 1024
    figures['file descriptors more'] = growth('descriptors')
    figures['threads more'] = growth('threads')
    figures['MB resident at the end'] = Math.round((measures.at(-1)?.kilobytes ?? Number.NaN) / 1024)
    expect(figures['file descriptors more']).toBe(0)
    expect(figures['threads more']).toBe(0)
    if (epochs >= leastEpochs) expect(figures['MB more in 1000 epochs']).toBeLessThan(mostMegabytes)
  },
  suiteTimeout,
)
