// The progress chart and the picture of predictions: valid files for few and many epochs, gaps, and odd volumes.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createCanvas, loadImage } from '@napi-rs/canvas'
import { afterAll, expect, test } from 'vitest'
import { VoxgradError } from '../../src/errors.js'
import { makeScale } from '../../src/report/axes.js'
import { writeOverlay } from '../../src/report/overlay.js'
import { type PlottedEpoch, writeProgress } from '../../src/report/plot.js'
import { smoothLabels, viewingAxis, viewingSlice } from '../../src/report/slices.js'

const folder = mkdtempSync(path.join(tmpdir(), 'voxgrad-pictures-'))
afterAll(() => rmSync(folder, { recursive: true }))

const epochs = (count: number): PlottedEpoch[] =>
  Array.from({ length: count }, (_, epoch) => ({
    epoch,
    step: (epoch + 1) * 250,
    lr: 0.01 * (1 - epoch / count) ** 0.9,
    train_loss: epoch % 7 === 3 ? null : -epoch / count,
    val_loss: -0.9 * (epoch / count),
    mean_fg_dice: epoch === 0 ? null : epoch / count,
    ema_fg_dice: epoch === 0 ? null : (0.8 * epoch) / count,
    seconds: 40 + (epoch % 3),
  }))

async function pixels(file: string): Promise<{ width: number; height: number; colors: Set<string> }> {
  const image = await loadImage(file)
  const canvas = createCanvas(image.width, image.height)
  const context = canvas.getContext('2d')
  context.drawImage(image, 0, 0)
  const { data } = context.getImageData(0, 0, image.width, image.height)
  const colors = new Set<string>()
  for (let at = 0; at < data.length; at += 4) colors.add(data.subarray(at, at + 3).join())
  return { width: image.width, height: image.height, colors }
}

test.each([0, 1, 2, 1000])('the chart of %s epochs is a PNG and an SVG that draw', async (count) => {
  await writeProgress(folder, epochs(count))
  expect(readdirSync(folder).filter((name) => name.startsWith('progress'))).toEqual(['progress.png', 'progress.svg'])
  const svg = readFileSync(path.join(folder, 'progress.svg'), 'utf8')
  expect(svg).toMatch(/<svg [^>]*viewBox="0 0 1200 1240"/)
  expect(svg).not.toContain('NaN')
  expect(svg.trimEnd().endsWith('</svg>')).toBe(true)
  const png = await pixels(path.join(folder, 'progress.png'))
  expect([png.width, png.height]).toEqual([1800, 1860])
  const drawn = await pixels(path.join(folder, 'progress.svg'))
  for (const { colors } of [png, drawn]) {
    expect(colors.has('255,255,255')).toBe(true)
    if (count > 0) expect(colors.has('37,99,235')).toBe(true)
  }
})

test('the chart of a very long run has no more points than can be told apart', async () => {
  const points = async (count: number) => {
    await writeProgress(folder, epochs(count))
    return readFileSync(path.join(folder, 'progress.svg'), 'utf8').length
  }
  expect(await points(20_000)).toBeLessThan(1.1 * (await points(1000)))
})

test('a folder that is missing or a file in its place is one ERR_DISK', async () => {
  await writeProgress(folder, epochs(1))
  await expect(writeProgress(path.join(folder, 'progress.png'), epochs(1))).rejects.toMatchObject({ code: 'ERR_DISK' })
  await expect(writeProgress(path.join(folder, 'progress.png'), epochs(1))).rejects.toThrow(VoxgradError)
})

test('scales have round ticks that cover the values', () => {
  expect(makeScale([-0.83, 0.31], 8).ticks.map((tick) => Number(tick.toFixed(6)))).toEqual([
    -1, -0.8, -0.6, -0.4, -0.2, 0, 0.2, 0.4,
  ])
  expect(makeScale([0, 999], 10, { low: 0, high: 999, integer: true }).ticks).toEqual([
    0, 100, 200, 300, 400, 500, 600, 700, 800, 900,
  ])
  expect(makeScale([0, 3], 10, { low: 0, high: 3, integer: true }).ticks).toEqual([0, 1, 2, 3])
  expect(makeScale([], 4, { low: 0 }).ticks.length).toBeGreaterThan(1)
  const single = makeScale([0.25], 5)
  expect(single.low).toBeLessThan(0.25)
  expect(single.high).toBeGreaterThan(0.25)
})

const ball = (shape: [number, number, number], center: number[]): Uint8Array =>
  Uint8Array.from({ length: shape[0] * shape[1] * shape[2] }, (_, index) => {
    const at = [Math.floor(index / (shape[1] * shape[2])), Math.floor(index / shape[2]) % shape[1], index % shape[2]]
    const distance = Math.hypot(...at.map((value, axis) => value - (center[axis] ?? 0)))
    return distance > 4 ? 0 : (at[2] ?? 0) > (center[2] ?? 0) ? 2 : 1
  })

test('the picture of predictions shows labels in color, with and without a reference, and an empty prediction', async () => {
  const shape: [number, number, number] = [12, 20, 24]
  const image = Float32Array.from({ length: 12 * 20 * 24 }, (_, index) => Math.sin(index / 7) * 100)
  const truth = ball(shape, [6, 10, 12])
  const spacing: [number, number, number] = [3, 1, 1]
  const file = path.join(folder, 'predictions.png')
  await writeOverlay(
    file,
    [
      { title: 'case_1', image, truth, prediction: ball(shape, [6, 10, 13]), shape, spacing },
      { title: 'case_2', image, truth: undefined, prediction: truth, shape, spacing },
      { title: 'case_3', image, truth, prediction: new Uint8Array(truth.length), shape, spacing },
      {
        title: 'case_4',
        image: image.fill(7),
        truth: undefined,
        prediction: new Uint8Array(truth.length),
        shape,
        spacing,
      },
    ],
    new Map([
      [1, 'Anterior'],
      [2, 'Posterior'],
    ]),
  )
  const { width, colors } = await pixels(file)
  expect(width).toBeGreaterThan(900)
  expect(colors.has('249,115,22') || colors.has('34,211,238')).toBe(true)
})

test('cases are cut along the thick slices, where most foreground is', () => {
  const shape: [number, number, number] = [12, 20, 24]
  const prediction = ball(shape, [6, 10, 12])
  const thick = { truth: undefined, prediction, shape, spacing: [1, 3, 1] as [number, number, number] }
  expect(viewingAxis([thick])).toBe(1)
  expect(viewingSlice(thick, 0)).toBe(6)
  expect(viewingSlice({ ...thick, prediction: new Uint8Array(prediction.length) }, 2)).toBe(12)
})

test('smoothed labels keep the labels of the pixel centers', () => {
  const values = Float32Array.from([0, 1, 2, 2, 1, 0])
  const fine = smoothLabels({ values, width: 3, height: 2, spacing: [1, 1] }, 9, 6)
  const centers = [0, 1, 2, 3, 4, 5].map((index) => fine[(Math.floor(index / 3) * 3 + 1) * 9 + (index % 3) * 3 + 1])
  expect(centers).toEqual([0, 1, 2, 2, 1, 0])
})
