// The best configuration of random cross-validations, as nnU-Net's find_best_configuration finds it: the same decisions,
// numbers and voxels. VOXGRAD_PEER_PYTHON names a Python that has nnunetv2.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readSegmentation } from '../../src/dataset/image.js'
import { parseJson } from '../../src/json.js'
import { applyPostprocessing } from '../../src/select/apply.js'
import { bestConfiguration } from '../../src/select/best-configuration.js'

const python = process.env.VOXGRAD_PEER_PYTHON ?? ''
const there = existsSync(python)
if (!there) console.log('cross-validation parity skipped: VOXGRAD_PEER_PYTHON names no Python with nnunetv2')
const count = 24
const dataset = 'Dataset555_Random'

type Information = {
  all_results: Record<string, number>
  best_model_or_ensemble: Record<string, unknown>
} & Record<string, unknown>

describe.skipIf(!there)('cross-validation', () => {
  const root = mkdtempSync(path.join(tmpdir(), 'voxgrad-select-'))
  const run = (...args: string[]) => {
    const script = fileURLToPath(new URL('cross-validation.py', import.meta.url))
    const { status, stderr } = spawnSync(python, [script, ...args], { encoding: 'utf8', maxBuffer: 2 ** 26 })
    expect(status, stderr).toBe(0)
  }
  beforeAll(() => run(root, String(count)), 900_000)
  afterAll(() => rmSync(root, { recursive: true, force: true }))

  test(`of ${count} random ones gives nnU-Net's decisions, numbers and voxels`, { timeout: 900_000 }, async () => {
    const decisions = { ensembles: 0, withoutSteps: 0, foreground: 0, perLabel: 0, cascades: 0, voxels: 0 }
    for (const name of readdirSync(root)) {
      const at = (...parts: string[]) => path.join(root, name, ...parts)
      const [ours, theirs] = [at('results', dataset), at('expected', dataset)]
      const folders = { raw: at('raw'), preprocessed: at('preprocessed'), results: at('results') }
      const { best, postprocessing, instructions } = await bestConfiguration({ dataset, folders })

      const both = (file: string) => [ours, theirs].map((folder) => read(path.join(folder, file)))
      const [found, expected] = both('inference_information.json').map((text) =>
        comparable(parseJson(text, name) as Information),
      )
      expect(found, name).toEqual(expected)
      const relative = path.relative(ours, best.folder)
      const [mine, reference] = both(path.join(relative, 'postprocessing.json'))
      expect(mine, name).toBe(reference)

      const folder = path.join(relative, 'postprocessed')
      const files = readdirSync(path.join(theirs, folder)).filter((file) => file.endsWith('.nii.gz'))
      expect(files).toHaveLength(10)
      for (const file of files)
        decisions.voxels += await expectSame(file, path.join(ours, folder), path.join(theirs, folder))

      decisions.ensembles += Number(best.models.length > 1)
      const cascades = best.models.filter(({ previousStage }) => previousStage !== undefined).length
      decisions.cascades += cascades
      // nnU-Net's own instructions leave the earlier stage out.
      expect(instructions.match(/--run \S+3d_lowres --folds/g) ?? [], name).toHaveLength(
        cascades + best.models.filter(({ configuration }) => configuration === '3d_lowres').length,
      )
      decisions.withoutSteps += Number(postprocessing.length === 0)
      decisions.foreground += postprocessing.filter(({ form }) => form === 'list').length
      decisions.perLabel += postprocessing.filter(({ form }) => form !== 'list').length
    }
    console.log(`${count} cross-validations equal`, decisions)
    // Every kind of decision has to be among them.
    for (const [kind, number] of Object.entries(decisions)) expect(number, kind).toBeGreaterThan(0)
  })

  test('postprocessing.pkl of voxgrad does in nnU-Net what postprocessing.json does here', {
    timeout: 600_000,
  }, async () => {
    const applied = new Set<string>()
    for (const name of readdirSync(root)) {
      const at = (...parts: string[]) => path.join(root, name, ...parts)
      const { best_model_or_ensemble: best } = parseJson(
        read(at('results', dataset, 'inference_information.json')),
        name,
      ) as {
        best_model_or_ensemble: { postprocessing_file: string; some_plans_file: string }
      }
      const pickle = best.postprocessing_file
      const [input, output, reference] = [path.dirname(pickle), at('here'), at('there')] as [string, string, string]
      const { steps } = await applyPostprocessing({ input, output, steps: pickle })
      const kinds = steps.map(({ form, labels }) => `${form}${labels.length}`).join()
      if (applied.has(kinds) || applied.size === 5) continue
      applied.add(kinds)
      run('--apply', pickle, input, reference, best.some_plans_file, path.join(input, 'dataset.json'))
      const files = readdirSync(reference).filter((file) => file.endsWith('.nii.gz'))
      expect(files).toHaveLength(10)
      for (const file of files) await expectSame(file, output, reference)
    }
    expect(applied.size).toBeGreaterThan(2)
  })
})

const read = (file: string) => readFileSync(file, 'utf8')

/** Without paths, and with the order of keys left out. */
function comparable({ best_model_or_ensemble: best, ...rest }: Information): unknown {
  const { postprocessing_file: pickle, some_plans_file: plans, ...chosen } = best as Record<string, string>
  const names = [pickle, plans].map((file) => (file as string).split(path.sep).slice(-3).join('/'))
  return { ...rest, best_model_or_ensemble: { ...chosen, names } }
}

async function expectSame(file: string, ours: string, theirs: string): Promise<number> {
  const [mine, reference] = await Promise.all([ours, theirs].map((folder) => readSegmentation(path.join(folder, file))))
  expect(mine, path.join(ours, file)).toEqual(reference)
  return mine?.labels.length ?? 0
}
