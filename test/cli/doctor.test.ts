// voxgrad doctor on machines that lack something: an unbuilt package, broken libraries in place of the addon, programs that are
// missing or old, and stand-ins for a GPU's programs.
import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const root = path.resolve(import.meta.dirname, '../..')
const scratch = mkdtempSync(path.join(tmpdir(), 'voxgrad-doctor-'))
const pack = path.join(scratch, 'package')
const addon = path.join(pack, 'build/Release/voxgrad.node')
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

beforeAll(() => {
  mkdirSync(path.dirname(addon), { recursive: true })
  for (const part of ['dist', 'package.json']) cpSync(path.join(root, part), path.join(pack, part), { recursive: true })
  symlinkSync(path.join(root, 'node_modules'), path.join(pack, 'node_modules'))
})

interface Check {
  type: string
  group: string
  name: string
  verdict: 'ok' | 'note' | 'fault'
  found: string
  remedy?: string
}

function doctor(env: NodeJS.ProcessEnv = {}, main = path.join(pack, 'dist/cli/main.js')) {
  const { LIBTORCH: _, ...inherited } = process.env
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'doctor', '--json'], {
    env: { ...inherited, ...env },
    encoding: 'utf8',
  })
  const objects = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Check)
  const named = (name: string) => objects.find((check) => check.name === name)
  return { status, stderr, objects, named }
}

/** A folder of programs that print a text (or exit with 1 where there is none). */
function programs(name: string, texts: Record<string, string | null>): string {
  const folder = path.join(scratch, name)
  mkdirSync(folder)
  for (const [program, text] of Object.entries(texts)) {
    const file = path.join(folder, program)
    writeFileSync(file, text === null ? '#!/bin/sh\nexit 1\n' : `#!/bin/sh\n${text}\n`)
    chmodSync(file, 0o755)
  }
  return folder
}

/** Compiles a shared library in the place of the addon. */
function compileAddon(source: string, ...flags: string[]): void {
  rmSync(addon, { force: true })
  const command = ['-shared', '-fPIC', '-x', 'c++', '-', '-o', addon, ...flags]
  const { status, stderr } = spawnSync(process.env.CXX ?? 'c++', command, { input: source, encoding: 'utf8' })
  expect(stderr).toBe('')
  expect(status).toBe(0)
}

describe('the addon', () => {
  test.each<[string, () => void, RegExp]>([
    ['is not built', () => rmSync(addon, { force: true }), /^not built yet$/],
    [
      'is cut off',
      () => writeFileSync(addon, readFileSync(path.join(root, 'build/Release/voxgrad.node')).subarray(0, 9000)),
      /^loading it crashes the process \(SIGBUS\)$|file too short/,
    ],
    ['is no library', () => writeFileSync(addon, 'nothing'), /invalid ELF header|file too short/],
    [
      'misses its libtorch',
      () => {
        const library = path.join(scratch, 'libtorch_cpu.so')
        spawnSync(process.env.CXX ?? 'c++', ['-shared', '-fPIC', '-x', 'c++', '-', '-o', library], {
          input: 'int torch() { return 1; }',
        })
        compileAddon('int torch(); int use = torch();', '-x', 'none', library)
        rmSync(library)
      },
      /libtorch_cpu\.so, which it was built with, is missing/,
    ],
    [
      'crashes on load',
      () => compileAddon('#include <csignal>\n__attribute__((constructor)) void crash() { raise(SIGSEGV); }'),
      /^loading it crashes the process \(SIGSEGV\)$/,
    ],
    [
      'hangs on load',
      () => compileAddon('#include <unistd.h>\n__attribute__((constructor)) void hang() { for (;;) pause(); }'),
      /^loading it hangs: no answer within 3 s$/,
    ],
    [
      'ends the process on load',
      () => compileAddon('#include <unistd.h>\n__attribute__((constructor)) void leave() { _exit(3); }'),
      /^loading it ends the process: without a word$/,
    ],
  ])('that %s gives one line, a remedy and exit code 2', (_, breakIt, found) => {
    breakIt()
    const { status, named, stderr, objects } = doctor({ VOXGRAD_DOCTOR_SECONDS: '3' })
    const check = named('addon')
    expect(check).toMatchObject({ type: 'check', group: 'Engine', verdict: 'fault' })
    expect(check?.found).toMatch(found)
    expect(check?.found).not.toContain('\n')
    // A package is installed without its sources.
    expect(check?.remedy).toMatch(/^Run `npx voxgrad setup` in .*package, which builds it/)
    expect(objects.at(-1)).toMatchObject({ type: 'doctor', verdict: 'fault' })
    expect(stderr).toMatch(/ {2}NO {2}addon {2}/)
    expect(stderr).not.toMatch(/\n\s+at /)
    expect(status).toBe(2)
  })

  test('that is whole is loaded, and the libtorch in memory is named', () => {
    const { named, status } = doctor({}, path.join(root, 'dist/cli/main.js'))
    expect(named('addon')).toMatchObject({ verdict: 'ok', found: expect.stringMatching(/^loads; built by/) })
    expect(named('libtorch')?.found).toMatch(/^\d+\.\d+\.\d+\S*, (with CUDA|CPU only), \//)
    expect(status).toBe(0)
  })
})

describe('collectives', () => {
  const load = path.join(pack, 'dist/native/load.js')

  test.each([
    ['gloo', 'ok', /^gloo; several processes/, undefined],
    ['none', 'note', /^built without Gloo/, expect.stringMatching(/npx voxgrad setup/)],
  ])('%s', (collectives, verdict, found, remedy) => {
    const whole = readFileSync(load, 'utf8')
    writeFileSync(path.join(path.dirname(load), 'load-whole.js'), whole)
    const versions = { libtorch: '2.15.0', compiler: '12', cpu: 'AVX2', collectives }
    writeFileSync(
      load,
      `export * from './load-whole.js'\nexport const native = () => ({ versions: () => (${JSON.stringify(versions)}) })\n`,
    )
    writeFileSync(addon, '')
    const { named } = doctor()
    writeFileSync(load, whole)
    expect(named('collectives')).toMatchObject({ group: 'Engine', verdict, found: expect.stringMatching(found) })
    expect(named('collectives')?.remedy).toEqual(remedy)
  })
})

describe('programs', () => {
  test('that are missing are faults before the build, each with the command that brings it', () => {
    rmSync(addon, { force: true })
    const empty = programs('empty', {})
    const { named, objects } = doctor({ PATH: empty, CXX: 'c++' })
    for (const name of ['compiler', 'cmake', 'make', 'python', 'pip']) {
      expect(named(name)).toMatchObject({
        verdict: 'fault',
        found: 'not found; builds the engine',
        remedy: expect.stringMatching(/apt-get install/),
      })
    }
    expect(objects.at(-1)).toMatchObject({ faults: 7 })
  })

  test('that are too old are named', () => {
    const old = programs('old', { cmake: 'echo cmake version 3.13.4', python3: 'echo Python 3.8.1' })
    const { named } = doctor({ PATH: `${old}:${process.env.PATH}` })
    expect(named('cmake')?.found).toBe('cmake version 3.13.4 is too old; builds the engine')
    expect(named('python')?.found).toBe('Python 3.8.1 is too old; builds the engine')
  })
})

describe('a GPU', () => {
  const smi = `case "$1" in
  --query*) echo "0, NVIDIA H200, 143771, 143000"; echo "1, NVIDIA H200, 143771, 1024" ;;
  *) echo "| NVIDIA-SMI 570.86   Driver Version: 570.86.15   CUDA Version: 12.8  |" ;;
esac`

  test('is listed with memory, driver and toolkit', () => {
    const gpu = programs('gpu', { 'nvidia-smi': smi, nvcc: 'echo "Cuda compilation tools, release 12.8, V12.8.61"' })
    const { named } = doctor({ PATH: `${gpu}:${process.env.PATH}` })
    expect(named('cuda:0')).toMatchObject({ verdict: 'ok', found: 'NVIDIA H200, 140.4 GiB memory, 139.6 GiB free' })
    expect(named('cuda:1')?.found).toBe('NVIDIA H200, 140.4 GiB memory, 1.0 GiB free')
    expect(named('driver')?.found).toBe('570.86.15, for CUDA up to 12.8')
    expect(named('toolkit')?.found).toBe('CUDA 12.8')
    expect(named('kernels')).toMatchObject({ verdict: 'note', remedy: expect.stringContaining('LIBTORCH') })
  })

  test('whose libtorch has CUDA, but whose kernels are not built, gets the command', () => {
    mkdirSync(path.join(pack, '.deps'))
    mkdirSync(path.join(scratch, 'torch/lib'), { recursive: true })
    writeFileSync(path.join(scratch, 'torch/lib/libtorch_cuda.so'), '')
    writeFileSync(path.join(pack, '.deps/libtorch.txt'), `${path.join(scratch, 'torch')}\n`)
    const gpu = programs('gpu-without-kernels', { 'nvidia-smi': smi, nvcc: null })
    const { named } = doctor({ PATH: `${gpu}:${process.env.PATH}` })
    expect(named('kernels')).toMatchObject({ verdict: 'note', remedy: expect.stringContaining('build:cuda') })
    expect(named('toolkit')).toMatchObject({ verdict: 'note' })
    rmSync(path.join(pack, '.deps'), { recursive: true })
  })

  test('whose driver does not answer is said, with what it said', () => {
    const broken = programs('broken', { 'nvidia-smi': 'echo "NVIDIA-SMI has failed: no driver"; exit 9' })
    const { named } = doctor({ PATH: `${broken}:${process.env.PATH}` })
    expect(named('gpu')).toMatchObject({
      verdict: 'note',
      found: 'there, but its driver does not answer: NVIDIA-SMI has failed: no driver',
      remedy: expect.stringContaining('driver'),
    })
  })
})

describe('limits and the page', () => {
  test('few open files are noted', () => {
    const command = `ulimit -n 256; exec "${process.execPath}" "${path.join(pack, 'dist/cli/main.js')}" doctor --json`
    const { stdout } = spawnSync('sh', ['-c', command], { encoding: 'utf8' })
    expect(stdout).toContain('"name":"open files","verdict":"note","found":"256"')
  })

  test('no line is wider than 80 columns where words can be broken', () => {
    const { stderr } = doctor()
    const wide = stderr.split('\n').filter((line) => line.length > 80 && line.trim().includes(' ', 20))
    expect(wide.filter((line) => !/\S{50}/.test(line))).toEqual([])
  })
})
