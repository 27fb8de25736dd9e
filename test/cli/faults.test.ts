// Damaged, missing, empty, read-only and full: each is one clear error with the right exit code, and earlier files stay.
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { mountDisk, temporaryFolder } from '../io/support.js'
import { makeSmallDataset, type SmallDataset } from '../train/small-dataset.js'

const program = new URL('../../dist/cli/main.js', import.meta.url).pathname
const budget = ['--epochs', '1', '--steps-per-epoch', '2', '--val-steps', '1', '--threads', '1']
const train = ['train', '9', '3d_fullres', '0', '--plans', 'nnUNetPlansTiny', ...budget]
const scratch = temporaryFolder()
let sound: SmallDataset
let run: string

function voxgrad(args: string[], folders: SmallDataset['folders']) {
  const env = {
    ...process.env,
    nnUNet_raw: folders.raw,
    nnUNet_preprocessed: folders.preprocessed,
    nnUNet_results: folders.results,
  }
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], { env, encoding: 'utf8' })
  return { status, stdout, stderr }
}

/** A copy of the sound, preprocessed and trained folders, to be damaged. */
function copy(): SmallDataset['folders'] & { root: string } {
  const root = mkdtempSync(path.join(scratch, 'copy-'))
  for (const part of ['raw', 'preprocessed', 'results']) {
    cpSync(path.join(sound.root, part), path.join(root, part), { recursive: true })
  }
  return { root, ...folders(root) }
}

const folders = (root: string) => ({
  raw: path.join(root, 'raw'),
  preprocessed: path.join(root, 'preprocessed'),
  results: path.join(root, 'results'),
})

/** One error: the exit code, what is named, and no stack trace. */
function expectFault(result: ReturnType<typeof voxgrad>, code: number, named: RegExp): void {
  expect(result.stderr).toMatch(named)
  expect(result.stderr).not.toMatch(/\n\s+at |\.cpp|\.ts:/)
  expect(result.status).toBe(code)
}

beforeAll(async () => {
  sound = await makeSmallDataset()
  const result = voxgrad(train, sound.folders)
  expect(result.stderr + result.stdout).toContain('validation')
  expect(result.status).toBe(0)
  run = path.join('Dataset009_Boxes', 'voxgrad__nnUNetPlansTiny__3d_fullres', 'fold_0')
}, 300_000)

describe('a raw dataset', () => {
  it.each([
    ['truncated image', 'imagesTr/box_1_0000.nii.gz', (file: string) => truncateSync(file, 300)],
    ['empty label', 'labelsTr/box_2.nii.gz', (file: string) => writeFileSync(file, '')],
    ['missing label', 'labelsTr/box_3.nii.gz', (file: string) => rmSync(file)],
    ['corrupt image', 'imagesTr/box_4_0000.nii.gz', (file: string) => writeFileSync(file, 'no volume at all')],
    ['damaged dataset.json', 'dataset.json', (file: string) => truncateSync(file, 20)],
  ])('%s', (_, name, damage) => {
    const broken = copy()
    rmSync(broken.preprocessed, { recursive: true })
    mkdirSync(broken.preprocessed)
    damage(path.join(broken.raw, 'Dataset009_Boxes', name))
    const result = voxgrad(['plan', '9'], broken)
    expectFault(result, 2, new RegExp(path.basename(name).replace('_0000.nii.gz', '').replace('.nii.gz', '')))
    expect(
      readdirSync(broken.preprocessed, { recursive: true }).filter((file) => String(file).endsWith('.json')),
    ).toEqual([])
  })
})

describe('a preprocessed folder', () => {
  it.each([
    ['truncated image', 'box_0.b2nd', (file: string) => truncateSync(file, 200)],
    ['empty segmentation', 'box_0_seg.b2nd', (file: string) => writeFileSync(file, '')],
    [
      'corrupt properties',
      'box_0.pkl',
      (file: string) => writeFileSync(file, Buffer.from([0x80, 2, 0x63, 0x6f, 0x73])),
    ],
    ['missing properties', 'box_0.pkl', (file: string) => rmSync(file)],
  ])('%s', (_, name, damage) => {
    const broken = copy()
    damage(path.join(broken.preprocessed, 'Dataset009_Boxes', 'nnUNetPlans_3d_fullres', name))
    const other = path.join(broken.root, 'other_run')
    expectFault(voxgrad([...train, '--run', other], broken), 2, /box_0/)
  })
})

describe('a run', () => {
  it.each([
    ['truncated', (file: string) => truncateSync(file, 5000)],
    ['empty', (file: string) => writeFileSync(file, '')],
    ['foreign', (file: string) => writeFileSync(file, 'PK\x03\x04 nothing of ours')],
    ['missing', (file: string) => rmSync(file)],
  ])('whose final checkpoint is %s is not validated', (_, damage) => {
    const broken = copy()
    const folder = path.join(broken.results, run)
    damage(path.join(folder, 'checkpoint_final.pth'))
    const before = readFileSync(path.join(folder, 'validation', 'summary.json'), 'utf8')
    expectFault(voxgrad(['validate', folder], broken), 2, /checkpoint_final\.pth/)
    expect(readFileSync(path.join(folder, 'validation', 'summary.json'), 'utf8')).toBe(before)
  })
})

describe('a disk', () => {
  it('that is full ends a run with exit code 74 and leaves what was there', (context) => {
    const broken = copy()
    const mounted = mountDisk(broken.root, 'size=640k')
    if ('reason' in mounted) return context.skip(mounted.reason)
    const earlier = path.join(mounted.disk, 'earlier.txt')
    writeFileSync(earlier, 'kept')
    const folder = path.join(mounted.disk, 'run')
    const result = voxgrad([...train, '--run', folder], broken)
    expectFault(result, 74, /space/i)
    expect(readFileSync(earlier, 'utf8')).toBe('kept')
    const left = existsSync(folder) ? readdirSync(folder, { recursive: true }).map(String) : []
    expect(left.filter((name) => /\.pth/.test(name) && !/^checkpoint_\w+\.pth$/.test(name))).toEqual([])
  })

  it('that is read-only is refused before the first step with exit code 74', (context) => {
    const broken = copy()
    const mounted = mountDisk(broken.root, 'ro,size=64k')
    if ('reason' in mounted) return context.skip(mounted.reason)
    expectFault(voxgrad([...train, '--run', path.join(mounted.disk, 'run')], broken), 74, /read-only/i)
  })
})
