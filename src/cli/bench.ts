// voxgrad bench: how fast steps and batches are on this machine, how fast they could be, and two results compared.
import type { Command } from 'commander'
import { type BenchProgress, bench } from '../bench/measure.js'
import { writeBenchmarkResult } from '../bench/nnunet-result.js'
import type { BenchResult } from '../bench/result.js'
import { namedShapes } from '../bench/shapes.js'
import { compareResults, differences, linesOf } from '../bench/table.js'
import type { BenchInput, BenchOptions } from '../config/schema.js'
import { VoxgradError } from '../errors.js'
import { readBytes } from '../files.js'
import type { View } from '../report/view.js'
import { addCommonFlags, type CommonFlags, makeContext } from './context.js'
import { nameOfDevice } from './machine.js'
import { numberOrText } from './options.js'
import { abortOnSignals } from './signals.js'

interface BenchFlags extends CommonFlags {
  configuration?: string
  classes?: string
  batch?: string
  device?: string
  threads?: string
  warmup?: string
  repeat?: string
  withoutData?: boolean
  parts?: boolean
  out?: string
}

const meanings: Record<BenchOptions['kind'], { summary: string; description: string }> = {
  step: {
    summary: 'Time training steps.',
    description:
      'Times training steps on random data: making the batch, forward, loss, backward, optimizer. Says how much of what ' +
      'this device can do they reach, and what bounds them.',
  },
  data: {
    summary: 'Time sampling and augmentation alone.',
    description: 'Times making training batches on random cases: sampling, cropping and augmentation without a step.',
  },
  'end-to-end': {
    summary: 'Time training steps and validation batches.',
    description: 'Times training steps and a fifth as many validation batches, and works out the time of an epoch.',
  },
}

export function addBench(program: Command): void {
  const command = program
    .command('bench')
    .summary('Measure how fast training is on this machine.')
    .description('Measures training on random data. Nothing is read but plans, and nothing is kept.')
    .addHelpText(
      'after',
      `
Examples:
  voxgrad bench step
  voxgrad bench step 128 --device cuda --repeat 50
  voxgrad bench step $nnUNet_preprocessed/Dataset004_Hippocampus/nnUNetPlans.json -c 3d_fullres --without-data
  voxgrad bench data tiny --threads 1 --json > before.json
  voxgrad bench compare before.json after.json`,
    )
  const shapes = Object.entries(namedShapes).map(([name, { meaning }]) => `  ${name.padEnd(12)} ${meaning}`)
  for (const kind of Object.keys(meanings) as BenchOptions['kind'][]) {
    const verb = command
      .command(kind)
      .summary(meanings[kind].summary)
      .description(meanings[kind].description)
      .argument('[plan]', 'A named shape, or a plans file such as nnUNetPlans.json (default: hippocampus).')
      .option('-c, --configuration <name>', 'Configuration of a plans file (default: 3d_fullres).')
      .option(
        '--classes <number>',
        'Labels with the background, where no dataset.json lies beside the plans (default: 3).',
      )
      .option('--batch <number>', 'Patches in a batch (default: that of the plan).')
      .option('--device <device>', 'cpu, cuda or cuda:N (default: cpu).')
      .option('--threads <number>', 'Threads (default: one for each processor).')
      .option('--warmup <number>', 'Steps before those that count (default: 3).')
      .option('--repeat <number>', 'Steps that count (default: 20).')
    if (kind !== 'data') {
      verb
        .option('--without-data', 'All steps on one batch that is there, as nnU-Net measures it without data loading.')
        .option('--parts', 'Also time network, loss, optimizer, norm and pseudo-Dice alone.')
        .option('--out <folder>', "Add nnU-Net's benchmark_result.json to a folder.")
    }
    verb.addHelpText('after', `\nNamed shapes:\n${shapes.join('\n')}`)
    addCommonFlags(verb, []).action(async (plan: string | undefined, flags: BenchFlags) => {
      const { view, json } = makeContext(flags)
      const number = (text: string | undefined) => (text === undefined ? undefined : numberOrText(text))
      const input = {
        kind,
        plan,
        configuration: flags.configuration,
        classes: number(flags.classes),
        batchSize: number(flags.batch),
        device: flags.device,
        threads: number(flags.threads),
        warmup: number(flags.warmup),
        repeat: number(flags.repeat),
        withoutData: flags.withoutData,
        parts: flags.parts,
        output: flags.out,
      } as BenchInput
      const signal = abortOnSignals(view, 'ending after the step in work')
      const result = await bench(input, { signal, onProgress: showProgress(view) })
      view.close()
      json?.write(result)
      for (const line of linesOf(result)) view.message(line)
      if (flags.out !== undefined) {
        view.message(`Entered in ${await writeBenchmarkResult(flags.out, result, await nameOfDevice(result.device))}`)
      }
    })
  }
  addCompare(command)
}

function addCompare(command: Command): void {
  const verb = command
    .command('compare')
    .summary('Compare two results.')
    .description(
      'Compares two results of bench --json: times and counts of both, and the ratio of the second to the first.',
    )
    .argument('<before>', 'File with a line of bench --json; of several lines the last counts.')
    .argument('<after>', 'Another one.')
    .addHelpText('after', '\nExample:\n  voxgrad bench compare before.json after.json')
  addCommonFlags(verb, []).action(async (beforeFile: string, afterFile: string, flags: CommonFlags) => {
    const { view, json } = makeContext(flags)
    const before = await readResult(beforeFile)
    const after = await readResult(afterFile)
    const rows = compareResults(before, after)
    const unlike = differences(before, after)
    json?.write({ type: 'comparison', differences: unlike, figures: rows })
    for (const difference of unlike) view.warning(`the results differ in more than time: ${difference}`)
    const cells = rows.map(({ name, before, after, ratio }) => [name, before, after, ratio] as const)
    const width = Math.max(0, ...cells.map(([name]) => name.length))
    view.message(`${''.padEnd(width)} ${'before'.padStart(14)} ${'after'.padStart(14)}   ratio`)
    for (const [name, a, b, ratio] of cells)
      view.message(
        `${name.padEnd(width)} ${text(a).padStart(14)} ${text(b).padStart(14)} ${ratio.toFixed(3).padStart(7)}`,
      )
  })
}

const text = (value: number): string => (Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(5))))

/** @throws VoxgradError ERR_FORMAT if the file holds no result */
async function readResult(file: string): Promise<BenchResult> {
  const lines = (await readBytes(file, 'result of bench --json', 'ERR_CONFIG')).toString('utf8').trim().split('\n')
  try {
    const result = JSON.parse(lines.at(-1) ?? '') as BenchResult
    if (result.type === 'bench' && typeof result.p50_ms === 'number') return result
  } catch {
    // said below
  }
  throw new VoxgradError('ERR_FORMAT', {
    where: file,
    required: 'a line of `voxgrad bench --json`',
    found: 'something else',
  })
}

function showProgress(view: View): (progress: BenchProgress) => void {
  return ({ job, done, total, secondsLeft }) => {
    view.progress({
      title: job,
      done,
      total,
      unit: job === 'training' || job === 'warm-up' ? 'step' : 'batch',
      secondsLeft,
    })
  }
}
