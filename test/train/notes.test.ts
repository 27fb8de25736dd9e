// Remarks that a run makes once: a validation loss that rises, memory that grows, slow data; and the watchdog's patience.
import { describe, expect, test } from 'vitest'
import { emptyLogging } from '../../src/train/checkpoint.js'
import type { EpochLine } from '../../src/train/events.js'
import { noteGrowingMemory, noteRisingValLoss, noteSlowData } from '../../src/train/notes.js'
import { type Section, Watchdog } from '../../src/train/watchdog.js'

const epochs = <Value>(count: number, value: (epoch: number) => Value) =>
  Array.from({ length: count }, (_, i) => value(i))

describe('a validation loss', () => {
  const note = (loss: (epoch: number) => number, dice: (epoch: number) => number, count = 60) =>
    noteRisingValLoss({ ...emptyLogging(), val_losses: epochs(count, loss), ema_fg_dice: epochs(count, dice) })
  const rising = (epoch: number) => (epoch < 30 ? -0.8 : -0.8 + 0.004 * (epoch - 30))

  test('that rises while the Dice holds is explained with its numbers', () => {
    expect(note(rising, () => 0.85)?.text).toMatch(/from -0\.800 .* to -0\.\d+, while the pseudo-Dice holds \(0\.850/)
  })

  test.each([
    ['falls', (epoch: number) => -0.01 * epoch, () => 0.85, 60],
    ['scatters', (epoch: number) => -0.8 + 0.01 * (epoch % 2), () => 0.85, 60],
    ['rose only just now', (epoch: number) => (epoch < 55 ? -0.8 : -0.7), () => 0.85, 60],
    ['rises with a Dice that falls', rising, (epoch: number) => 0.9 - 0.002 * epoch, 60],
    ['has few epochs', rising, () => 0.85, 4],
    ['has no values', () => Number.NaN, () => Number.NaN, 60],
  ])('that %s is not', (_, loss, dice, count) => expect(note(loss, dice, count)).toBeNull())
})

const line = (changes: { resident?: number; dataMs?: number }): EpochLine => ({
  type: 'epoch',
  epoch: 0,
  step: 10,
  lr: 0.01,
  train_loss: 0,
  val_loss: 0,
  dice_per_class: [],
  mean_fg_dice: null,
  ema_fg_dice: null,
  seconds: 1,
  step_ms: { p50: 100, p95: 120 },
  data_ms: { p50: changes.dataMs ?? 10, p95: 100 },
  skipped_steps: 0,
  memory: {
    resident_bytes: (changes.resident ?? 1000) * 2 ** 20,
    peak_resident_bytes: 0,
    device_bytes: null,
    peak_device_bytes: null,
  },
  file_descriptors: 20,
  threads: 10,
})

describe('resident memory', () => {
  const note = (resident: (epoch: number) => number, count = 60) =>
    noteGrowingMemory(epochs(count, (epoch) => line({ resident: resident(epoch) })))

  test('that grows is reported with its rate', () => {
    expect(note((epoch) => 1000 + 10 * epoch)?.text).toMatch(
      /from 1000 MiB to 1400 MiB in 60 epochs \(10 MiB an epoch; 10 threads and 20 open files\)/,
    )
  })

  test.each([
    ['is level', () => 1000, 60],
    ['grows little', (epoch: number) => 1000 + epoch, 60],
    ['rose once', (epoch: number) => (epoch < 30 ? 1000 : 2000), 60],
    ['goes up and down', (epoch: number) => 1000 + 1000 * (epoch % 10), 60],
    ['is known for a few epochs', (epoch: number) => 1000 + 100 * epoch, 20],
  ])('that %s is not', (_, resident, count) => expect(note(resident, count)).toBeNull())
})

test('data that takes more than half of the step three times is reported', () => {
  const note = (...dataMs: number[]) => noteSlowData(dataMs.map((ms) => line({ dataMs: ms })))
  expect(note(10, 60, 70, 80)?.text).toMatch(/takes 80 of the 100 ms of a step/)
  expect(note(60, 70)).toBeNull()
  expect(note(60, 10, 70, 80)).toBeNull()
})

describe('the watchdog', () => {
  const wait = (watchdog: Watchdog, seconds: number, tick = 1) => {
    for (let waited = tick; waited <= seconds; waited += tick) {
      const found = watchdog.tick(tick)
      if (found) return { ...found, waited }
    }
    return null
  }
  const steps = (watchdog: Watchdog, secondsPerStep: number) => {
    for (let i = 0; i < 20; i++) {
      wait(watchdog, secondsPerStep)
      watchdog.alive('training')
    }
  }

  test.each<[Section, number]>([
    ['training', 60],
    ['validation', 60],
    ['saving', 600],
    ['prediction', 600],
    ['starting', 3600],
    ['following', 60],
  ])('calls %s a hang after %d s without a sign of life', (section, limit) => {
    const watchdog = new Watchdog()
    watchdog.alive(section)
    expect(wait(watchdog, 5000)).toEqual({ place: section, seconds: limit + 1, waited: limit + 1 })
  })

  test('names the case', () => {
    const watchdog = new Watchdog()
    watchdog.alive('prediction', 'box_1')
    expect(wait(watchdog, 5000)?.place).toBe('prediction of box_1')
  })

  test('waits 20 times the usual step', () => {
    const watchdog = new Watchdog()
    steps(watchdog, 10)
    expect(wait(watchdog, 5000)?.waited).toBe(201)
  })

  test("takes the run's own limit", () => {
    const watchdog = new Watchdog()
    watchdog.allow(5)
    watchdog.alive('training')
    expect(wait(watchdog, 100)?.waited).toBe(6)
  })

  test('counts little of a time in which this process stood still as well', () => {
    const watchdog = new Watchdog()
    watchdog.alive('training')
    expect(watchdog.tick(36_000)).toBeNull()
    expect(wait(watchdog, 50)).toBeNull()
  })
})
