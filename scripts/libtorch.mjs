// libtorch from pip: the wheel of a version, and what of CUDA it loads. Uses Node's own modules alone.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'

/** Whether a folder holds what the native build takes from libtorch. */
export const isLibtorch = (folder) =>
  existsSync(path.join(folder, 'include/ATen/ATen.h')) && existsSync(path.join(folder, 'lib/libtorch_cpu.so'))

/** Installs Python packages into `target`. @throws Error with what pip said */
export function pipInstall(target, ...options) {
  const args = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--upgrade', '--target', target]
  const { status, stdout, stderr, error } = spawnSync('python3', [...args, ...options], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`pip could not install ${options.join(' ')}: ${error?.message ?? stdout + stderr}`)
}

/**
 * Installs torch of a version into `target`, once.
 * @param say told what is fetched @returns the folder with include/ and lib/ @throws Error with what pip said
 */
export function fetchTorch(version, target, say) {
  const folder = path.join(target, 'torch')
  const metadata = path.join(target, `torch-${version}.dist-info/METADATA`)
  if (!isLibtorch(folder) || !existsSync(metadata)) {
    say(`fetching torch ${version} with pip (about 1 GB, once)`)
    pipInstall(target, '--no-deps', `torch==${version}`)
  }
  fetchCudaRuntime(target, readFileSync(metadata, 'utf8'), say)
  return folder
}

/** Whether this machine has a GPU, or VOXGRAD_GPU=1 says that the next will, as where a container's image is built. */
export const wantsGpu = () => existsSync('/dev/nvidia0') || process.env.VOXGRAD_GPU === '1'

/** A CUDA wheel's libtorch_cpu.so needs the CUDA runtime and CUPTI even on the CPU; with a GPU, all that the wheel names. */
function fetchCudaRuntime(target, metadata, say) {
  const requirements = metadata
    .split('\n')
    .filter((line) => /^Requires-Dist: (nvidia-|cuda-toolkit)/.test(line))
    .map((line) => line.slice('Requires-Dist: '.length).split(';')[0].trim())
  const toolkit = requirements.map((r) => /^cuda-toolkit\[.*\]==(.+)$/.exec(r)).find(Boolean)
  if (!toolkit) return // a wheel without CUDA
  const withGpu = wantsGpu()
  const done = path.join(target, `cuda-${toolkit[1]}-${withGpu ? 'gpu' : 'cpu'}.txt`)
  if (existsSync(done)) return
  say(`fetching the CUDA ${toolkit[1]} libraries that this torch loads`)
  // pip resolves the extras of cuda-toolkit into the versions of the single packages.
  const wanted = withGpu ? requirements : [`cuda-toolkit[cudart,cupti]==${toolkit[1]}`]
  pipInstall(target, ...wanted)
  writeFileSync(done, `${wanted.join('\n')}\n`)
}
