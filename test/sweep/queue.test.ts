// The sweep's policy as tables: what begins next, what never can, and how long the queue takes.
import { describe, expect, test } from 'vitest'
import type { SweepRunState } from '../../src/sweep/events.js'
import { hopeless, nextStarts, queueSecondsLeft } from '../../src/sweep/queue.js'

/** `a finished`, or `c waiting < a b` for one that needs a and b. */
function run(text: string) {
  const [name = '', state, , ...needs] = text.split(' ')
  return { name, state: state as SweepRunState, needs }
}
const runs = (...texts: string[]) => texts.map(run)
const names = (found: { name: string }[]) => found.map(({ name }) => name).join('')

describe('what begins next', () => {
  test.each([
    ['in their order, as many as there is room for', runs('a waiting', 'b waiting', 'c waiting'), 2, 'ab'],
    ['nothing without a free device', runs('a waiting'), 0, ''],
    ['only what waits', runs('a finished', 'b running', 'c failed', 'd stopped', 'e blocked', 'f waiting'), 9, 'f'],
    ['not before all that it needs', runs('a finished', 'b running', 'c waiting < a b', 'd waiting'), 9, 'd'],
    ['after all that it needs', runs('a finished', 'b finished', 'c waiting < a b'), 9, 'c'],
    ['first what others wait for', runs('c waiting < a b', 'd waiting', 'a waiting', 'b waiting'), 2, 'ab'],
    ['what a run that is running needs is no reason', runs('b running < a', 'd waiting', 'a waiting'), 1, 'd'],
  ])('%s', (_, queue, free, expected) => {
    expect(names(nextStarts(queue, free))).toBe(expected)
  })
})

test.each([
  ['failed', 'c'],
  ['stopped', 'c'],
  ['blocked', 'c'],
  ['running', ''],
  ['finished', ''],
  ['waiting', ''],
])('with its need %s, of two runs these cannot begin: "%s"', (state, expected) => {
  const found = hopeless(runs('a finished', `b ${state}`, 'c waiting < a b', 'd waiting < a'))
  expect(names(found.map(({ run: one }) => one))).toBe(expected)
  for (const { because } of found) expect(because.name).toBe('b')
})

test('a cascade goes through the queue as it should, device by device', () => {
  const lowres = [0, 1, 2, 3, 4].map((fold) => `L${fold}`)
  const queue = [
    ...[0, 1, 2, 3, 4].map((fold) => run(`C${fold} waiting < ${lowres.join(' ')}`)),
    ...lowres.map((name) => run(`${name} waiting`)),
  ]
  const order: string[] = []
  for (let time = 0; queue.some(({ state }) => state !== 'finished'); time++) {
    const working = queue.filter(({ state }) => state === 'running')
    for (const one of nextStarts(queue, 2 - working.length)) {
      order.push(one.name)
      one.state = 'running'
    }
    expect(queue.filter(({ state }) => state === 'running').length).toBeLessThanOrEqual(2)
    // Runs end one at a time, the older one first.
    const [oldest] = order
      .map((name) => queue.find((one) => one.name === name))
      .filter((one) => one?.state === 'running')
    if (oldest) oldest.state = 'finished'
    expect(time).toBeLessThan(20)
  }
  expect(order.join(' ')).toBe('L0 L1 L2 L3 L4 C0 C1 C2 C3 C4')
})

describe('how long the queue takes', () => {
  const timed = (text: string, changes: object = {}) => ({
    ...run(text),
    dataset: 'D',
    configuration: '3d',
    step: 0,
    totalSteps: 100,
    secondsPerStep: null,
    secondsLeft: null,
    ...changes,
  })
  const training = (name: string, secondsLeft: number | null, changes: object = {}) =>
    timed(`${name} running`, { step: 50, secondsPerStep: 1, secondsLeft, ...changes })

  test.each([
    ['nothing is left', [timed('a finished')], 2, 0],
    ['nothing is known', [timed('a waiting')], 1, null],
    ['one that has just begun', [training('a', 50), timed('b running')], 2, 100],
    ['none has trained yet', [timed('a running'), timed('b waiting')], 2, null],
    ['the longest of those that train', [training('a', 50), training('b', 70)], 2, 70],
    ['two after each other', [training('a', 50), timed('b waiting')], 1, 150],
    ['the first free device', [training('a', 50), training('b', 70), timed('c waiting')], 2, 150],
    ['a need on the way', [training('a', 50), timed('b waiting < a'), timed('c waiting')], 2, 150],
    ['what is done of an interrupted one', [training('a', 50), timed('b waiting', { step: 90 })], 1, 60],
    [
      'each configuration at its own pace',
      [training('a', 50), timed('b waiting', { configuration: '2d', secondsPerStep: 0.1 }), timed('c waiting')],
      1,
      50 + 10 + 100,
    ],
  ])('%s', (_, queue, devices, expected) => {
    expect(queueSecondsLeft(queue, devices)).toBe(expected)
  })
})
