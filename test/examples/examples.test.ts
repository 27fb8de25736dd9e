// The examples as a reader would run them: each in a folder of its own, on a small dataset, from its first line to its last.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readSegmentation } from '../../src/dataset/image.js'
import { train } from '../../src/train/jobs.js'
import { makeSmallDataset, type SmallDataset, smallRun } from '../train/small-dataset.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
let dataset: SmallDataset
let folder: string
let run: string
beforeAll(async () => {
  dataset = await makeSmallDataset()
  folder = mkdtempSync(path.join(tmpdir(), 'voxgrad-examples-'))
  run = path.join(folder, 'trained')
  await train(smallRun(dataset, { run, budget: { steps: 2, valSteps: 1 }, validateAtEnd: false })).finished
})
afterAll(() => {
  for (const made of [dataset.root, folder]) rmSync(made, { recursive: true, force: true })
})

function start(name: string, ...args: string[]): ChildProcess {
  const example = path.join(root, 'examples', `${name}.ts`)
  return spawn(process.execPath, ['--import', import.meta.resolve('tsx'), example, ...args], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      nnUNet_raw: dataset.folders.raw,
      nnUNet_preprocessed: dataset.folders.preprocessed,
      nnUNet_results: dataset.folders.results,
    },
  })
}

/** What an example prints. */
function outputOf(name: string, ...args: string[]): Promise<string> {
  const child = start(name, ...args)
  let output = ''
  child.stdout?.on('data', (text: Buffer) => (output += text))
  child.stderr?.on('data', (text: Buffer) => (output += text))
  return new Promise((resolve, reject) => {
    child.on('close', (code) =>
      code === 0 ? resolve(output) : reject(new Error(`${name} ended with ${code}:\n${output}`)),
    )
  })
}

test('own-policy', async () => {
  const output = await outputOf('own-policy', '9', '--epochs', '2')
  expect(output).toMatch(/epoch 0: lr 0.01, Dice [\d.]+\n[\s\S]*epoch 1: lr 0.001,[\s\S]*completed: /)
  expect(output).toMatch(/new best: [\d.]+/)
})

test('sweep-learning-rates goes through all rates, and a second time trains nothing', async () => {
  const args = ['9', '--rates', '0.01,0.02', '--epochs', '1'] as const
  const output = await outputOf('sweep-learning-rates', ...args)
  expect(output).toMatch(
    /0.01: epoch 0,[\s\S]*0.02: epoch 0,[\s\S]*learning rate {2}mean Dice\n0.0\d +0\.\d{4}\n0.0\d +0\.\d{4}\n/,
  )
  const again = await outputOf('sweep-learning-rates', ...args)
  expect(again).not.toContain('epoch')
  expect(again.trim().split('\n').slice(-2)).toEqual(output.trim().split('\n').slice(-2))
})

test('resume-after-kill', async () => {
  const output = await outputOf('resume-after-kill', '9')
  expect(output).toMatch(
    /killed by SIGKILL\ngoing on at step [3-6]0: Resuming from checkpoint_[\s\S]*finished after 6 epochs/,
  )
})

test('benchmark', async () => {
  const output = await outputOf('benchmark', '--batches', '1,2', '--repeat', '2')
  expect(output).toMatch(/batch +p50 ms +p95 ms +patches\/s\n +1( +[\d.]+){3}\n +2( +[\d.]+){3}\n/)
})

test('custom-plan', async () => {
  const output = await outputOf('custom-plan', '9', '--epochs', '1')
  expect(output).toMatch(
    /nnUNetPlansSmallPatches.json: patch \d+ x \d+ x \d+\n6 cases preprocessed\n.*mean Dice 0\.\d+/,
  )
})

test('prediction-server answers with a segmentation, or with what is wrong, and ends on SIGTERM', async () => {
  const child = start('prediction-server', run, '--port', '0')
  const closed = new Promise((resolve) => child.on('close', resolve))
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout?.on('data', (text: Buffer) => resolve(/http:\S+/.exec(String(text))?.[0] as string))
    child.on('close', (code) => reject(new Error(`ended with ${code}`)))
  })
  const image = path.join(dataset.images, 'box_0_0000.nii.gz')
  const post = (body: Uint8Array) => fetch(url, { method: 'POST', body: new Uint8Array(body) })
  const answer = await post(readFileSync(image))
  expect(answer.status).toBe(200)
  const file = path.join(folder, 'answer.nii.gz')
  writeFileSync(file, Buffer.from(await answer.arrayBuffer()))
  const { shape } = await readSegmentation(file, { reader: 'SimpleITKIO' })
  expect(shape).toEqual([20, 24, 20])
  const wrong = await post(Buffer.from('no image'))
  expect([wrong.status, await wrong.text()]).toEqual([400, expect.stringMatching(/case_0000.nii.gz/)])
  child.kill('SIGTERM')
  expect(await closed).toBe(0)
})
