// What a machine has of what voxgrad needs: programs, libtorch and addon, devices, memory and limits, folders.
import { execFile } from 'node:child_process'
import { existsSync, readFileSync, statfsSync } from 'node:fs'
import { access, constants, statfs } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { FolderOptions } from '../config/folders.js'
import { setupCommand } from '../native/load.js'
import { formatBytes } from '../report/format.js'

export const checkGroups = ['Programs', 'Engine', 'Devices', 'Memory and limits', 'Folders'] as const

/** fault: training cannot work. note: worth knowing, no fault. */
export type Verdict = 'ok' | 'note' | 'fault'

export interface Check {
  group: (typeof checkGroups)[number]
  name: string
  verdict: Verdict
  /** One line. */
  found: string
  /** What to do; always there for a fault. */
  remedy?: string
}

type Found = Omit<Check, 'group'>

const packageRoot = fileURLToPath(new URL('../../', import.meta.url))
const addonFile = path.join(packageRoot, 'build/Release/voxgrad.node')
const setupRemedy = `Run \`${setupCommand}\` in ${packageRoot.replace(/\/$/, '')}`
const gibibyte = 2 ** 30

/** Examines everything, all at once; never throws for what is missing. */
export async function examine(folders: FolderOptions): Promise<Check[]> {
  const parts: [Check['group'], Promise<Found[]>][] = [
    ['Programs', checkPrograms()],
    ['Engine', checkEngine()],
    ['Devices', checkDevices()],
    ['Memory and limits', checkLimits()],
    ['Folders', checkFolders(folders)],
  ]
  const found = await Promise.all(
    parts.map(async ([group, checks]) => (await checks).map((check) => ({ group, ...check }))),
  )
  return found.flat()
}

interface Outcome {
  stdout: string
  /** stdout and stderr. */
  output: string
  failed: boolean
  /** What ended it, where it did not end by itself. */
  signal: NodeJS.Signals | null
  hung: boolean
}

const longestMs = 30_000

/** Runs a program; its output is trimmed. One that hangs is killed. */
function tryProgram(program: string, args: string[], { input = '', timeoutMs = longestMs } = {}): Promise<Outcome> {
  return new Promise((resolve) => {
    const limits = { timeout: timeoutMs, killSignal: 'SIGKILL' } as const
    const child = execFile(program, args, limits, (error, stdout, stderr) => {
      const [signal, hung] = [error?.signal ?? null, error?.killed ?? false]
      const output = `${stdout}${stderr}`.trim()
      resolve({ stdout: stdout.trim(), output, failed: error !== null, signal, hung })
    })
    child.stdin?.on('error', () => {})
    child.stdin?.end(input)
  })
}

const firstLine = (text: string): string => text.split('\n')[0]?.trim() ?? ''

/** A file's text; empty where it cannot be read. */
function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

/** Whether a version is at least another one: "3.25.1" is at least [3, 18]. */
function isAtLeast(version: string, [major, minor]: [number, number]): boolean {
  const [a = 0, b = 0] = version.split('.').map(Number)
  return a > major || (a === major && b >= minor)
}

async function checkPrograms(): Promise<Found[]> {
  const { node } = process.versions
  const compilerName = process.env.CXX ?? 'c++'
  const [compiler, standard, cmake, make, ninja, python, pip] = await Promise.all([
    tryProgram(compilerName, ['--version']),
    tryProgram(compilerName, ['-std=c++20', '-x', 'c++', '-fsyntax-only', '-'], { input: '#include <concepts>\n' }),
    tryProgram('cmake', ['--version']),
    tryProgram('make', ['--version']),
    tryProgram('ninja', ['--version']),
    tryProgram('python3', ['--version']),
    tryProgram('python3', ['-m', 'pip', '--version']),
  ])
  // The addon is built once; what only builds it is no fault where it is there already.
  const lacking = existsSync(addonFile) ? 'note' : 'fault'
  const tool = (name: string, outcome: Outcome, remedy: string, old = false): Found =>
    !outcome.failed && !old
      ? { name, verdict: 'ok', found: firstLine(outcome.output) }
      : {
          name,
          verdict: lacking,
          found: `${old ? `${firstLine(outcome.output)} is too old` : 'not found'}; builds the engine`,
          remedy,
        }
  const cmakeVersion = /\d+\.\d+[.\d]*/.exec(cmake.output)?.[0] ?? ''
  const pythonVersion = /\d+\.\d+[.\d]*/.exec(python.output)?.[0] ?? ''
  return [
    isAtLeast(node, [20, 19])
      ? { name: 'node', verdict: 'ok', found: `Node.js ${node}` }
      : {
          name: 'node',
          verdict: 'fault',
          found: `Node.js ${node} is too old`,
          remedy: 'Install Node.js 20.19 or newer: https://nodejs.org/en/download',
        },
    tool('compiler', compiler, 'Install a C++20 compiler: apt-get install g++', !compiler.failed && standard.failed),
    tool(
      'cmake',
      cmake,
      'Install CMake 3.18 or newer: apt-get install cmake',
      !cmake.failed && !isAtLeast(cmakeVersion, [3, 18]),
    ),
    ninja.failed
      ? tool('make', make, 'Install make or ninja: apt-get install make')
      : { name: 'make', verdict: 'ok', found: `ninja ${firstLine(ninja.output)}` },
    tool(
      'python',
      python,
      'Install Python 3.9 or newer: apt-get install python3',
      !python.failed && !isAtLeast(pythonVersion, [3, 9]),
    ),
    tool('pip', { ...pip, output: pip.output.replace(/ from .*/, '') }, 'Install pip: apt-get install python3-pip'),
  ]
}

interface LoadedEngine {
  libtorch: string
  compiler: string
  cpu: string
  collectives: string
  /** The libtorch_cpu.so that is in memory. */
  library: string
}

/** Long enough for a cold disk. */
const longestLoadMs = 60_000

/** In a process of its own: a library that does not fit may end or hang whoever loads it. */
async function loadEngine(): Promise<LoadedEngine | { fault: string }> {
  const loader = pathToFileURL(path.join(packageRoot, 'dist/native/load.js')).href
  const script = `
    const { native } = await import(${JSON.stringify(loader)})
    const { readFileSync } = await import('node:fs')
    try {
      const library = () => /\\S*libtorch_cpu\\.so\\S*/.exec(readFileSync('/proc/self/maps', 'utf8'))?.[0] ?? ''
      console.log('\\n' + JSON.stringify({ ...native().versions(), library: library() }))
    } catch (error) {
      console.log('\\n' + JSON.stringify({ fault: error.statement ?? error.message }))
    }`
  const timeoutMs = Number(process.env.VOXGRAD_DOCTOR_SECONDS ?? longestLoadMs / 1000) * 1000
  const outcome = await tryProgram(process.execPath, ['--input-type=module', '-e', script], { timeoutMs })
  if (outcome.hung) return { fault: `loading it hangs: no answer within ${timeoutMs / 1000} s` }
  if (outcome.signal) return { fault: `loading it crashes the process (${outcome.signal})` }
  try {
    return JSON.parse(outcome.stdout.split('\n').at(-1) ?? '')
  } catch {
    return { fault: `loading it ends the process: ${firstLine(outcome.output) || 'without a word'}` }
  }
}

async function checkEngine(): Promise<Found[]> {
  const recorded = process.env.LIBTORCH || textOf(path.join(packageRoot, '.deps/libtorch.txt')).trim() || undefined
  if (!existsSync(addonFile)) {
    const isThere = recorded !== undefined && existsSync(path.join(recorded, 'lib/libtorch_cpu.so'))
    const libtorch: Found = isThere
      ? { name: 'libtorch', verdict: 'ok', found: `${kindOf(recorded)}, ${recorded}` }
      : {
          name: 'libtorch',
          verdict: 'fault',
          found: recorded ? `none in ${recorded}` : 'not set up yet',
          remedy: `${setupRemedy}, which fetches it`,
        }
    return [
      libtorch,
      { name: 'addon', verdict: 'fault', found: 'not built yet', remedy: `${setupRemedy}, which builds it` },
    ]
  }
  const engine = await loadEngine()
  if ('fault' in engine) {
    const isThere = recorded !== undefined && existsSync(path.join(recorded, 'lib/libtorch_cpu.so'))
    const found =
      recorded === undefined ? 'not set up' : isThere ? `${kindOf(recorded)}, ${recorded}` : `none in ${recorded}`
    return [
      isThere
        ? { name: 'libtorch', verdict: 'ok', found }
        : { name: 'libtorch', verdict: 'fault', found, remedy: setupRemedy },
      { name: 'addon', verdict: 'fault', found: engine.fault, remedy: `${setupRemedy}, which builds it again` },
    ]
  }
  const folder = engine.library === '' ? (recorded ?? '') : path.resolve(engine.library, '../..')
  return [
    { name: 'libtorch', verdict: 'ok', found: `${engine.libtorch}, ${kindOf(folder)}, ${folder}` },
    { name: 'addon', verdict: 'ok', found: `loads; built by compiler ${engine.compiler}, runs with ${engine.cpu}` },
    checkCollectives(engine.collectives),
  ]
}

const glooHeader = '/usr/include/gloo/context.h'

/** What several processes need to train one network; a training on one device does without. */
function checkCollectives(collectives: string): Found {
  const name = 'collectives'
  if (collectives !== 'none')
    return { name, verdict: 'ok', found: `${collectives}; several processes can train together` }
  const found = 'built without Gloo; train --devices and torchrun are refused, one device needs none'
  const remedy = existsSync(glooHeader)
    ? `${setupRemedy}, which now builds it in`
    : `apt-get install libgloo-dev, then: ${setupRemedy}`
  return { name, verdict: 'note', found, remedy }
}

const kindOf = (libtorch: string): string =>
  existsSync(path.join(libtorch, 'lib/libtorch_cuda.so')) ? 'with CUDA' : 'CPU only'

async function checkDevices(): Promise<Found[]> {
  const [gpus, smi, nvcc] = await Promise.all([
    tryProgram('nvidia-smi', ['--query-gpu=index,name,memory.total,memory.free', '--format=csv,noheader,nounits']),
    tryProgram('nvidia-smi', []),
    tryProgram('nvcc', ['--version']),
  ])
  if (gpus.failed || gpus.stdout === '') {
    const seen = existsSync('/dev/nvidia0') || gpus.output !== ''
    if (!seen) return [checkCpu(), { name: 'gpu', verdict: 'note', found: 'none; training runs on the CPU' }]
    const found = `there, but its driver does not answer${gpus.output === '' ? '' : `: ${firstLine(gpus.output)}`}`
    return [
      checkCpu(),
      {
        name: 'gpu',
        verdict: 'note',
        found,
        remedy: 'Install or restart the NVIDIA driver; in a container, start it with --gpus all',
      },
    ]
  }
  const [, driver = 'unknown', cuda = 'unknown'] =
    /Driver Version:\s*(\S+)\s+CUDA Version:\s*(\S+)/.exec(smi.output) ?? []
  const devices = gpus.stdout.split('\n').map((line): Found => {
    const [index, name, total, free] = line.split(',').map((cell) => cell.trim())
    const memory = (mebibytes: string | undefined) => formatBytes(Number(mebibytes) * 2 ** 20)
    return { name: `cuda:${index}`, verdict: 'ok', found: `${name}, ${memory(total)} memory, ${memory(free)} free` }
  })
  const kernels = path.join(packageRoot, 'build/Release/libvoxgrad_cuda.so')
  const libtorch = textOf(path.join(packageRoot, '.deps/libtorch.txt')).trim()
  const hasCuda = existsSync(path.join(libtorch, 'lib/libtorch_cuda.so'))
  return [
    checkCpu(),
    ...devices,
    { name: 'driver', verdict: 'ok', found: `${driver}, for CUDA up to ${cuda}` },
    nvcc.failed
      ? { name: 'toolkit', verdict: 'note', found: 'no nvcc on the PATH; `npm run build:cuda` fetches one' }
      : {
          name: 'toolkit',
          verdict: 'ok',
          found: `CUDA ${/release ([\d.]+)/.exec(nvcc.output)?.[1] ?? firstLine(nvcc.output)}`,
        },
    hasCuda
      ? existsSync(kernels)
        ? { name: 'kernels', verdict: 'ok', found: 'built for CUDA' }
        : {
            name: 'kernels',
            verdict: 'note',
            found: 'not built for CUDA; --device cuda is refused',
            remedy: `Run \`npm run build:cuda\` in ${packageRoot}`,
          }
      : {
          name: 'kernels',
          verdict: 'note',
          found: 'libtorch has no CUDA; training runs on the CPU',
          remedy: `Set LIBTORCH to a CUDA build, then: ${setupRemedy}`,
        },
  ]
}

function checkCpu(): Found {
  const flags = new Set((/^flags\s*:\s*(.*)$/m.exec(textOf('/proc/cpuinfo'))?.[1] ?? '').split(' '))
  const known: [string, string][] = [
    ['avx2', 'AVX2'],
    ['avx512f', 'AVX-512'],
    ['avx512_bf16', 'bfloat16'],
    ['amx_tile', 'AMX'],
  ]
  const features = known.filter(([flag]) => flags.has(flag)).map(([, name]) => name)
  const model = os.cpus()[0]?.model.trim() || os.arch()
  const found = [`${os.availableParallelism()} processors`, model, ...features].join(', ')
  if (os.arch() !== 'x64' || flags.has('avx2')) return { name: 'cpu', verdict: 'ok', found }
  return {
    name: 'cpu',
    verdict: 'note',
    found: `${found}; without AVX2`,
    remedy: 'Expect several times slower training; a processor with AVX2 is better',
  }
}

/** The name of a device: the GPU's as its driver gives it, or the processor's model. */
export async function nameOfDevice(device: string): Promise<string> {
  if (device === 'cpu') return os.cpus()[0]?.model.trim() || os.arch()
  const index = device.split(':')[1] ?? '0'
  const { output, failed } = await tryProgram('nvidia-smi', ['-i', index, '--query-gpu=name', '--format=csv,noheader'])
  return failed ? device : firstLine(output)
}

async function checkLimits(): Promise<Found[]> {
  return [checkMemory(), ...checkCpuTime(), checkOpenFiles(), checkStack(), checkSharedMemory()]
}

function checkMemory(): Found {
  const limit = process.constrainedMemory()
  const isLimited = limit > 0 && limit < os.totalmem()
  const total = isLimited ? limit : os.totalmem()
  const free = process.availableMemory?.() ?? os.freemem()
  const found = `${formatBytes(total)}${isLimited ? ' (limit of this container)' : ''}, ${formatBytes(free)} free`
  if (total >= 4 * gibibyte) return { name: 'memory', verdict: 'ok', found }
  const remedy = 'Below 4 GiB, train with --plans nnUNetPlansTiny (voxgrad plan --preset tiny)'
  return { name: 'memory', verdict: 'note', found, remedy }
}

/** Where a container has less time of the processors than it sees processors. */
function checkCpuTime(): Found[] {
  const [quota, period] = textOf('/sys/fs/cgroup/cpu.max').split(' ').map(Number)
  if (!quota || !period || quota / period >= os.availableParallelism()) return []
  const share = (quota / period).toFixed(1)
  const remedy = `Train with --threads ${Math.max(1, Math.floor(quota / period))}, or raise the limit`
  return [
    {
      name: 'cpu time',
      verdict: 'note',
      found: `limited to ${share} of ${os.availableParallelism()} processors`,
      remedy,
    },
  ]
}

/** The soft limit of this process; Infinity where there is none. */
function limitOf(name: string): number {
  const soft = new RegExp(`^${name}\\s+(\\S+)`, 'm').exec(textOf('/proc/self/limits'))?.[1]
  return soft === undefined || soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft)
}

function checkOpenFiles(): Found {
  const files = limitOf('Max open files')
  const found = files === Number.POSITIVE_INFINITY ? 'any number' : `${files}`
  if (files >= 1024) return { name: 'open files', verdict: 'ok', found }
  return { name: 'open files', verdict: 'note', found, remedy: 'Raise the limit to 1024 or more: ulimit -n 4096' }
}

function checkStack(): Found {
  const stack = limitOf('Max stack size')
  const found = stack === Number.POSITIVE_INFINITY ? 'any size' : formatBytes(stack)
  if (stack >= 4 * 2 ** 20) return { name: 'stack', verdict: 'ok', found }
  return { name: 'stack', verdict: 'note', found, remedy: 'Raise the limit to the usual 8 MiB: ulimit -s 8192' }
}

function checkSharedMemory(): Found {
  try {
    const { blocks, bsize } = statfsSync('/dev/shm')
    return { name: 'shared memory', verdict: 'ok', found: `${formatBytes(blocks * bsize)}; voxgrad needs none` }
  } catch {
    return { name: 'shared memory', verdict: 'ok', found: 'none, and voxgrad needs none' }
  }
}

async function checkFolders(options: FolderOptions): Promise<Found[]> {
  const roots = ['raw', 'preprocessed', 'results'] as const
  return Promise.all(roots.map((root) => checkFolder(root, options)))
}

async function checkFolder(root: 'raw' | 'preprocessed' | 'results', options: FolderOptions): Promise<Found> {
  const name = root
  const variable = `nnUNet_${root}`
  const folder = options[root] || process.env[variable]
  if (!folder) {
    const remedy = `export ${variable}=FOLDER, or give --${root} FOLDER to each command`
    return { name, verdict: 'note', found: `${variable} is not set`, remedy }
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
    const remedy = 'Change its owner or mode, or choose another folder'
    return { name, verdict: 'fault', found: `${found}; no permission to ${deed} ${existing}`, remedy }
  }
  if (root === 'raw' && existing !== path.resolve(folder)) {
    const remedy = `Check ${variable}, or bring a dataset in: voxgrad import FOLDER --id N`
    return { name, verdict: 'note', found: `${folder} is not there`, remedy }
  }
  if (root === 'raw' || free >= 5 * gibibyte) return { name, verdict: 'ok', found }
  return { name, verdict: 'note', found, remedy: 'Free some space: a training may need several GiB' }
}
