// The store where ranks meet, in Node: libtorch's calls of libuv would bind to Node's own, so it runs without.
import { fork } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import type { RanksConfig } from '../../src/native/binding.js'
import { native } from '../../src/native/load.js'
import { freePort } from '../../src/ranks/free-port.js'

/** 1,000 rounds in all. One conversation fewer than Node's pool has threads, as each holds one while it waits. */
const conversations = 3
const rounds = 334

test('two processes exchange messages for 1,000 rounds, while their event loops go on', async () => {
  const group: RanksConfig = {
    rank: 0,
    ranks: 2,
    address: '127.0.0.1',
    port: await freePort(),
    hostsStore: true,
    attempt: 'rounds',
    timeoutSeconds: 30,
  }
  await native().leaveText(group, 'opened', '')
  const child = fork(fileURLToPath(new URL('./store-peer.ts', import.meta.url)), [], {
    execArgv: ['--import', import.meta.resolve('tsx')],
    // libtorch's own default, which must not matter.
    env: { ...process.env, USE_LIBUV: '1' },
  })
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  let ticks = 0
  const timer = setInterval(() => ticks++, 1)
  child.send({ group: { ...group, rank: 1, hostsStore: false }, conversations, rounds })
  const talk = async (conversation: number) => {
    for (let round = 0; round < rounds; round++) {
      const number = `${conversation}/${round}`
      await native().leaveText(group, `ping/${number}`, `ping ${number}`)
      expect(await native().awaitText(group, `pong/${number}`, 60)).toBe(`ping ${number}, pong ${number}`)
    }
  }
  await Promise.all(Array.from({ length: conversations }, (_, conversation) => talk(conversation)))
  clearInterval(timer)
  expect(await ended).toBe(0)
  expect(ticks).toBeGreaterThan(100)
}, 600_000)

test('no store is made that could use libuv', () => {
  const root = fileURLToPath(new URL('../../native', import.meta.url))
  const sources = readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(cpp|h)$/.test(name))
    .map((name) => readFileSync(path.join(root, name), 'utf8'))
    .filter((text) => text.includes('TCPStore'))
  expect(sources.length).toBe(1)
  expect(sources[0]?.match(/TCPStoreOptions/g)?.length).toBe(1)
  expect(sources[0]).toContain('options.useLibUV = false;')
})
