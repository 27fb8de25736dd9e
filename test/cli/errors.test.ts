// Every code that a user of the command line can meet, provoked for real: exit code, code, what was found, what is required,
// the remedy and the page, for people and as JSON, without a stack trace.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ErrorCode, errorCatalogue, errorCodes, pageOf } from '../../src/error-catalogue.js'
import { lockRun } from '../../src/train/lock.js'
import { writeVolume } from '../dataset/raw-dataset.js'
import { mountDisk } from '../io/support.js'
import { makeSmallDataset, type SmallDataset, writeLeastPlans } from '../train/small-dataset.js'

const root = path.resolve(import.meta.dirname, '../..')
const budget = [
  '--epochs',
  '1',
  '--steps-per-epoch',
  '2',
  '--val-steps',
  '1',
  '--threads',
  '1',
  '--set',
  'validateAtEnd=false',
]
const train = ['train', '9', '3d_fullres', '0', '--plans', 'nnUNetPlansLeast', ...budget]
const scratch = mkdtempSync(path.join(tmpdir(), 'voxgrad-errors-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

interface Place {
  /** Holds raw, preprocessed and results, which may be damaged. */
  folder: string
  /** A finished run. */
  run: string
}

interface Provocation {
  args: (place: Place) => string[]
  prepare?: (place: Place) => unknown
  env?: (place: Place) => NodeJS.ProcessEnv
  program?: (place: Place) => string
  /** What the error must name. */
  named: RegExp
}

const raw = ({ folder }: Place, file: string) => path.join(folder, 'raw/Dataset009_Boxes', file)
const preprocessed = ({ folder }: Place, file: string) => path.join(folder, 'preprocessed/Dataset009_Boxes', file)

/** `plan` reads raw data only where there is no fingerprint. */
const planAnew = (damage: (place: Place) => unknown) => (place: Place) => {
  rmSync(path.join(place.folder, 'preprocessed'), { recursive: true })
  mkdirSync(path.join(place.folder, 'preprocessed'))
  return damage(place)
}

/** Ends the engine's process, which alone has a channel to its parent, by a signal. */
const killedBy = (signal: string) => (place: Place) => {
  const file = path.join(place.folder, 'kill.cjs')
  writeFileSync(file, `if (process.send) setTimeout(() => process.kill(process.pid, '${signal}'), 20)\n`)
  return { NODE_OPTIONS: `--require ${file}` }
}

/** The package as it is before anything is built. */
function unbuiltPackage({ folder }: Place): string {
  const copy = path.join(folder, 'package')
  mkdirSync(copy)
  for (const part of ['dist', 'package.json', 'scripts'])
    cpSync(path.join(root, part), path.join(copy, part), { recursive: true })
  symlinkSync(path.join(root, 'node_modules'), path.join(copy, 'node_modules'))
  return path.join(copy, 'dist/cli/main.js')
}

let disk: string | undefined

const provocations: Partial<Record<ErrorCode, Provocation>> = {
  ERR_CONFIG: { args: () => [...train, '--set', 'optimizer.initialLr=abc'], named: /optimizer\.initialLr/ },
  ERR_FOLDER_NOT_SET: { args: () => ['plan', '9'], env: () => ({ nnUNet_preprocessed: '' }), named: /preprocessed/ },
  ERR_DATASET_NOT_FOUND: { args: () => ['plan', '77'], named: /77.*Dataset009_Boxes/ },
  ERR_DATASET: {
    args: () => ['plan', '9'],
    prepare: planAnew((place) => rmSync(raw(place, 'labelsTr/box_1.nii.gz'))),
    named: /box_1\.nii\.gz/,
  },
  ERR_IMAGE: {
    args: () => ['plan', '9'],
    prepare: planAnew((place) => truncateSync(raw(place, 'imagesTr/box_1_0000.nii.gz'), 300)),
    named: /box_1_0000\.nii\.gz/,
  },
  ERR_LABEL: {
    args: () => ['plan', '9'],
    prepare: planAnew((place) =>
      writeVolume(raw(place, 'labelsTr/box_1.nii.gz'), { shape: [20, 24, 20], values: () => 9 }, 'label'),
    ),
    named: /box_1.*expected label values 0, 1, 2, found 9/,
  },
  ERR_PLANS: { args: () => [...train, '--plans', 'nnUNetPlansMine'], named: /nnUNetPlansMine/ },
  ERR_PREPROCESSED: {
    args: (place) => [...train, '--run', path.join(place.folder, 'new')],
    prepare: (place) =>
      writeFileSync(preprocessed(place, 'splits_final.json'), '[{"train": ["box_0", "gone"], "val": ["box_1"]}]'),
    named: /gone/,
  },
  ERR_FORMAT: {
    args: (place) => [...train, '--run', path.join(place.folder, 'new')],
    prepare: (place) => truncateSync(preprocessed(place, 'nnUNetPlans_3d_fullres/box_0.b2nd'), 200),
    named: /box_0\.b2nd/,
  },
  ERR_CHECKPOINT: {
    args: ({ run }) => ['validate', run],
    prepare: ({ run }) => truncateSync(path.join(run, 'checkpoint_final.pth'), 3000),
    named: /checkpoint_final\.pth/,
  },
  ERR_CHECKPOINT_MISFIT: {
    args: (place) => [
      ...train,
      '--run',
      path.join(place.folder, 'new'),
      '--pretrained',
      `${place.run}/checkpoint_final.pth`,
    ],
    prepare: (place) => {
      const file = preprocessed(place, 'nnUNetPlansLeast.json')
      writeFileSync(
        file,
        readFileSync(file, 'utf8').replaceAll('"features_per_stage":[2,4]', '"features_per_stage":[3,4]'),
      )
    },
    named: /encoder\.stages\.0/,
  },
  ERR_RUN: { args: ({ folder }) => ['resume', folder], named: /run\.json/ },
  ERR_RUN_EXISTS: { args: () => train, named: /already holds a run/ },
  ERR_RUN_IN_USE: {
    args: ({ run }) => ['resume', run, '--epochs', '2'],
    prepare: ({ run }) => lockRun(run),
    named: new RegExp(`process ${process.pid}`),
  },
  ERR_DEVICE: {
    args: () => [...train, '--continue', '--device', 'cuda:99'],
    prepare: ({ run }) => rmSync(run, { recursive: true }),
    named: /cuda/i,
  },
  ERR_HOST_MEMORY: { args: ({ run }) => ['validate', run], env: killedBy('SIGKILL'), named: /SIGKILL/ },
  ERR_INTERNAL: { args: ({ run }) => ['validate', run], env: killedBy('SIGSEGV'), named: /SIGSEGV/ },
  ERR_NON_FINITE: {
    args: ({ folder }) => [
      ...[...train, '--run', path.join(folder, 'new'), '--steps-per-epoch', '20', '--set', 'optimizer.initialLr=1e30'],
      ...['--set', 'nonFinite.mostInARow=2', '--set', 'nonFinite.mostReloads=0'],
    ],
    named: /not finite/,
  },
  ERR_NATIVE_LOAD: {
    args: () => ['plan', '9'],
    program: unbuiltPackage,
    prepare: planAnew(() => {}),
    named: /voxgrad\.node/,
  },
  ERR_DISK: {
    args: ({ folder }) => [...train, '--run', path.join(folder, 'file/run')],
    prepare: ({ folder }) => writeFileSync(path.join(folder, 'file'), ''),
    named: /file\/run/,
  },
  ERR_DISK_FULL: { args: () => [...train, '--run', path.join(disk ?? '', 'run')], named: /space/i },
}

/** What no command line can bring about here, and where it is tested instead. */
const elsewhere: Partial<Record<ErrorCode, string>> = {
  ERR_OUT_OF_MEMORY: 'needs a GPU',
  ERR_BUSY: 'test/engine/trainer.test.ts',
  ERR_DISPOSED: 'test/engine/trainer.test.ts',
  ERR_RANK: 'test/ranks/engine.test.ts',
  ERR_STOPPED: 'test/engine/trainer.test.ts',
}

let sound: SmallDataset

function foldersOf(folder: string): NodeJS.ProcessEnv {
  const entries = ['raw', 'preprocessed', 'results'].map((name) => [`nnUNet_${name}`, path.join(folder, name)])
  return Object.fromEntries(entries) as NodeJS.ProcessEnv
}

function run(args: string[], env: NodeJS.ProcessEnv, program = path.join(root, 'dist/cli/main.js')) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
    env: { ...process.env, ...env },
    encoding: 'utf8',
  })
  return { status, stdout, stderr }
}

beforeAll(async () => {
  sound = await makeSmallDataset()
  const env = foldersOf(sound.root)
  for (const args of [
    ['plan', '9', '--preset', 'tiny'],
    ['preprocess', '9', '--plans', 'nnUNetPlansTiny', '-c', '3d_fullres'],
  ]) {
    expect(run(args, env)).toMatchObject({ status: 0 })
  }
  writeLeastPlans(sound)
  expect(run(train, env)).toMatchObject({ status: 0 })
}, 300_000)
afterAll(() => rmSync(sound.root, { recursive: true, force: true }))

test('every code is provoked here, or said where else', () => {
  expect([...Object.keys(provocations), ...Object.keys(elsewhere)].sort()).toEqual([...errorCodes].sort())
  for (const [code, place] of Object.entries(elsewhere).filter(([, one]) => one.endsWith('.ts')))
    expect(readFileSync(path.join(root, place), 'utf8')).toContain(code)
})

describe.each(Object.entries(provocations))('%s', (name, { args, prepare, env, program, named }) => {
  const code = name as ErrorCode

  test('says what was found, what is required, and what to do', async (context) => {
    const folder = mkdtempSync(path.join(scratch, 'case-'))
    for (const part of ['raw', 'preprocessed', 'results']) {
      cpSync(path.join(sound.root, part), path.join(folder, part), { recursive: true })
    }
    if (code === 'ERR_DISK_FULL') {
      const mounted = mountDisk(folder, 'size=64k')
      if ('reason' in mounted) return context.skip(mounted.reason)
      disk = mounted.disk
    }
    const place = {
      folder,
      run: path.join(folder, 'results/Dataset009_Boxes/voxgrad__nnUNetPlansLeast__3d_fullres/fold_0'),
    }
    await prepare?.(place)
    const changes = env?.(place) ?? {}
    const { status, stdout, stderr } = run(
      [...args(place), '--json'],
      { ...foldersOf(folder), ...changes },
      program?.(place),
    )

    const objects = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, string>)
    const error = objects.at(-1) ?? {}
    expect(error).toMatchObject({ type: 'error', code, page: pageOf(code) })
    expect(error.message).toMatch(named)
    for (const field of ['found', 'required', 'remedy']) expect(error[field]).toMatch(/\w/)
    expect(objects.filter(({ type }) => type === 'error')).toHaveLength(1)

    const shown = stderr.slice(stderr.search(/^error: /m))
    for (const text of [error.found, error.required, error.remedy]) {
      for (const line of (text ?? '').split('\n')) expect(shown).toContain(line.trim())
    }
    expect(shown).toContain(`  More:     voxgrad explain ${code}\n`)
    expect(stderr).not.toMatch(/\n\s+at |\.cpp|\.ts:|node:internal/)
    expect(status).toBe(errorCatalogue[code].exitCode)
  }, 120_000)
})
