// Plans of nnU-Net's planners for given fingerprints: DIR/NAME/{dataset.json, dataset_fingerprint.json, plans.PLANNER.json}.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { parseDatasetJson } from '../../../src/dataset/dataset-json.js'
import { parseJson } from '../../../src/json.js'
import { planExperiment } from '../../../src/plan/planner.js'
import type { Fingerprint, Plans } from '../../../src/plan/plans.js'
import { planners } from '../../../src/plan/presets.js'
import type { Comparison } from '../item.js'

export const compare: Comparison = function* (root) {
  for (const { folder, planner } of goldensIn(root)) {
    const name = `${path.basename(folder)} ${planner}`
    if (!isPlanner(planner)) {
      yield { name, differences: [], skipped: `voxgrad has no planner ${planner}` }
      continue
    }
    const { differences, plans } = compareWithGolden(folder, planner)
    yield { name, differences, note: Object.keys(plans.configurations).join(' ') }
  }
}

type PlannerName = keyof typeof planners
const isPlanner = (name: string): name is PlannerName => Object.hasOwn(planners, name)

/** Every plans file in the folders of `root`. */
export function goldensIn(root: string): { folder: string; planner: string }[] {
  const folders = readdirSync(root)
    .sort()
    .map((name) => path.join(root, name))
    .filter((folder) => existsSync(path.join(folder, 'dataset_fingerprint.json')))
  return folders.flatMap((folder) =>
    readdirSync(folder)
      .sort()
      .flatMap((file) => {
        const planner = /^plans\.(\w+)\.json$/.exec(file)?.[1]
        return planner === undefined ? [] : [{ folder, planner }]
      }),
  )
}

/** Plans one golden's fingerprint; returns what differs from nnU-Net's plans. */
export function compareWithGolden(folder: string, planner: PlannerName) {
  const read = (name: string) => parseJson(readFileSync(path.join(folder, name), 'utf8'), name)
  const expected = read(`plans.${planner}.json`) as Plans
  const plans = planExperiment(
    read('dataset_fingerprint.json') as Fingerprint,
    parseDatasetJson(read('dataset.json'), folder),
    {
      datasetName: expected.dataset_name,
      planner,
      plansName: expected.plans_name,
      imageReaderWriter: expected.image_reader_writer,
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
