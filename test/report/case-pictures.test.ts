// The report's pictures of cases: outlines that follow their masks, the slice that tells most, images of every kind.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type DecodedPng, decode, encode } from 'fast-png'
import { afterAll, expect, test } from 'vitest'
import { outlinePath } from '../../src/report/page/outline.js'
import { writeReport } from '../../src/report/write-report.js'
import { writeVolume } from '../dataset/raw-dataset.js'
import { noiseAt, writeRunFixture } from './run-fixture.js'

const root = mkdtempSync(path.join(tmpdir(), 'voxgrad-case-pictures-'))
afterAll(() => rmSync(root, { recursive: true }))

/** Whether a path covers a point (evenodd), its curves taken as straight lines between their ends. */
function covers(outline: string, x: number, y: number): boolean {
  let [atX, atY] = [0, 0]
  let [startX, startY] = [0, 0]
  let crossings = 0
  const lineTo = (toX: number, toY: number) => {
    const isBetween = atY <= y !== toY <= y
    if (isBetween && atX + ((y - atY) / (toY - atY)) * (toX - atX) > x) crossings++
    ;[atX, atY] = [toX, toY]
  }
  for (const [, command, text] of outline.matchAll(/([MlqzZ])([^MlqzZ]*)/g)) {
    const numbers = (text as string).trim().split(/\s+/).map(Number)
    if (command === 'M') [atX, atY, startX, startY] = [...numbers, ...numbers] as [number, number, number, number]
    else if (command === 'z') lineTo(startX, startY)
    else lineTo(atX + (numbers.at(-2) as number), atY + (numbers.at(-1) as number))
  }
  return crossings % 2 === 1
}

test('an outline covers the middle of the pixels of its mask and of no other', () => {
  const [width, height] = [31, 23]
  // Blobs with holes, touching the edges of the picture, and pixels that meet at a corner only.
  const field = (x: number, y: number) => Math.sin(x / 3) + Math.cos(y / 2.5) + 0.6 * Math.sin((x * y) / 40)
  const mask = Uint8Array.from({ length: width * height }, (_, index) =>
    Number(field(index % width, Math.floor(index / width)) > 0.2),
  )
  const outline = outlinePath(mask, width, height)
  const wrong = Array.from(mask).filter(
    (value, index) => covers(outline, (index % width) + 0.5, Math.floor(index / width) + 0.5) !== (value === 1),
  )
  expect(mask.reduce((sum, value) => sum + value, 0)).toBeGreaterThan(200)
  expect(wrong).toEqual([])
  expect(outlinePath(new Uint8Array(12), 4, 3)).toBe('')
  // A square: each side is one step, each corner two.
  const square = outlinePath(new Uint8Array(64).fill(1), 8, 8)
  expect(square.match(/l/g)).toHaveLength(4)
  expect(square.match(/q/g)).toHaveLength(8)
})

const dataset = 'Dataset009_Boxes'
const shape: [number, number, number] = [6, 20, 16]
const voxels = shape[0] * shape[1] * shape[2]
const at = (index: number) => ({
  x: index % shape[2],
  y: Math.floor(index / shape[2]) % shape[1],
  z: Math.floor(index / (shape[1] * shape[2])),
})
const truthAt = (index: number) => {
  const { x, y } = at(index)
  return x > 3 && x < 12 && y > 4 && y < 16 ? (y < 10 ? 1 : 2) : 0
}

interface Case {
  prediction: (index: number) => number
  truth?: (index: number) => number
}

/** Raw images, references and predictions of a run; slices are thick, so that pictures are cut along z. */
async function makeRun(name: string, cases: Record<string, Case>, fixture: Parameters<typeof writeRunFixture>[1] = {}) {
  const folder = path.join(root, name)
  const raw = path.join(folder, 'raw', dataset)
  for (const part of ['imagesTr', 'labelsTr']) mkdirSync(path.join(raw, part), { recursive: true })
  const run = writeRunFixture(path.join(folder, 'model'), {
    dataset,
    validation: Object.fromEntries(Object.keys(cases).map((id, index) => [id, { '1': 0.5 + index / 10, '2': 0.5 }])),
    ...fixture,
  })
  const files = { shape, spacing: [1, 1, 3] }
  for (const [id, { prediction, truth = truthAt }] of Object.entries(cases)) {
    const image = (index: number) => 100 * truthAt(index) + 50 * noiseAt(index)
    await writeVolume(path.join(raw, `imagesTr/${id}_0000.nii.gz`), { ...files, values: image }, 'image')
    await writeVolume(path.join(folder, `references/${id}.nii.gz`), { ...files, values: truth }, 'label')
    await writeVolume(path.join(run, `validation/${id}.nii.gz`), { ...files, values: prediction }, 'label')
  }
  const summary = path.join(run, 'validation/summary.json')
  writeFileSync(summary, readFileSync(summary, 'utf8').replaceAll('/nowhere/', `${path.join(folder, 'references')}/`))
  return { run, raw: path.dirname(raw) }
}

async function report(run: string, raw?: string): Promise<string> {
  const file = path.join(root, 'report.html')
  await writeReport(run, { file, folders: raw === undefined ? {} : { raw } })
  return readFileSync(file, 'utf8')
}
const pngsOf = (page: string) =>
  [...page.matchAll(/data:image\/png;base64,([^"]+)/g)].map(([, text]) => decode(Buffer.from(text as string, 'base64')))

test('the worst case is shown where it differs most, as the gray image with both outlines', async () => {
  const { run, raw } = await makeRun('plain', {
    // Wrong in slice 4 alone.
    bad: { prediction: (index) => (at(index).z === 4 && at(index).y > 8 ? 1 : truthAt(index)) },
    good: { prediction: truthAt },
  })
  const page = await report(run, raw)
  expect(page).toContain('Slice 5 of 6 along z, where most voxels differ.')
  expect(page).toContain('Slice 1 of 6 along z, with most foreground.')
  const [png] = pngsOf(page)
  expect(png).toMatchObject({ width: 16, height: 20, channels: 1, depth: 8 })
  // Brightness follows the intensities of that slice.
  const intensity = (index: number) => 100 * truthAt(index) + 50 * noiseAt(index)
  const pixels = [...(png as DecodedPng).data]
  const slice = pixels.map((_, index) => intensity(4 * shape[1] * shape[2] + index))
  const order = slice.map((_, index) => index).sort((a, b) => (slice[a] as number) - (slice[b] as number))
  for (const [below, above] of order.slice(1).map((index, place) => [order[place], index] as const))
    expect(pixels[above]).toBeGreaterThanOrEqual(pixels[below as number] as number)
  const [truth, predicted] = [/class="truth s1" [^>]*d="([^"]+)"/, /class="predicted s1" d="([^"]+)"/].map(
    (pattern) => pattern.exec(page)?.[1] as string,
  )
  expect([covers(truth as string, 8, 13.5), covers(predicted as string, 8, 13.5)]).toEqual([false, true])
})

test('without the image the outlines alone are shown; without a reference the reason', async () => {
  const { run } = await makeRun('moved', { bad: { prediction: truthAt } })
  const page = await report(run)
  expect(pngsOf(page)).toEqual([])
  expect(page).toContain('The image was not found: give its root with --raw.')
  expect(page).toContain('class="truth s1"')
  rmSync(path.join(root, 'moved/references/bad.nii.gz'))
  expect(await report(run)).toMatch(/No picture: .*bad\.nii\.gz: expected a readable/)
})

test('regions have outlines of their own, and what is not annotated is veiled and judged by nobody', async () => {
  const sparse = (index: number) => (at(index).z === 2 || at(index).x > 13 ? 3 : truthAt(index))
  const { run, raw } = await makeRun(
    'regions',
    // Differs most where nothing is annotated.
    { bad: { truth: sparse, prediction: (index) => (at(index).z === 2 ? 0 : at(index).z === 5 ? 1 : truthAt(index)) } },
    {
      labels: { background: 0, whole: [1, 2], back: 2, ignore: 3 },
      datasetJson: { regions_class_order: [1, 2] },
      validation: { bad: { '(1, 2)': 0.25, '2': 0.75 } },
    },
  )
  const page = await report(run, raw)
  expect(page).toContain('Slice 6 of 6')
  expect(page).toContain('not annotated')
  const whole = /class="truth s1" [^>]*d="([^"]+)"/.exec(page)?.[1] as string
  // The region covers both labels.
  expect([covers(whole, 8, 7.5), covers(whole, 8, 13.5), covers(whole, 1.5, 1.5)]).toEqual([true, true, false])
  expect(page).toMatch(/whole 0\.250.*back 0\.750/s)
})

test('a 2D picture in color keeps its colors', async () => {
  const folder = path.join(root, 'color')
  const raw = path.join(folder, 'raw', dataset)
  for (const part of ['imagesTr', 'labelsTr']) mkdirSync(path.join(raw, part), { recursive: true })
  const run = writeRunFixture(path.join(folder, 'model'), {
    dataset,
    labels: { background: 0, spot: 1 },
    datasetJson: { channel_names: { 0: 'R', 1: 'G', 2: 'B' }, file_ending: '.png' },
    options: { configuration: '2d' },
    validation: { bad: { '1': 0.5 } },
  })
  writeFileSync(
    path.join(folder, 'model/plans.json'),
    JSON.stringify({
      dataset_name: dataset,
      plans_name: 'nnUNetPlans',
      image_reader_writer: 'NaturalImage2DIO',
      transpose_forward: [0, 1, 2],
      transpose_backward: [0, 1, 2],
      configurations: {},
    }),
  )
  const [width, height] = [20, 14]
  const colors = Uint8Array.from({ length: width * height * 3 }, (_, index) => (index % 3 === 0 ? 255 : index % 256))
  const spot = Uint8Array.from({ length: width * height }, (_, index) => Number(index % width > 10))
  writeFileSync(path.join(raw, 'imagesTr/bad_0000.png'), encode({ width, height, data: colors, channels: 3, depth: 8 }))
  const label = encode({ width, height, data: spot, channels: 1, depth: 8 })
  writeFileSync(path.join(run, 'validation/bad.png'), label)
  mkdirSync(path.join(folder, 'references'))
  writeFileSync(path.join(folder, 'references/bad.png'), label)
  const summary = path.join(run, 'validation/summary.json')
  const moved = readFileSync(summary, 'utf8')
    .replace('/nowhere/', `${folder}/references/`)
    .replaceAll('.nii.gz', '.png')
  writeFileSync(summary, moved)
  const page = await report(run, path.dirname(raw))
  const [png] = pngsOf(page)
  expect(png).toMatchObject({ width, height, channels: 3 })
  // Half a percent at each end of the scale is cut off.
  const furthest = colors.map((value, index) => Math.abs(value - (png?.data[index] as number)))
  expect(Math.max(...furthest)).toBeLessThanOrEqual(4)
  expect(page).not.toContain('along z')
})

test('large slices are shrunk, so that the page stays small', async () => {
  expect(voxels).toBe(1920)
  const { run, raw } = await makeRun('large', { bad: { prediction: truthAt } })
  const wide: [number, number, number] = [1, 700, 900]
  const values = (index: number) => Number(Math.hypot((index % 900) - 450, index / 900 - 350) < 300)
  for (const file of [path.join(run, 'validation/bad.nii.gz'), path.join(root, 'large/references/bad.nii.gz')])
    await writeVolume(file, { shape: wide, values }, 'label')
  await writeVolume(path.join(raw, dataset, 'imagesTr/bad_0000.nii.gz'), { shape: wide, values: noiseAt }, 'image')
  const page = await report(run, raw)
  const [png] = pngsOf(page)
  expect(Math.max(png?.width as number, png?.height as number)).toBeLessThanOrEqual(288)
  expect(page.length).toBeLessThan(250_000)
})
