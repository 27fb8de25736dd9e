// FLOP, parameters, bytes and least times of eight plans against a stand-alone calculator (goldens/make_roofline.py).
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import {
  arithmeticOf,
  keptBytes,
  layersOf,
  parameterCount,
  rooflineOf,
  trafficModels,
} from '../../src/bench/roofline.js'

interface GoldenPlan {
  name: string
  patch: number[]
  batch: number
  features: number[]
  strides: number[][]
  kernels: number[][]
  encoder: number[]
  decoder: number[]
  channels: number
  classes: number
  residual: boolean
  forward_flop: number
  step_flop: number
  parameters: number
  models: Record<
    (typeof trafficModels)[number],
    { bytes: number; kept_bytes: number; seconds: Record<string, number>; float32_seconds: number }
  >
}
const golden = JSON.parse(readFileSync(new URL('../goldens/roofline.json', import.meta.url), 'utf8')) as {
  hardware: Record<string, [number, number]>
  plans: GoldenPlan[]
}

const planOf = (plan: GoldenPlan) => ({
  network: {
    architecture: plan.residual ? ('ResidualEncoderUNet' as const) : ('PlainConvUNet' as const),
    inputChannels: plan.channels,
    outputChannels: plan.classes,
    featuresPerStage: plan.features,
    kernelSizes: plan.kernels,
    strides: plan.strides,
    convsPerStage: plan.encoder,
    convsPerStageDecoder: plan.decoder,
    convBias: true,
  },
  patchSize: plan.patch,
  batchSize: plan.batch,
})

test('there are eight plans', () => expect(golden.plans).toHaveLength(8))

test.each(golden.plans)('$name: FLOP and parameters are equal', (expected) => {
  const layers = layersOf(planOf(expected))
  expect(arithmeticOf(layers)).toEqual({ forwardFlop: expected.forward_flop, stepFlop: expected.step_flop })
  expect(parameterCount(layers)).toBe(expected.parameters)
})

test.each(golden.plans.flatMap((plan) => trafficModels.map((model) => [plan.name, model, plan] as const)))(
  '%s, %s: bytes are equal, least times to rounding',
  (_, model, expected) => {
    const plan = planOf(expected)
    const { bytes, kept_bytes, seconds, float32_seconds } = expected.models[model]
    expect(keptBytes(layersOf(plan), model, 2)).toBe(kept_bytes)
    for (const [name, [flopPerSecond, bytesPerSecond]] of Object.entries(golden.hardware)) {
      const roofline = rooflineOf(plan, model, { flopPerSecond, bytesPerSecond }, 2)
      expect(roofline.bytes).toBe(bytes)
      expect(roofline.seconds / (seconds[name] ?? Number.NaN)).toBeCloseTo(1, 12)
    }
    const limits = { flopPerSecond: 166e9, bytesPerSecond: 20e9 }
    expect(rooflineOf(plan, model, limits, 4).seconds / float32_seconds).toBeCloseTo(1, 12)
  },
)

test('the parts of the least time bound the whole', () => {
  const plan = planOf(golden.plans[0] as GoldenPlan)
  const { seconds, arithmeticSeconds, trafficSeconds } = rooflineOf(
    plan,
    'fused',
    { flopPerSecond: 1e12, bytesPerSecond: 1e12 },
    2,
  )
  expect(seconds).toBeGreaterThanOrEqual(arithmeticSeconds + trafficSeconds)
  expect(arithmeticSeconds).toBeCloseTo((golden.plans[0] as GoldenPlan).step_flop / 1e12, 10)
})
