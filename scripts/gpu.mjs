// For a machine with an NVIDIA GPU, one command each; sets up first.
//   npm run test:gpu     every op against the CPU, steps as a graph and one by one, host reads, determinism, resuming, 200
//                        training steps, two ranks over NCCL where there are two GPUs (build/voxgrad_check, a program without Node),
//                        and whole runs (test/gpu)
//   npm run bench:gpu    the steps of three plans; a line each in bench/results/DATE-gpu.jsonl
import { spawnSync } from 'node:child_process'
import { appendFileSync, existsSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')

function run(command, args, options = {}) {
  const { status, stdout, error } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', options.capture ? 'pipe' : 'inherit', 'inherit'],
    env: { ...process.env, ...options.env },
  })
  if (status !== 0) {
    console.error(
      `gpu: \`${command} ${args.join(' ')}\` failed${error ? `: ${error.message}` : ` with code ${status}`}`,
    )
    process.exit(1)
  }
  return stdout
}

if (!existsSync('/dev/nvidia0') || spawnSync('nvidia-smi', ['-L']).status !== 0) {
  console.error('gpu: found no NVIDIA GPU (no /dev/nvidia0, or nvidia-smi does not run): nothing was tested')
  process.exit(2)
}
run('nvidia-smi', ['-L'])
run(process.execPath, ['scripts/setup.mjs', '--quiet'])
run(process.execPath, ['scripts/build-cuda.mjs', '--quiet'])

if (process.argv[2] === 'test') {
  run('build/voxgrad_check', ['cuda', '--steps', '200', '--time'])
  const gpus = run('nvidia-smi', ['-L'], { capture: true }).trim().split('\n').length
  if (gpus >= 2) run('build/voxgrad_check', ['ranks', 'cuda'])
  else console.log('two ranks over NCCL skipped: they need two GPUs, and this machine has one')
  run(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', 'test/gpu'], { env: { VOXGRAD_TEST_GPU: '1' } })
} else {
  const results = path.join(root, `bench/results/${new Date().toISOString().slice(0, 10)}-gpu.jsonl`)
  for (const shape of ['hippocampus', '128', 'resenc-l']) {
    const args = ['dist/cli/main.js', 'bench', 'step', shape, '--device', 'cuda', '--warmup', '20', '--repeat', '100']
    const line = run(process.execPath, [...args, '--json'], { capture: true })
      .trim()
      .split('\n')
      .at(-1)
    appendFileSync(results, `${line}\n`)
    const { p50_ms, min_ms } = JSON.parse(line)
    console.log(`${shape}: ${p50_ms.toFixed(2)} ms a step in the middle, ${min_ms.toFixed(2)} at least`)
  }
  console.log(`results: ${path.relative(root, results)}`)
}
