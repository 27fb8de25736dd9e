// What a machine has of what voxgrad needs: tools, libtorch, addon, devices, memory, folders.
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { access, constants, statfs } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { FolderOptions } from '../config/folders.js'
import { formatBytes } from '../report/format.js'

export interface Check {
  name: string
  /** fault: training cannot work. note: worth knowing, no fault. */
  verdict: 'ok' | 'note' | 'fault'
  found: string
  remedy?: string
}

const packageRoot = fileURLToPath(new URL('../../', import.meta.url))

/** Examines everything; never throws for what is missing. */
export async function examine(folders: FolderOptions): Promise<Check[]> {
  const groups = await Promise.all([
    checkTools(),
    checkLibtorch(),
    checkDevices(),
    checkMemory(),
    ...(['raw', 'preprocessed', 'results'] as const).map((root) => checkFolder(root, folders)),
  ])
  return groups.flat()
}

interface Outcome {
  output: string
  failed: boolean
}

/** Runs a program; output is stdout and stderr together, trimmed. */
function tryProgram(program: string, args: string[], input = ''): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = execFile(program, args, { timeout: 30_000 }, (error, stdout, stderr) => {
      resolve({ output: `${stdout}${stderr}`.trim(), failed: error !== null })
    })
    child.stdin?.on('error', () => {})
    child.stdin?.end(input)
  })
}

const firstLine = (text: string): string => text.split('\n')[0]?.trim() ?? ''

async function checkTools(): Promise<Check[]> {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const recent = major > 20 || (major === 20 && minor >= 19)
  const compilerName = process.env.CXX ?? 'c++'
  const [compiler, standard, cmake, python, pip] = await Promise.all([
    tryProgram(compilerName, ['--version']),
    tryProgram(compilerName, ['-std=c++20', '-x', 'c++', '-fsyntax-only', '-'], '#include <concepts>\n'),
    tryProgram('cmake', ['--version']),
    tryProgram('python3', [
      '-c',
      'import sys; print("Python", sys.version.split()[0]); assert sys.version_info >= (3, 9)',
    ]),
    tryProgram('python3', ['-m', 'pip', '--version']),
  ])
  // The addon is built once; what only builds it is no fault where it is there already.
  const forBuilding = existsSync(addonFile) ? 'note' : 'fault'
  const tool = (name: string, outcome: Outcome, remedy: string): Check =>
    outcome.failed
      ? { name, verdict: forBuilding, found: `not found, or too old; needed to build the native addon`, remedy }
      : { name, verdict: 'ok', found: firstLine(outcome.output) }
  return [
    {
      name: 'node',
      verdict: recent ? 'ok' : 'fault',
      found: `Node.js ${process.versions.node}`,
      ...(recent ? {} : { remedy: 'Install Node.js 20.19 or newer: https://nodejs.org/en/download' }),
    },
    tool('compiler', standard.failed ? standard : compiler, 'Install a C++20 compiler: apt-get install g++'),
    tool('cmake', cmake, 'Install CMake 3.18 or newer: apt-get install cmake'),
    tool('python', python, 'Install Python 3.9 or newer: apt-get install python3'),
    tool('pip', pip, 'Install pip: apt-get install python3-pip'),
  ]
}

const addonFile = path.join(packageRoot, 'build/Release/voxgrad.node')
const setupRemedy = `Run \`npm run setup\` in ${packageRoot}`

async function checkLibtorch(): Promise<Check[]> {
  const record = path.join(packageRoot, '.deps/libtorch.txt')
  const folder = process.env.LIBTORCH ?? (existsSync(record) ? readFileSync(record, 'utf8').trim() : undefined)
  const library = folder === undefined ? undefined : path.join(folder, 'lib/libtorch_cpu.so')
  if (folder === undefined || library === undefined || !existsSync(library)) {
    const found = folder === undefined ? 'not set up yet' : `${library} is not there`
    return [
      { name: 'libtorch', verdict: 'fault', found, remedy: setupRemedy },
      { name: 'addon', verdict: 'fault', found: 'needs libtorch', remedy: setupRemedy },
    ]
  }
  const kind = existsSync(path.join(folder, 'lib/libtorch_cuda.so')) ? 'with CUDA' : 'CPU only'
  // In a child process: a library that does not fit may end the process that loads it.
  const loader = pathToFileURL(path.join(packageRoot, 'dist/native/load.js')).href
  const script = `import(${JSON.stringify(loader)}).then((m) => console.log(JSON.stringify(m.native().versions()))).catch((error) => { console.error(error.message); process.exitCode = 1 })`
  const probe = await tryProgram(process.execPath, ['-e', script])
  if (probe.failed) {
    return [
      { name: 'libtorch', verdict: 'ok', found: `${kind}, ${folder}` },
      {
        name: 'addon',
        verdict: 'fault',
        found: `does not load: ${probe.output || 'the process ended by itself'}`,
        remedy: setupRemedy,
      },
    ]
  }
  const versions = JSON.parse(probe.output) as { libtorch: string; compiler: string; cpu: string }
  return [
    { name: 'libtorch', verdict: 'ok', found: `${versions.libtorch}, ${kind}, ${folder}` },
    { name: 'addon', verdict: 'ok', found: `loads; compiler ${versions.compiler}, ${versions.cpu}` },
  ]
}

async function checkDevices(): Promise<Check[]> {
  const model = os.cpus()[0]?.model.trim() || os.arch()
  const cpu: Check = { name: 'cpu', verdict: 'ok', found: `${os.availableParallelism()} processors, ${model}` }
  const gpus = await tryProgram('nvidia-smi', [
    '--query-gpu=index,name,memory.total,driver_version',
    '--format=csv,noheader',
  ])
  if (gpus.failed) return [cpu, { name: 'gpu', verdict: 'note', found: 'none; training runs on the CPU' }]
  const lines = gpus.output.split('\n').filter((line) => line !== '')
  return [cpu, ...lines.map((line): Check => ({ name: 'gpu', verdict: 'ok', found: `cuda:${line}` }))]
}

/** The name of a device: the GPU's as its driver gives it, or the processor's model. */
export async function nameOfDevice(device: string): Promise<string> {
  if (device === 'cpu') return os.cpus()[0]?.model.trim() || os.arch()
  const index = device.split(':')[1] ?? '0'
  const { output, failed } = await tryProgram('nvidia-smi', ['-i', index, '--query-gpu=name', '--format=csv,noheader'])
  return failed ? device : firstLine(output)
}

async function checkMemory(): Promise<Check[]> {
  const limit = process.constrainedMemory()
  const total = limit > 0 && limit < os.totalmem() ? limit : os.totalmem()
  const found = `${formatBytes(total)}${total < os.totalmem() ? ' (limit of this container)' : ''}, ${formatBytes(os.freemem())} free`
  if (total >= 4 * 2 ** 30) return [{ name: 'memory', verdict: 'ok', found }]
  return [
    {
      name: 'memory',
      verdict: 'note',
      found,
      remedy: 'Below 4 GiB, train with --plans nnUNetPlansTiny (voxgrad plan --preset tiny)',
    },
  ]
}

async function checkFolder(root: 'raw' | 'preprocessed' | 'results', options: FolderOptions): Promise<Check[]> {
  const name = root
  const variable = `nnUNet_${root}`
  const folder = options[root] || process.env[variable]
  if (!folder) {
    return [
      {
        name,
        verdict: 'note',
        found: `${variable} is not set`,
        remedy: `export ${variable}=FOLDER, or give --${root} FOLDER to each command`,
      },
    ]
  }
  // A folder that is not there yet is made when it is needed: what counts is the nearest one above it.
  let existing = path.resolve(folder)
  while (!existsSync(existing)) existing = path.dirname(existing)
  const needed = root === 'raw' ? constants.R_OK : constants.W_OK
  const allowed = await access(existing, needed).then(
    () => true,
    () => false,
  )
  const { bavail, bsize } = await statfs(existing)
  const free = bavail * bsize
  const found = `${folder}${existing === path.resolve(folder) ? '' : ' (not there yet)'}, ${formatBytes(free)} free`
  if (!allowed) {
    const deed = root === 'raw' ? 'read' : 'write to'
    return [
      {
        name,
        verdict: 'fault',
        found: `${found}; no permission to ${deed} ${existing}`,
        remedy: 'Change its owner or mode, or choose another folder',
      },
    ]
  }
  if (free < 5 * 2 ** 30)
    return [{ name, verdict: 'note', found, remedy: 'Free some space: a training may need several GiB' }]
  return [{ name, verdict: 'ok', found }]
}
