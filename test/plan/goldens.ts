// Compares the planner with plans of the real nnU-Net that lie in a folder.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { parseDatasetJson } from '../../src/dataset/dataset-json.js'
import { parseJson } from '../../src/json.js'
import { planExperiment } from '../../src/plan/planner.js'
import type { Fingerprint, Plans } from '../../src/plan/plans.js'

/** Folders in `root` that hold a fingerprint and the plans of nnU-Net's ExperimentPlanner. */
export function goldenFolders(root: string): string[] {
  const folders = readdirSync(root).sort()
  return folders.filter((name) => existsSync(path.join(root, name, 'plans.ExperimentPlanner.json')))
}

/** Every number or text that differs, as path and values; floats within 1e-9. */
export function differences(found: unknown, expected: unknown, at = ''): string[] {
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

/** Plans one golden's fingerprint; returns what differs from nnU-Net's plans, and the order of the keys. */
export function compareWithGolden(folder: string): { differences: string[]; plans: Plans; expected: Plans } {
  const read = (name: string) => parseJson(readFileSync(path.join(folder, name), 'utf8'), name)
  const expected = read('plans.ExperimentPlanner.json') as Plans
  const plans = planExperiment(
    read('dataset_fingerprint.json') as Fingerprint,
    parseDatasetJson(read('dataset.json'), folder),
    {
      datasetName: expected.dataset_name,
      planner: 'ExperimentPlanner',
      plansName: expected.plans_name,
      imageReaderWriter: expected.image_reader_writer,
    },
  )
  return { differences: differences(plans, expected), plans, expected }
}
