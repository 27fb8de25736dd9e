// npm run build:cuda: compiles the CUDA kernels (native/**/*.cu) into build/Release/libvoxgrad_cuda.so, for which no GPU is
// needed. Writes what ptxas says of every kernel (registers, spills, shared memory) to build/cuda/kernels.json and fails if
// a kernel spills registers to memory.
//   node scripts/build-cuda.mjs [--quiet]
// Beside it, two libraries of the files that need libtorch's CUDA half: CUDA graphs, and NCCL's process group.
// nvcc: $CUDACXX, else that of $CUDA_HOME, else on the PATH, else fetched with pip into .deps/cuda (about 300 MB, once).
import { execFile, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { pipInstall } from './libtorch.mjs'

/** The toolkit of the pinned torch; any newer one of CUDA 13 will do as well. */
const TOOLKIT_PIN = '13.2.2'
/** Ampere, Hopper and Blackwell as machine code; PTX of the last for what comes after. */
const ARCHITECTURES = ['80', '90', '100']

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')
const output = path.join(root, 'build/cuda')
const quiet = process.argv.includes('--quiet')
const say = (text) => quiet || console.log(text)

function fail(message) {
  console.error(`build:cuda: ${message}`)
  process.exit(1)
}

function findNvcc() {
  const named = [process.env.CUDACXX, process.env.CUDA_HOME && path.join(process.env.CUDA_HOME, 'bin/nvcc'), 'nvcc']
  for (const nvcc of named) {
    const version = nvcc && spawnSync(nvcc, ['--version'], { encoding: 'utf8' })
    if (version?.status === 0 && Number(/release (\d+)/.exec(version.stdout)?.[1]) >= 12) return nvcc
  }
  const folder = path.join(root, '.deps/cuda')
  const fetched = path.join(folder, `nvidia/cu${TOOLKIT_PIN.split('.')[0]}/bin/nvcc`)
  if (!existsSync(fetched)) {
    console.log(`build:cuda: fetching nvcc ${TOOLKIT_PIN} with pip into .deps/cuda (about 300 MB, once)`)
    const requirement = `cuda-toolkit[nvcc,cudart,cccl]==${TOOLKIT_PIN}`
    const options = ['--quiet', '--disable-pip-version-check', '--upgrade', '--target', folder]
    const { status } = spawnSync('python3', ['-m', 'pip', 'install', ...options, requirement], { stdio: 'inherit' })
    if (status !== 0) fail('pip could not fetch nvcc; install a CUDA toolkit of version 12.8 or newer')
  }
  return fetched
}

/** What `nvcc -Xptxas -v` says: one entry a kernel and architecture. */
function readReport(text, file) {
  const kernels = []
  for (const line of text.split('\n')) {
    const [, symbol, architecture] = /Compiling entry function '(\S+)' for 'sm_(\w+)'/.exec(line) ?? []
    if (symbol) kernels.push({ file, symbol, architecture, registers: 0, spilledBytes: 0, sharedBytes: 0 })
    const last = kernels.at(-1)
    const spill = /(\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line)
    if (spill) last.spilledBytes = Number(spill[1]) + Number(spill[2])
    const registers = /Used (\d+) registers/.exec(line)
    if (registers) last.registers = Number(registers[1])
    const shared = /(\d+) bytes smem/.exec(line)
    if (shared) last.sharedBytes = Number(shared[1])
  }
  return kernels
}

/** Names as the source has them; the symbols themselves where there is no c++filt. */
function demangle(symbols) {
  const { status, stdout } = spawnSync('c++filt', [], { input: symbols.join('\n'), encoding: 'utf8' })
  if (status !== 0) return symbols
  return stdout.split('\n').map((name) => /run_functor<(.*)>\(/.exec(name)?.[1].replaceAll('voxgrad::', '') ?? name)
}

/** The files that need libtorch's CUDA half; left out, with the reason, where this libtorch has none. */
async function buildWithLibtorch() {
  const note = path.join(root, '.deps/libtorch.txt')
  const libtorch = process.env.LIBTORCH ?? (existsSync(note) ? readFileSync(note, 'utf8').trim() : '')
  const cuda = path.join(libtorch, 'lib/libtorch_cuda.so')
  if (!existsSync(cuda)) {
    console.log(`build:cuda: CUDA graphs and NCCL are left out: there is no ${cuda}`)
    return
  }
  await compileWithLibtorch(libtorch, 'native/engine/step_graph_cuda.cpp', 'libvoxgrad_cuda_graph.so', [])
  const headers = findNcclHeaders(libtorch).flatMap((folder) => ['-isystem', folder])
  const flags = ['-DUSE_C10D_NCCL', ...headers]
  await compileWithLibtorch(libtorch, 'native/dist/nccl.cpp', 'libvoxgrad_nccl.so', flags)
}

async function compileWithLibtorch(libtorch, source, library, flags) {
  const args = ['-std=c++20', '-O2', '-shared', '-fPIC', '-fvisibility=hidden', '-Inative']
  const includes = [`${libtorch}/include`, `${libtorch}/include/torch/csrc/api/include`, toolkitInclude(nvcc)]
  for (const folder of includes) args.push('-isystem', folder)
  args.push(...flags, source, '-o', `build/Release/${library}`, `-L${libtorch}/lib`)
  args.push('-lc10', '-lc10_cuda', '-ltorch_cpu', '-Wl,--no-as-needed', '-ltorch_cuda', '-Wl,--allow-shlib-undefined')
  args.push(`-Wl,-rpath,${libtorch}/lib`)
  await promisify(execFile)(process.env.CXX ?? 'c++', args, { cwd: root, maxBuffer: 1 << 28 }).catch((error) =>
    fail(`${source} does not compile:\n${error.stderr || error.message}`),
  )
}

/**
 * Folders with nccl.h and what c10d's header of NCCL includes besides, of the versions that this libtorch was built with:
 * beside it, where pip installed all that its wheel names, else fetched (about 1 GB, once; only the headers are used).
 */
function findNcclHeaders(libtorch) {
  const foldersOf = (packages) =>
    (existsSync(path.join(packages, 'nvidia')) ? readdirSync(path.join(packages, 'nvidia')) : [])
      .map((name) => path.join(packages, 'nvidia', name, 'include'))
      .filter((folder) => existsSync(folder))
  const areThere = (folders) =>
    ['nccl.h', 'cusparse.h', 'cublas_v2.h', 'cusolverDn.h'].every((name) =>
      [...folders, toolkitInclude(nvcc), '/usr/include'].some((folder) => existsSync(path.join(folder, name))),
    )
  const packages = path.dirname(libtorch)
  const beside = foldersOf(packages)
  if (areThere(beside)) return beside
  const information = readdirSync(packages).find((name) => /^torch-[\d.]+.*\.dist-info$/.test(name))
  const metadata = information ? readFileSync(path.join(packages, information, 'METADATA'), 'utf8') : ''
  const nccl = /^Requires-Dist: (nvidia-nccl-cu\d+==[\w.]+)/m.exec(metadata)?.[1]
  const toolkit = /^Requires-Dist: cuda-toolkit\[.*\]==([\w.]+)/m.exec(metadata)?.[1]
  if (!nccl || !toolkit)
    fail(`no nccl.h beside ${libtorch}, and its wheel does not say which NCCL it needs: install NCCL's headers`)
  const target = path.join(root, `.deps/${nccl.replace('==', '-')}`)
  if (!areThere(foldersOf(target))) {
    console.log(`build:cuda: fetching the headers of ${nccl} and CUDA ${toolkit} with pip (about 1 GB, once)`)
    try {
      pipInstall(target, nccl, `cuda-toolkit[cublas,cusolver,cusparse]==${toolkit}`)
    } catch (error) {
      fail(error.message)
    }
  }
  return foldersOf(target)
}

/** Where nvcc's own headers lie. */
function toolkitInclude(compiler) {
  const { stderr } = spawnSync(compiler, ['--dryrun', '-x', 'cu', '/dev/null'], { encoding: 'utf8' })
  const found = /^#\$ INCLUDES="?-I([^"\s]+)/m.exec(stderr)?.[1]
  return found ?? path.join(path.dirname(path.dirname(compiler)), 'include')
}

const nvcc = findNvcc()
const sources = readdirSync(path.join(root, 'native'), { recursive: true })
  .filter((name) => name.endsWith('.cu'))
  .map((name) => path.join('native', name))
  .sort()
mkdirSync(output, { recursive: true })
mkdirSync(path.join(root, 'build/Release'), { recursive: true })
const started = Date.now()
const common = ['-std=c++17', '-O3', '--expt-relaxed-constexpr', '-Inative', '-Xcompiler', '-fPIC,-fvisibility=hidden']
const targets = ARCHITECTURES.map((number) => `arch=compute_${number},code=sm_${number}`)
targets.push(`arch=compute_${ARCHITECTURES.at(-1)},code=compute_${ARCHITECTURES.at(-1)}`)
const kernels = []
const objects = []
const queue = [...sources]
async function compileNext() {
  for (let source = queue.shift(); source; source = queue.shift()) {
    const object = path.join(output, `${path.basename(source, '.cu')}.o`)
    const args = [...common, ...targets.flatMap((target) => ['-gencode', target]), '-Xptxas', '-v']
    const { stdout, stderr } = await promisify(execFile)(nvcc, [...args, '-c', source, '-o', object], {
      cwd: root,
      maxBuffer: 1 << 28,
    }).catch((error) => fail(`${source} does not compile:\n${error.stderr || error.message}`))
    kernels.push(...readReport(stdout + stderr, source))
    objects.push(object)
  }
}
await Promise.all(Array.from({ length: os.availableParallelism() }, compileNext))

const library = path.join(root, 'build/Release/libvoxgrad_cuda.so')
const link = spawnSync(nvcc, ['-shared', '-cudart', 'static', ...objects, '-o', library], {
  cwd: root,
  encoding: 'utf8',
})
if (link.status !== 0) fail(`the library does not link:\n${link.stderr}`)

await buildWithLibtorch()

const names = demangle(kernels.map((kernel) => kernel.symbol))
kernels.forEach((kernel, i) => {
  kernel.name = names[i]
  delete kernel.symbol
})
kernels.sort((a, b) => a.name.localeCompare(b.name) || Number(a.architecture) - Number(b.architecture))
writeFileSync(path.join(output, 'kernels.json'), `${JSON.stringify(kernels, null, 1)}\n`)
say(`${'kernel'.padEnd(44)} ${ARCHITECTURES.map((number) => `sm_${number}`.padStart(7)).join('')}   registers a thread`)
for (const name of new Set(names)) {
  const of = (architecture) => kernels.find((kernel) => kernel.name === name && kernel.architecture === architecture)
  say(`${name.padEnd(44)} ${ARCHITECTURES.map((number) => String(of(number)?.registers ?? '').padStart(7)).join('')}`)
}
const spilling = kernels.filter((kernel) => kernel.spilledBytes > 0)
for (const { name, architecture, spilledBytes } of spilling) {
  console.error(`build:cuda: ${name} spills ${spilledBytes} bytes of registers on sm_${architecture}`)
}
const seconds = ((Date.now() - started) / 1000).toFixed(0)
const size = (statSync(library).size / 2 ** 20).toFixed(1)
console.log(
  `${new Set(names).size} kernels of ${sources.length} files compiled for ${ARCHITECTURES.map((n) => `sm_${n}`).join(', ')} in ${seconds} s: ${path.relative(root, library)} (${size} MB), ${spilling.length} spill`,
)
process.exitCode = spilling.length === 0 ? 0 : 1
