// What best-configuration and ensemble say where folds, validations or probabilities are missing, and what a
// postprocessing.json may hold.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { bestConfiguration } from '../../src/select/best-configuration.js'
import { ensemble } from '../../src/select/ensemble.js'
import { instructionsFor } from '../../src/select/instructions.js'
import { readPostprocessing } from '../../src/select/postprocessing.js'

let root: string
beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'voxgrad-select-'))
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const name = 'Dataset555_Random'
const plans = readFileSync(
  fileURLToPath(new URL('../goldens/plans/cube/plans.ExperimentPlanner.json', import.meta.url)),
  'utf8',
)
const datasetJson = JSON.stringify({
  channel_names: { '0': 'CT' },
  labels: { background: 0, a: 1 },
  numTraining: 5,
  file_ending: '.nii.gz',
})
function write(...parts: [...string[], string]): string {
  const content = parts.pop() as string
  const file = path.join(root, ...parts)
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, content)
  return file
}

describe('best-configuration', () => {
  test('lists all that is missing with the command that makes it, and writes nothing', async () => {
    write('preprocessed', name, 'nnUNetPlans.json', plans)
    const fold = (configuration: string, index: number) =>
      ['results', name, `voxgrad__nnUNetPlans__${configuration}`, `fold_${index}`] as const
    write(...fold('2d', 0), 'validation', 'summary.json', '{}')
    write(...fold('2d', 0), 'validation', 'a.npz', '')
    write(...fold('2d', 1), 'checkpoint_final.pth', '')
    write(...fold('3d_fullres', 0), 'validation', 'summary.json', '{}')
    const folders = { raw: root, preprocessed: path.join(root, 'preprocessed'), results: path.join(root, 'results') }
    const compared = { dataset: 555, folders, configurations: ['2d', '3d_fullres'], folds: [0, 1] }
    const error = await bestConfiguration(compared).catch((reason: unknown) => reason as Error & { code: string })
    expect(error).toMatchObject({ code: 'ERR_RUN' })
    const lines = (error as Error).message.split('\n').map((line) => line.replaceAll(root, ''))
    expect(lines[0]).toMatch(/^3 of 4 folds lack/)
    const model = `/results/${name}/voxgrad__nnUNetPlans__`
    expect(lines.slice(1, 4)).toEqual([
      `  ${model}2d/fold_1 is not validated: voxgrad validate ${model}2d/fold_1 --save-probabilities`,
      `  ${model}3d_fullres/fold_0 has no probabilities: voxgrad validate ${model}3d_fullres/fold_0 --save-probabilities`,
      `  ${model}3d_fullres/fold_1 is not trained to its end: voxgrad train ${name} 3d_fullres 1 --plans nnUNetPlans --save-probabilities`,
    ])
    expect(readdirSync(path.join(root, 'results', name))).toHaveLength(2)
    const alone = bestConfiguration({ ...compared, ensembles: false })
    await expect(alone).rejects.toThrow(/^2 of 4 folds/)
  })
})

test('the commands for a cascade predict its previous stage first', () => {
  const common = { trainer: 'voxgrad', plans: 'P' }
  const low = { ...common, configuration: '3d_lowres', folder: '/r/voxgrad__P__3d_lowres', previousStage: undefined }
  const cascade = { ...low, folder: '/r/voxgrad__P__3d_cascade_fullres', previousStage: '3d_lowres' }
  const commands = instructionsFor([cascade], [0, 1], '/p.json').split('\n')
  expect(commands.filter((line) => line.startsWith('voxgrad'))).toEqual([
    'voxgrad predict -i INPUT_FOLDER -o OUTPUT_FOLDER_PREVIOUS_STAGE --run /r/voxgrad__P__3d_lowres --folds 0,1',
    'voxgrad predict -i INPUT_FOLDER -o OUTPUT_FOLDER --run /r/voxgrad__P__3d_cascade_fullres --folds 0,1 --previous-stage OUTPUT_FOLDER_PREVIOUS_STAGE',
    'voxgrad postprocess -i OUTPUT_FOLDER -o OUTPUT_FOLDER_PP --steps /p.json',
  ])
  const both = instructionsFor([low, cascade], [0], '/p.json')
  expect(both).toContain('voxgrad ensemble -i OUTPUT_FOLDER_MODEL_1 OUTPUT_FOLDER_MODEL_2 -o OUTPUT_FOLDER\n')
  expect(both.match(/--save-probabilities/g)).toHaveLength(2)
})

describe('ensemble', () => {
  test('names every folder and case that lacks probabilities', async () => {
    const folders = ['one', 'two', 'three'].map((folder) => path.join(root, folder))
    for (const folder of ['one', 'two', 'three']) {
      write(folder, 'dataset.json', datasetJson)
      write(folder, 'plans.json', plans)
    }
    for (const file of ['one/a.npz', 'one/b.npz', 'two/b.npz']) write(file, '')
    const refused = ensemble({ inputs: folders, output: path.join(root, 'out') })
    await expect(refused).rejects.toThrow(/two lacks the probabilities \(\.npz\) of a\n.*three holds no probabilities/)
    expect(readdirSync(root)).not.toContain('out')
  })
})

describe('postprocessing.json', () => {
  const of = (...labels: unknown[]) =>
    JSON.stringify({
      postprocessing_fns: labels.map(() => 'remove_all_but_largest_component_from_segmentation'),
      postprocessing_kwargs: labels.map((value) => ({ labels_or_regions: value })),
    })

  test('is read for a pickle as well', async () => {
    write('postprocessing.json', of([1, 2], 2, [[1, 3]]))
    expect(await readPostprocessing(path.join(root, 'postprocessing.pkl'))).toEqual([
      { form: 'list', labels: [1, 2] },
      { form: 'label', labels: [2] },
      { form: 'list', labels: [1, 3] },
    ])
  })

  test('with another function is refused', async () => {
    const file = write('postprocessing.json', of(1).replace('remove_all_but', 'os.system'))
    await expect(readPostprocessing(file)).rejects.toMatchObject({ code: 'ERR_CONFIG' })
  })
})
