// Segmentations of every file type as nnU-Net's readers read what voxgrad wrote, and the geometry in NIfTI headers as
// SimpleITK writes it. VOXGRAD_PEER_PYTHON names a Python that has nnunetv2.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { writeSegmentation } from '../../src/dataset/image.js'
import { headerFromItk, type ItkGeometry } from '../../src/dataset/nifti-geometry.js'
import type { ReaderName } from '../../src/dataset/readers.js'
import { isThere, python } from './nnunet.js'

if (!isThere) console.log('image parity skipped: VOXGRAD_PEER_PYTHON names no Python with nnunetv2')

const [cos, sin] = [Math.cos(0.3), Math.sin(0.3)]
const volume = {
  shape: [5, 6, 7] as [number, number, number],
  spacing: [2.5, 0.75, 0.5],
  itk: { spacing: [0.5, 0.75, 2.5], origin: [-30.25, 12.5, 7], direction: [cos, -sin, 0, sin, cos, 0, 0, 0, -1] },
}
const slice = {
  shape: [1, 9, 8] as [number, number, number],
  spacing: [0.75 * 999, 0.75, 0.5],
  itk: { spacing: [0.5, 0.75], origin: [-30.25, 12.5], direction: [cos, -sin, sin, cos] },
}

const kinds: [ReaderName, string, typeof volume | typeof slice][] = [
  ...['.nii.gz', '.nrrd', '.mha', '.mhd'].flatMap((ending): [ReaderName, string, typeof volume | typeof slice][] => [
    ['SimpleITKIO', ending, volume],
    ['SimpleITKIO', ending, slice],
  ]),
  ['Tiff3DIO', '.tif', volume],
  ['Tiff3DIO', '.tiff', { ...volume, shape: [1, 6, 7] }],
  ...['.png', '.bmp', '.tif'].map((ending): [ReaderName, string, typeof slice] => ['NaturalImage2DIO', ending, slice]),
]

function linesOf(...args: string[]): string[] {
  const script = fileURLToPath(new URL('images.py', import.meta.url))
  const { status, stdout, stderr } = spawnSync(python, [script, ...args], { encoding: 'utf8', maxBuffer: 2 ** 24 })
  expect(status, stderr).toBe(0)
  return stdout.split('\n').filter((line) => line.startsWith('{'))
}

test.skipIf(!isThere)("NIfTI headers hold SimpleITK's geometry to the bit", { timeout: 300_000 }, () => {
  const lines = linesOf('--headers', '600')
  expect(lines).toHaveLength(600)
  for (const line of lines) {
    const { grid, header } = JSON.parse(line) as { grid: ItkGeometry; header: Record<string, number[]> }
    const { pixdim, quaternion, qformOffset, sform } = headerFromItk(grid, [2, 2, 2])
    const found = { pixdim: pixdim.slice(0, 4), quaternion, offset: qformOffset, sform: sform.flat() }
    for (const [name, values] of Object.entries(found)) expect(values.map(Math.fround), name).toEqual(header[name])
  }
})

test.skipIf(!isThere)('nnU-Net reads every file type that voxgrad writes', { timeout: 300_000 }, async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'voxgrad-images-'))
  try {
    const written = kinds.flatMap(([reader, ending, grid], index) =>
      [2, 300].map((largest) => ({ reader, grid, largest, file: path.join(folder, `${index}_${largest}${ending}`) })),
    )
    const possible = written.filter(({ file, largest }) => largest < 255 || !file.endsWith('.bmp'))
    const labelsOf = ({ grid, largest }: (typeof written)[number]) =>
      Uint16Array.from({ length: grid.shape.reduce((a, b) => a * b, 1) }, (_, i) => (i * 7) % (largest + 1))
    for (const one of possible) {
      const geometry = one.reader === 'SimpleITKIO' ? { sitk_stuff: one.grid.itk } : {}
      const { spacing, shape } = one.grid
      await writeSegmentation(one.file, labelsOf(one), shape, { geometry, spacing }, one.reader)
    }
    const lines = linesOf(...possible.flatMap(({ reader, file }) => [reader, file]))
    expect(lines.length).toBe(possible.length)
    for (const [index, line] of lines.entries()) {
      const one = possible[index] as (typeof possible)[number]
      const name = `${one.reader} ${path.basename(one.file)}`
      const found = JSON.parse(line)
      expect(found.shape, name).toEqual(one.grid.shape)
      expect(found.labels, name).toEqual([...labelsOf(one)])
      const spacing = one.reader === 'NaturalImage2DIO' ? [999, 1, 1] : one.grid.spacing
      for (const [axis, value] of spacing.entries()) expect(found.spacing[axis], name).toBeCloseTo(value, 6)
      if (one.reader !== 'SimpleITKIO') continue
      for (const [key, values] of Object.entries(one.grid.itk)) {
        // NIfTI keeps float32.
        for (const [i, value] of values.entries())
          expect(found.geometry[key][i], `${name} ${key}`).toBeCloseTo(value, 6)
      }
    }
    console.log(`${lines.length} files equal`)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
