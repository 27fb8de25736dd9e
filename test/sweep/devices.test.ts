// What --devices means.
import { expect, test } from 'vitest'
import { countGpus, devicesThere, readDevices } from '../../src/sweep/devices.js'

test.each([
  ['cpu', null, ['cpu']],
  ['cpu:3', null, ['cpu', 'cpu', 'cpu']],
  ['2', 4, ['cuda:0', 'cuda:1']],
  ['0,2', 4, ['cuda:0', 'cuda:2']],
  ['cuda:1', 4, ['cuda:1']],
  ['cuda', 2, ['cuda:0', 'cuda:1']],
  ['0,0, cuda:1', null, ['cuda:0', 'cuda:0', 'cuda:1']],
  ['cuda,cpu', 1, ['cuda:0', 'cpu']],
])('%s with %s GPUs', (text, gpus, expected) => {
  expect(readDevices(text, gpus)).toEqual(expected)
})

test.each([
  ['gpu', null, /--devices: expected cpu:2 .*found "gpu"/],
  ['cpu:0', null, /found "cpu:0"/],
  ['', null, /found ""/],
  ['0,', null, /found "0,"/],
  ['0', null, /found "0"/],
  ['cuda', null, /expected a GPU, found none/],
  ['0,5,7', 4, /some of the 4 GPUs that are there, found cuda:5, cuda:7/],
])('%s with %s GPUs is refused', (text, gpus, message) => {
  expect(() => readDevices(text, gpus)).toThrow(message)
})

test('the devices there are: GPUs that are visible, else the CPU', async () => {
  expect(await countGpus({ CUDA_VISIBLE_DEVICES: '2,GPU-5c8a' })).toBe(2)
  expect(await countGpus({ CUDA_VISIBLE_DEVICES: '' })).toBe(0)
  expect(devicesThere(2)).toEqual(['cuda:0', 'cuda:1'])
  for (const none of [0, null]) expect(devicesThere(none)).toEqual(['cpu'])
})
