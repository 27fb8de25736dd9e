// The chain as a whole: order of the transforms, addressed randomness, the configurations without a z axis.
import { describe, expect, it } from 'vitest'
import type { AugmentationConfig, NativeTensor } from '../../src/native/binding.js'
import { columns, type Draws, da5Config, defaultConfig, flatten, only } from './default-config.js'
import { callOp, callOp1, difference } from './op.js'

const tensor = (shape: number[], value: (i: number) => number): NativeTensor => ({
  data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => value(i)),
  shape,
})
const labels = (shape: number[]): NativeTensor => {
  const { data } = tensor(shape, (i) => (Math.floor(i / 7) % 4) - 1)
  return { data: Int16Array.from(data as Float32Array), shape }
}
const initial = [14, 16, 12]
const patch = [8, 10, 7]
const image = tensor([2, ...initial], (i) => Math.sin(i * 0.7) + Math.cos(i * 0.013))
const segmentation = labels(initial)

const everything = only(defaultConfig, {
  rotationProbability: 1,
  scalingProbability: 1,
  noiseProbability: 1,
  blurProbability: 1,
  brightnessProbability: 1,
  contrastProbability: 1,
  lowResolutionProbability: 1,
  gammaInvertedProbability: 1,
  gammaProbability: 1,
  mirrorAxes: [0, 1, 2],
  maskImage: [true, false],
})

function augment(config: AugmentationConfig, seed: number, step: number, sample: number): NativeTensor[] {
  return callOp('augment', [image, segmentation, flatten(config), patch, seed, step, sample])
}

describe('the augmentation chain', () => {
  it('applies the transforms in nnU-Net order with the drawn parameters', () => {
    const draws = columns(callOp1('draw_augmentation', [flatten(everything), patch, 2, 5, 0, 6, 1]), 2)
    for (let step = 0; step < 6; step++) {
      const at = (column: number[] | undefined) => column?.[step] as number
      let [x, y] = callOp('spatial', [
        image,
        segmentation,
        false,
        false,
        draws.angles.map(at),
        draws.scales.map(at),
        patch,
        false,
        false,
      ]) as [NativeTensor, NativeTensor]
      x = callOp1('gaussian_noise_', [x, at(draws.noise), 5, step, 1])
      const each = (apply: (x: NativeTensor, c: number, p: Draws['channels'][number]) => NativeTensor) => {
        for (const [c, parameters] of draws.channels.entries()) x = apply(x, c, parameters)
      }
      each((x, c, p) => (at(p.sigmas[0]) ? callOp1('gaussian_blur_', [x, c, p.sigmas.map(at)]) : x))
      each((x, c, p) => callOp1('brightness_', [x, c, at(p.brightness)]))
      each((x, c, p) => callOp1('contrast_', [x, c, at(p.contrast), true]))
      each((x, c, p) => (at(p.lowResolution) ? callOp1('low_resolution_', [x, c, at(p.lowResolution), false]) : x))
      each((x, c, p) => callOp1('gamma_', [x, c, at(p.gammaInverted), true]))
      each((x, c, p) => callOp1('gamma_', [x, c, at(p.gamma), false]))
      const axes = [0, 1, 2].filter((axis) => at(draws.mirror[axis]))
      ;[x, y] = callOp('mirror', [x, y, axes]) as [NativeTensor, NativeTensor]
      x = callOp1('mask_image_', [x, y, [1, 0]])
      y = callOp1('remove_label_', [y])
      const [imageOut, segmentationOut] = augment(everything, 5, step, 1) as [NativeTensor, NativeTensor]
      expect(difference(imageOut, x).count).toBe(0)
      expect(difference(segmentationOut, y).count).toBe(0)
    }
  })

  it('applies the transforms of DA5 in nnU-Net order with the drawn parameters', () => {
    const config = only(da5Config, {
      rotationProbability: 1,
      scalingProbability: 1,
      quarterTurnProbability: 1,
      transposeProbability: 1,
      blurProbability: 0.5,
      medianFilterProbability: 0.5,
      noiseProbability: 1,
      additiveBrightnessProbability: 1,
      contrastProbability: 0.5,
      unclampedContrastProbability: 0.5,
      lowResolutionProbability: 1,
      gammaInvertedProbability: 1,
      secondGammaInvertedProbability: 1,
      blankRectangleProbability: 1,
      blankRectangleCount: [1, 1],
      brightnessGradientProbability: 1,
      localGammaProbability: 1,
      sharpeningProbability: 1,
      mirrorAxes: [0, 1, 2],
      maskImage: [true, false],
    })
    const cube = [9, 8, 9]
    const steps = 12
    const draws = columns(callOp1('draw_augmentation', [flatten(config), cube, 2, 5, 0, steps, 1]), 2)
    for (let step = 0; step < steps; step++) {
      const at = (column: number[] | undefined) => column?.[step] as number
      let [x, y] = callOp('spatial', [
        image,
        segmentation,
        false,
        false,
        draws.angles.map(at),
        draws.scales.map(at),
        cube,
        false,
        false,
      ]) as [NativeTensor, NativeTensor]
      ;[x, y] = callOp('quarter_turn', [x, y, at(draws.turns), draws.plane.map(at)]) as [NativeTensor, NativeTensor]
      ;[x, y] = callOp('transpose', [x, y, draws.order.map(at)]) as [NativeTensor, NativeTensor]
      const each = (name: string, select: (p: Draws['channels'][number]) => (number | boolean | number[])[]) => {
        for (const [c, parameters] of draws.channels.entries()) {
          const [first, ...rest] = select(parameters)
          if (Array.isArray(first) ? first[0] : first) x = callOp1(name, [x, c, first as number, ...rest])
        }
      }
      each('median_filter_', (p) => [at(p.median)])
      each('gaussian_blur_', (p) => [p.sigmas.map(at)])
      x = callOp1('gaussian_noise_', [x, at(draws.noise), 5, step, 1])
      each('additive_brightness_', (p) => [at(p.additiveBrightness)])
      each('contrast_', (p) => [at(p.contrast), at(draws.contrastClamped) === 1])
      each('low_resolution_', (p) => [at(p.lowResolution), false])
      each('gamma_', (p) => [at(p.gammaInverted), true])
      each('gamma_', (p) => [at(p.secondGammaInverted), true])
      const axes = [0, 1, 2].filter((axis) => at(draws.mirror[axis]))
      ;[x, y] = callOp('mirror', [x, y, axes]) as [NativeTensor, NativeTensor]
      for (const [c, p] of draws.channels.entries()) {
        if (at(p.rectangles) === 0) continue
        x = callOp1('blank_rectangle_', [x, c, p.rectangleStart.map(at), p.rectangleExtent.map(at)])
      }
      each('brightness_gradient_', (p) => [at(p.gradient), p.gradientCenter.map(at), p.gradientWidth.map(at)])
      each('local_gamma_', (p) => [at(p.localGamma), p.localGammaCenter.map(at), p.localGammaWidth.map(at)])
      each('sharpening_', (p) => [at(p.sharpening)])
      x = callOp1('mask_image_', [x, y, [1, 0]])
      y = callOp1('remove_label_', [y])
      const [imageOut, segmentationOut] = callOp('augment', [
        image,
        segmentation,
        flatten(config),
        cube,
        5,
        step,
        1,
      ]) as [NativeTensor, NativeTensor]
      expect(difference(imageOut, x).count).toBe(0)
      expect(difference(segmentationOut, y).count).toBe(0)
    }
  })

  it('gives the same for the same address and other numbers for another', () => {
    const [reference] = augment(everything, 5, 100, 1) as [NativeTensor]
    expect(difference((augment(everything, 5, 100, 1) as [NativeTensor])[0], reference).count).toBe(0)
    for (const [seed, step, sample] of [
      [6, 100, 1],
      [5, 101, 1],
      [5, 100, 2],
      [5 + 2 ** 40, 100, 1],
      [5, 100 + 2 ** 40, 1],
    ] as const) {
      expect(
        difference((augment(everything, seed, step, sample) as [NativeTensor])[0], reference).count,
      ).toBeGreaterThan(500)
    }
  })

  it('only crops and removes label -1 when it is off', () => {
    const [cropped, target] = augment({ ...everything, enabled: false }, 5, 0, 0) as [NativeTensor, NativeTensor]
    const [expected, labels] = callOp('spatial', [
      image,
      segmentation,
      true,
      false,
      [0, 0, 0],
      [1, 1, 1],
      patch,
      false,
      false,
    ])
    expect(difference(cropped, expected as NativeTensor).count).toBe(0)
    expect(difference(target, callOp1('remove_label_', [labels as NativeTensor])).count).toBe(0)
  })

  it.each([
    ['2D', [20, 18], [12, 9], { mirrorAxes: [0, 1] }],
    ['dummy 2D', [4, 20, 18], [4, 12, 9], { dummy2d: true }],
    ['2D, DA5', [30, 27], [12, 12], da5Config],
    ['dummy 2D, DA5', [6, 40, 40], [6, 20, 20], { ...da5Config, dummy2d: true }],
  ] as const)('runs on %s samples', (_, from, to, change) => {
    const config: AugmentationConfig = { ...everything, ...change, mirrorAxes: from.map((_, axis) => axis) }
    const input = tensor([2, ...from], (i) => Math.sin(i))
    for (let step = 0; step < 10; step++) {
      const arguments_ = [input, labels([...from]), flatten(config), [...to], 1, step, 3]
      const [x, y] = callOp('augment', arguments_) as NativeTensor[]
      expect(x?.shape).toEqual([2, ...to])
      expect(y?.shape).toEqual([...to])
      expect(Array.from(x?.data as Float32Array).every(Number.isFinite)).toBe(true)
    }
  })
})
