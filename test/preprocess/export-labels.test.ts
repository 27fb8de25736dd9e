// The way of logits to labels, of regions and for the next stage of a cascade, against nnU-Net (test/goldens/make_labels.py).
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, expect, test } from 'vitest'
import type { NativeImage } from '../../src/native/binding.js'
import { native } from '../../src/native/load.js'
import { readNpz } from '../npz.js'

const arrays = readNpz(new URL('../goldens/labels.npz', import.meta.url).pathname)
const folder = mkdtempSync(path.join(tmpdir(), 'voxgrad-labels-'))
afterAll(() => rmSync(folder, { recursive: true }))

test.each([
  ['regions', [1, 2, 3]],
  ['classes', null],
] as const)('%s', async (name, regionLabels) => {
  const job = {
    logits: arrays[`export/${name}/logits`] as unknown as NativeImage,
    properties: {
      spacing: [1, 2, 1],
      shapeBeforeCropping: [8, 10, 11],
      boundingBox: [
        [0, 8],
        [1, 10],
        [2, 11],
      ] as [number, number][],
      shapeAfterCropping: [8, 9, 9],
    },
    targetSpacing: [2, 1.5, 1.5],
    transposeForward: [1, 0, 2],
    resampling: { isSegmentation: false, order: 1, orderZ: 0, forceSeparateZ: null },
    regionLabels: regionLabels && [...regionLabels],
  }
  const { labels, shape } = await native().exportSegmentation(job)
  const expected = arrays[`export/${name}`] as unknown as { data: Uint8Array; shape: number[] }
  expect(shape).toEqual(expected.shape)
  expect(labels).toEqual(expected.data)

  const file = path.join(folder, `${name}.b2nd`)
  await native().exportNextStage({ ...job, nextSpacing: [1.6, 0.82, 1], patchSize: [8, 8, 8], file })
  const next = arrays[`next/${name}`] as unknown as { data: Uint8Array; shape: number[] }
  const found = await native().readBlosc2(file)
  expect(found.shape).toEqual(next.shape)
  expect(found.data).toEqual(next.data)
})
