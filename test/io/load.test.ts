// Loading the addon, and its errors as VoxgradError with the caller's stack.
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { loadAddon, native, withVoxgradErrors } from '../../src/native/load.js'
import { failureOf, temporaryFolder } from './support.js'

const folder = temporaryFolder()

test('loads once', () => {
  expect(native()).toBe(native())
  expect(native().versions().libtorch).toMatch(/^\d+\.\d+/)
})

test('says what to do where the addon is missing or damaged', async () => {
  const missing = await failureOf(() => loadAddon(path.join(folder, 'none.node')))
  expect(missing.code).toBe('ERR_NATIVE_LOAD')
  expect(missing.message).toMatch(/none\.node.*npm run setup/)
  const damaged = path.join(folder, 'damaged.node')
  writeFileSync(damaged, 'not a library')
  const error = await failureOf(() => loadAddon(damaged))
  expect(error.code).toBe('ERR_NATIVE_LOAD')
  expect(error.message).toMatch(/damaged\.node.*npm run setup/)
})

test('errors of calls and of promises carry code and call site', async () => {
  async function theCaller() {
    await native().readPickle(path.join(folder, 'none.pkl'))
  }
  const rejected = await failureOf(theCaller)
  expect(rejected.code).toBe('ERR_FORMAT')
  expect(rejected.stack).toMatch(/theCaller[\s\S]*load\.test\.ts/)
  const thrown = await failureOf(() => native().callOp('no_such_op', []))
  expect(thrown.code).toBe('ERR_CONFIG')
  expect(thrown.stack).toContain('load.test.ts')
})

test('leaves other errors alone, and wraps a trainer that a promise resolves to', async () => {
  const coded = Object.assign(new Error('busy'), { code: 'ERR_BUSY', nativeBacktrace: 'frame' })
  const trainer = {
    snapshot: () => ({ job: 'idle' }),
    runTraining: () => Promise.reject(coded),
  }
  const binding = withVoxgradErrors({
    createTrainer: async () => trainer,
    fails: () => {
      throw new TypeError('plain')
    },
  })
  expect(() => binding.fails()).toThrow(TypeError)
  const wrapped = await binding.createTrainer()
  expect(wrapped.snapshot()).toEqual({ job: 'idle' })
  const error = await failureOf(() => wrapped.runTraining())
  expect(error).toMatchObject({ code: 'ERR_BUSY', message: 'busy', nativeBacktrace: 'frame', exitCode: 70 })
})
