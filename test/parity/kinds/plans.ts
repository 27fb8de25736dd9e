// Plans of nnU-Net's planners for given fingerprints: DIR/NAME/{dataset.json, dataset_fingerprint.json, plans.PLANNER.json},
// and plans.PLANNER.MEMORYgb.json for a GPU memory target other than the planner's own.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { parseDatasetJson } from '../../../src/dataset/dataset-json.js'
import { parseJson } from '../../../src/json.js'
import { planExperiment } from '../../../src/plan/planner.js'
import type { Fingerprint, Plans } from '../../../src/plan/plans.js'
import type { PlannerName } from '../../../src/plan/presets.js'
import type { Comparison } from '../item.js'

/** One plans file of nnU-Net. */
export interface PlansGolden {
  name: string
  folder: string
  file: string
  planner: PlannerName
  gpuMemoryGb: number | undefined
}

export const compare: Comparison = function* (root) {
  for (const golden of goldensIn(root)) {
    const { differences, plans } = compareWithGolden(golden)
    yield { name: golden.name, differences, note: Object.keys(plans.configurations).join(' ') }
  }
}

/** Every plans file in the folders of `root`. */
export function goldensIn(root: string): PlansGolden[] {
  return readdirSync(root)
    .sort()
    .filter((name) => existsSync(path.join(root, name, 'dataset_fingerprint.json')))
    .flatMap((name) => {
      const folder = path.join(root, name)
      return readdirSync(folder)
        .sort()
        .flatMap((file) => {
          const [, planner, memory] = /^plans\.(\w+)(?:\.([\d.]+)gb)?\.json$/.exec(file) ?? []
          if (planner === undefined) return []
          const gpuMemoryGb = memory === undefined ? undefined : Number(memory)
          const title = `${name} ${planner}${memory === undefined ? '' : ` for ${memory} GB`}`
          return [{ name: title, folder, file, planner: planner as PlannerName, gpuMemoryGb }]
        })
    })
}

/** Plans one golden's fingerprint; returns what differs from nnU-Net's plans. */
export function compareWithGolden({ folder, file, planner, gpuMemoryGb }: PlansGolden) {
  const read = (name: string) => parseJson(readFileSync(path.join(folder, name), 'utf8'), name)
  const expected = read(file) as Plans
  const plans = planExperiment(
    read('dataset_fingerprint.json') as Fingerprint,
    parseDatasetJson(read('dataset.json'), folder),
    {
      datasetName: expected.dataset_name,
      planner,
      plansName: expected.plans_name,
      imageReaderWriter: expected.image_reader_writer,
      gpuMemoryGb,
    },
  )
  return { differences: differences(plans, expected), plans, expected }
}

/** Every number or text that differs, as path and values; floats within 1e-9. */
function differences(found: unknown, expected: unknown, at = ''): string[] {
  if (typeof found === 'number' && typeof expected === 'number') {
    const same = Object.is(found, expected) || Math.abs(found - expected) <= 1e-9 * Math.abs(expected)
    return same ? [] : [`${at}: ${found}, expected ${expected}`]
  }
  if (typeof found !== 'object' || typeof expected !== 'object' || found === null || expected === null) {
    return found === expected ? [] : [`${at}: ${found}, expected ${expected}`]
  }
  const keys = new Set([...Object.keys(found), ...Object.keys(expected)])
  const entry = (object: object, key: string) => (object as Record<string, unknown>)[key]
  return [...keys].flatMap((key) => differences(entry(found, key), entry(expected, key), `${at}/${key}`))
}
