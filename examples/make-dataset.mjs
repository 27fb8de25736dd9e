// Makes the demo's dataset: MR-like volumes with a curved structure in two touching parts, in nnU-Net's raw layout.
//   node examples/make-dataset.mjs RAW_FOLDER [--seed 1] [--cases 24]
// Every case has its own pose, size, contrast, noise, bias field, extents and voxel size; the same seed gives the same
// voxels. Also written: 4 images for prediction with their labels (imagesTs, labelsTs).
import { existsSync } from 'node:fs'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { writeSegmentation } from '../dist/dataset/image.js'
import { writeNifti } from '../dist/dataset/nifti.js'
import { headerFromItk } from '../dist/dataset/nifti-geometry.js'

const name = 'Dataset501_Demo'
const labels = { background: 0, Anterior: 1, Posterior: 2 }
const testCases = 4

/** Random numbers of one case: uniform in [0, 1), the same for the same seed and case (splitmix32). */
function randomOf(seed, index) {
  let state = (Math.imul(seed, 0x9e3779b1) + Math.imul(index + 1, 0x85ebca6b)) | 0
  return () => {
    state = (state + 0x9e3779b9) | 0
    let bits = state ^ (state >>> 16)
    bits = Math.imul(bits, 0x21f0aaad)
    bits = Math.imul(bits ^ (bits >>> 15), 0x735a2d97)
    return ((bits ^ (bits >>> 15)) >>> 0) / 2 ** 32
  }
}

/** Normal numbers by the method of Box and Muller. */
const normalOf = (random) => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())

/** A smooth random function of space: waves in random directions, with variance 1. */
function smoothField(random, wavelength, waves) {
  const terms = Array.from({ length: waves }, () => {
    const direction = [normalOf(random), normalOf(random), normalOf(random)]
    const frequency = ((2 * Math.PI) / wavelength) * (0.7 + 0.6 * random())
    const scale = frequency / Math.hypot(...direction)
    return [...direction.map((value) => value * scale), 2 * Math.PI * random()]
  })
  const amplitude = Math.sqrt(2 / waves)
  return (x, y, z) =>
    amplitude * terms.reduce((sum, [kx, ky, kz, phase]) => sum + Math.cos(kx * x + ky * y + kz * z + phase), 0)
}

/** Columns of a rotation about x, y and z in turn. */
function rotation([a, b, c]) {
  const [sa, ca, sb, cb, sc, cc] = [a, b, c].flatMap((angle) => [Math.sin(angle), Math.cos(angle)])
  return [
    [cb * cc, sa * sb * cc - ca * sc, ca * sb * cc + sa * sc],
    [cb * sc, sa * sb * sc + ca * cc, ca * sb * sc - sa * cc],
    [-sb, sa * cb, ca * cb],
  ]
}

/** The structure: balls of varying radius along an arch, from the thick anterior end (0) to the thin posterior one (1). */
function makeStructure(random) {
  const between = (low, high) => low + (high - low) * random()
  const size = between(0.88, 1.12)
  const turn = rotation([between(-0.25, 0.25), between(-0.25, 0.25), between(-0.25, 0.25)])
  const shift = [between(-2, 2), between(-2.5, 2.5), between(-2, 2)]
  const bend = between(3, 7)
  const rise = between(7, 12)
  const headRadius = between(1.6, 2.6)
  const bodyRadius = between(4.4, 5.4)
  const points = Array.from({ length: 33 }, (_, i) => {
    const s = i / 32
    const local = [bend * Math.sin(Math.PI * s) - bend / 2, 16 - 32 * s, rise * s ** 1.4 - rise / 2]
    const [x, y, z] = turn.map(
      (row, axis) => size * row.reduce((sum, value, j) => sum + value * local[j], 0) + shift[axis],
    )
    const radius = size * (bodyRadius - s + headRadius * Math.exp(-(((s - 0.16) / 0.17) ** 2)))
    return { s, x, y, z, radius }
  })
  return {
    /** Where the anterior part ends: behind its bulge. */
    border: 0.34,
    /** Signed distance to the surface (negative inside), place along the arch, and how far above its middle line. */
    at(x, y, z) {
      let distance = Number.POSITIVE_INFINITY
      let nearest = points[0]
      for (const point of points) {
        const found = Math.hypot(x - point.x, y - point.y, z - point.z) - point.radius
        if (found < distance) {
          distance = found
          nearest = point
        }
      }
      return { distance, s: nearest.s, above: (z - nearest.z) / (distance + nearest.radius) }
    },
  }
}

/** 1 inside, 0 outside, and the share of a voxel where its edge lies between: partial volume. */
const share = (distance, voxel) => Math.min(Math.max(0.5 - distance / voxel, 0), 1)
const mix = (below, above, weight) => below + (above - below) * weight

/** Draws one case. Returns int16 intensities and labels in file order (x fastest) and its grid. */
function makeCase(random) {
  const between = (low, high) => low + (high - low) * random()
  const spacing = [between(1, 1.2), between(1, 1.2), between(1.05, 1.25)].map((value) => Math.round(value * 100) / 100)
  const [nx, ny, nz] = [28, 43, 28].map((extent) => extent + Math.floor(between(0, 5)))
  const structure = makeStructure(random)
  const folds = smoothField(random, 22, 10)
  const texture = smoothField(random, 5, 8)
  const ripple = smoothField(random, 11, 8)
  const bias = smoothField(random, 90, 4)
  const tissue = { fluid: between(0.08, 0.16), gray: between(0.6, 0.68), white: between(0.8, 0.95) }
  // Darker than cortex, the thin posterior part more so.
  const ownGray = { anterior: between(0.38, 0.42), posterior: between(0.27, 0.31) }
  const stem = { x: between(14, 17), y: between(2, 8), z: between(-4, 4), radius: between(9, 11) }
  const biasStrength = between(0.05, 0.15)
  const noise = between(0.025, 0.05)
  const scale = 10 ** between(2.2, 3.2)
  const voxel = (spacing[0] + spacing[1] + spacing[2]) / 3

  const image = new Int16Array(nx * ny * nz)
  const label = new Uint8Array(nx * ny * nz)
  for (let index = 0, k = 0; k < nz; k++) {
    for (let j = 0; j < ny; j++) {
      for (let i = 0; i < nx; i++, index++) {
        const x = (i - (nx - 1) / 2) * spacing[0]
        const y = (j - (ny - 1) / 2) * spacing[1]
        const z = (k - (nz - 1) / 2) * spacing[2]
        const found = structure.at(x, y, z)
        const uneven = ripple(x, y, z)
        const distance = found.distance + 0.5 * uneven

        // Folded cortex: bands of gray along a smooth surface, here and there fluid in their middle, white matter between.
        const fold = Math.abs(folds(x, y, z) + 0.12 * uneven)
        const grain = texture(x, y, z)
        let value = mix(tissue.white + 0.03 * grain, tissue.gray + 0.04 * grain, share(fold - 0.75, 0.35))
        value = mix(value, tissue.fluid, share(fold - 0.1 - 0.1 * uneven, 0.25))
        const toStem = Math.hypot(x - stem.x, y - stem.y, (z - stem.z) * 0.8) - stem.radius + 0.8 * uneven
        value = mix(value, tissue.fluid, share(Math.abs(toStem) - 0.7 - 0.6 * uneven, 1.5 * voxel))
        value = mix(value, tissue.white * 0.92 + 0.03 * grain, share(toStem + 1, 1.5 * voxel))
        // A rim of white matter around the structure, with a cleft of fluid above it.
        value = mix(value, tissue.white, 0.8 * share(distance - 1.3 - uneven, 1.5 * voxel))
        value = mix(
          value,
          tissue.fluid,
          share(distance - 1.2 - 0.5 * uneven, 1.5 * voxel) * share(0.45 - found.above, 0.5),
        )
        const own = mix(ownGray.posterior, ownGray.anterior, share(found.s - structure.border, 0.1))
        value = mix(value, own + 0.03 * grain, share(distance, 1.3 * voxel))

        const real = value * Math.exp(biasStrength * bias(x, y, z)) + noise * normalOf(random)
        const imaginary = noise * normalOf(random)
        image[index] = Math.round(scale * Math.hypot(real, imaginary))
        if (distance < 0) label[index] = found.s < structure.border ? labels.Anterior : labels.Posterior
      }
    }
  }
  const origin = [-(nx - 1) / 2, -(ny - 1) / 2, -(nz - 1) / 2].map((value, axis) => value * spacing[axis])
  return { image, label, shape: [nz, ny, nx], geometry: { spacing, origin, direction: [1, 0, 0, 0, 1, 0, 0, 0, 1] } }
}

async function writeCase(folder, part, id, { image, label, shape, geometry }) {
  await writeNifti(path.join(folder, `images${part}`, `${id}_0000.nii.gz`), headerFromItk(geometry, shape), image)
  const grid = { geometry: { sitk_stuff: geometry }, spacing: geometry.spacing.toReversed() }
  await writeSegmentation(path.join(folder, `labels${part}`, `${id}.nii.gz`), label, shape, grid)
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { seed: { type: 'string', default: '1' }, cases: { type: 'string', default: '24' } },
  })
  const [raw] = positionals
  const [seed, cases] = [Number(values.seed), Number(values.cases)]
  if (positionals.length !== 1 || !Number.isInteger(seed) || !Number.isInteger(cases) || cases < 5) {
    throw new Error('usage: node examples/make-dataset.mjs RAW_FOLDER [--seed NUMBER] [--cases NUMBER (5 or more)]')
  }
  const target = path.join(raw, name)
  if (existsSync(target)) throw new Error(`${target} is already there; remove it first`)
  const unfinished = `${target}.unfinished`
  await rm(unfinished, { recursive: true, force: true })
  await mkdir(unfinished, { recursive: true })
  for (let index = 0; index < cases + testCases; index++) {
    const isTest = index >= cases
    const id = `demo_${String(index + 1).padStart(3, '0')}`
    await writeCase(unfinished, isTest ? 'Ts' : 'Tr', id, makeCase(randomOf(seed, index)))
  }
  const content = { channel_names: { 0: 'MRI' }, labels, numTraining: cases, file_ending: '.nii.gz' }
  await writeFile(path.join(unfinished, 'dataset.json'), JSON.stringify(content, null, 4))
  await rename(unfinished, target)
  console.log(`${target}: ${cases} training and ${testCases} test cases`)
}

try {
  await main()
} catch (error) {
  console.error(`make-dataset: ${error.message}`)
  process.exitCode = 2
}
