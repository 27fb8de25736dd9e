// PyTorch's checkpoint files: ours against torch's, and damaged ones.
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { unzipSync, zipSync } from 'fflate'
import { describe, expect, test } from 'vitest'
import { native } from '../../src/native/load.js'
import { failureOf, golden, mountDisk, peerPython, runPython, temporaryFolder } from './support.js'

type Tensor = { data: Float32Array; shape: number[] }
type Checkpoint = Record<string, unknown> & { network_weights: Record<string, Tensor> }

const folder = temporaryFolder()
const expected = JSON.parse(readFileSync(golden('expected.json'), 'utf8'))
const original = golden('checkpoint.pth')

function plain(tensors: Record<string, Tensor>): Record<string, { data: number[]; shape: number[] }> {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, { data, shape }]) => [name, { data: Array.from(data), shape }]),
  )
}

describe('reading what torch.save wrote', async () => {
  const checkpoint = (await native().readTorchFile(original)) as Checkpoint

  test('weights, views of shared storages and momentum', () => {
    expect(plain(checkpoint.network_weights)).toEqual(expected.weights)
    const { state } = checkpoint.optimizer_state as { state: Record<string, { momentum_buffer: Tensor }> }
    expect(Array.from(state[0]?.momentum_buffer.data ?? [])).toEqual(expected.momentum)
  })

  test('NumPy numbers, devices, tuples and every element type', () => {
    expect(checkpoint.logging).toEqual({ mean_fg_dice: [0.5, 0.25], lrs: [0.01] })
    expect(checkpoint._best_ema).toBe(0.75)
    expect(checkpoint.grad_scaler_state).toBeNull()
    expect(checkpoint.init_args).toEqual({ fold: 0, device: 'cuda:0', plans: { patch_size: [8, 8] } })
    expect(checkpoint.inference_allowed_mirroring_axes).toEqual([0, 1])
    const types = checkpoint.types as Tensor[]
    expect(types.map(({ data }) => Array.from(data, Number))).toEqual(types.map(() => [0, 1, 2]))
    expect(checkpoint.flags).toEqual({ data: Uint8Array.of(1, 0), shape: [2] })
    expect(checkpoint.parameter).toEqual({ data: Float32Array.of(1, 1), shape: [2] })
    expect(checkpoint.scalar).toEqual({ data: Float32Array.of(4.5), shape: [] })
  })
})

describe('writing', () => {
  const copy = path.join(folder, 'model.best.pth')
  native().callOp('rewrite_torch_file', [original, copy])

  test('comes back equal, with the records that torch.save makes, shared tensors once', async () => {
    expect(await native().readTorchFile(copy)).toEqual(await native().readTorchFile(original))
    const records = unzipSync(readFileSync(copy))
    expect(Object.keys(records)).toEqual(
      expect.arrayContaining(['data.pkl', 'byteorder', 'version', 'data/0'].map((name) => `model.best/${name}`)),
    )
    // Each tensor has a record, but the alias of another one.
    const tensors = Object.keys(records).filter((name) => name.includes('/data/'))
    expect(tensors).toHaveLength(countTensors(await native().readTorchFile(original)) - 1)
  })

  test('the same content gives the same bytes', () => {
    const again = path.join(mkdtempSync(path.join(folder, 'again-')), 'model.best.pth')
    native().callOp('rewrite_torch_file', [original, again])
    expect(readFileSync(again).equals(readFileSync(copy))).toBe(true)
  })

  const python = peerPython()
  test.skipIf(python === undefined)('torch.load reads it, with and without weights_only', () => {
    const program = `
import collections, sys, zipfile, zlib, torch
assert zipfile.ZipFile(sys.argv[2]).testzip() is None
content = open(sys.argv[2], 'rb').read()
assert zipfile.ZipFile(sys.argv[2]).comment == content[-22:] == b'voxgrad crc32 %08x' % zlib.crc32(content[:-22])
def same(a, b):
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return a == b
a = torch.load(sys.argv[1], weights_only=False)
for options in ({'weights_only': False}, {'weights_only': True}, {'weights_only': True, 'mmap': True}):
    b = torch.load(sys.argv[2], **options)
    assert same(a, b)
    assert type(b['network_weights']) is collections.OrderedDict and isinstance(b['init_args']['device'], torch.device)
    assert b['network_weights']['alias.weight'].data_ptr() == b['network_weights']['0.weight'].data_ptr()
    assert all(tensor.is_contiguous() for tensor in b['network_weights'].values())
print('equal')`
    expect(runPython(python as string, program, original, copy)).toBe('equal\n')
  })
})

describe('damaged and foreign files', () => {
  const bytes = readFileSync(original)
  const file = path.join(folder, 'damaged.pth')
  const readBytes = (content: Uint8Array) => {
    writeFileSync(file, content)
    return native().readTorchFile(file)
  }

  test('every truncation is refused', async () => {
    for (let length = 0; length < bytes.length; length += length < 100 || length > bytes.length - 2000 ? 1 : 13) {
      const error = await failureOf(() => readBytes(bytes.subarray(0, length)))
      expect(error.code).toBe('ERR_CHECKPOINT')
      expect(error.message).toContain(file)
    }
  })

  test('every flipped bit is noticed, or changes nothing that is read', async () => {
    const whole = await native().readTorchFile(original)
    let noticed = 0
    for (let at = 0; at < bytes.length; at += 3) {
      const damaged = Uint8Array.from(bytes)
      damaged[at] = (damaged[at] ?? 0) ^ (1 << (at % 8))
      const result = await readBytes(damaged).catch((error) => error)
      if (result instanceof Error) {
        expect(result).toHaveProperty('code', 'ERR_CHECKPOINT')
        ++noticed
      } else {
        expect(result).toEqual(whole)
      }
    }
    expect(noticed).toBeGreaterThan(bytes.length / 6)
  })

  test('names the record whose checksum is wrong', async () => {
    const damaged = Uint8Array.from(bytes)
    const at = bytes.indexOf('checkpoint/data/0') + 100
    damaged[at] = (damaged[at] ?? 0) ^ 1
    expect((await failureOf(() => readBytes(damaged))).message).toMatch(/damaged.*checkpoint\/data\/0/)
  })

  test.each<[string, Record<string, Uint8Array>, RegExp]>([
    ['a zip file of something else', { 'a/readme.txt': Buffer.from('hello') }, /data\.pkl/],
    ['a pickle that runs a program', { 'a/data.pkl': Buffer.from('cos\nsystem\n(X\x04\0\0\0truetR.') }, /os\.system/],
    ['a missing storage', { 'a/data.pkl': storage('7', 4) }, /lacks its record data\/7/],
    ['a storage of the wrong size', { 'a/data.pkl': storage('0', 4), 'a/data/0': new Uint8Array(8) }, /wrong size/],
    ['a huge storage', { 'a/data.pkl': storage('0', 2 ** 31 - 1), 'a/data/0': new Uint8Array(8) }, /wrong size/],
    ['big-endian data', { 'a/data.pkl': Buffer.from('N.'), 'a/byteorder': Buffer.from('big') }, /big-endian/],
  ])('%s', async (_, records, reason) => {
    const error = await failureOf(() => readBytes(zipSync(records, { level: 0 })))
    expect(error.code).toBe('ERR_CHECKPOINT')
    expect(error.message).toMatch(reason)
  })

  test('a compressed archive', async () => {
    const error = await failureOf(() => readBytes(zipSync({ 'a/data.pkl': new Uint8Array(1000) }, { level: 6 })))
    expect(error.message).toMatch(/compressed/)
  })

  test('no pickle of the time before zip files, no folder, no missing file', async () => {
    expect((await failureOf(() => native().readTorchFile(golden('plain_2.pkl')))).code).toBe('ERR_CHECKPOINT')
    expect((await failureOf(() => native().readTorchFile(folder))).code).toBe('ERR_CHECKPOINT')
    expect((await failureOf(() => native().readTorchFile(path.join(folder, 'none.pth')))).code).toBe('ERR_CHECKPOINT')
  })
})

describe('damage to our own files, which have a checksum of the whole file', () => {
  const source = path.join(folder, 'source.pth')
  const small = path.join(folder, 'small.pth')
  const file = path.join(folder, 'small-damaged.pth')
  writeFileSync(source, zipSync({ 'a/data.pkl': storage('0', 4), 'a/data/0': new Uint8Array(16) }, { level: 0 }))
  native().callOp('rewrite_torch_file', [source, small])
  const bytes = readFileSync(small)
  const refuses = async (content: Uint8Array, what: string) => {
    writeFileSync(file, content)
    const result = await native()
      .readTorchFile(file)
      .catch((error) => error)
    if (!(result instanceof Error)) throw new Error(`${what} was not noticed`)
    expect(result).toHaveProperty('code', 'ERR_CHECKPOINT')
    expect(result.message).toContain(file)
  }

  test('every flipped bit is refused', async () => {
    expect(await native().readTorchFile(small)).toEqual({ data: new Float32Array(2), shape: [2] })
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const damaged = Uint8Array.from(bytes)
      damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7))
      await refuses(damaged, `bit ${bit & 7} of byte ${bit >> 3} of ${bytes.length}`)
    }
    console.log(`refused ${bytes.length * 8} of ${bytes.length * 8} single flipped bits`)
  }, 120_000)

  test('every missing end and every appended one', async () => {
    for (let length = 0; length < bytes.length; length++) await refuses(bytes.subarray(0, length), `length ${length}`)
    for (const more of [Uint8Array.of(0), bytes.subarray(-22), bytes.subarray(-44), bytes]) {
      await refuses(Buffer.concat([bytes, more]), `${more.length} appended bytes`)
    }
  }, 120_000)

  test('a comment that the end record does not announce, or another one', async () => {
    const unannounced = Uint8Array.from(bytes)
    unannounced[bytes.length - 24] = 0
    await refuses(unannounced, 'an unannounced comment')
    const commentless = Buffer.from(unannounced.subarray(0, -22))
    writeFileSync(file, commentless) // what torch.save would have written
    expect(await native().readTorchFile(file)).toEqual({ data: new Float32Array(2), shape: [2] })
    await refuses(Buffer.concat([commentless, Uint8Array.of(0)]), 'an appended byte')
    commentless[commentless.length - 2] = 5
    await refuses(Buffer.concat([commentless, Buffer.from('hello')]), 'a foreign comment')
  })
})

test('a checkpoint on a full disk leaves the old one as it was', async (context) => {
  const mounted = mountDisk(folder, 'size=12k')
  if ('reason' in mounted) return context.skip(mounted.reason)
  const file = path.join(mounted.disk, 'checkpoint.pth')
  writeFileSync(file, 'the old one')
  const error = await failureOf(() => native().callOp('rewrite_torch_file', [original, file]))
  expect(error.code).toBe('ERR_DISK_FULL')
  expect(error.message).toMatch(/No space left.*needs \d+ bytes/)
  expect(readFileSync(file, 'utf8')).toBe('the old one')
  expect(existsSync(file)).toBe(true)
})

/** data.pkl of a bare tensor: a storage of float32 under a key. */
function storage(key: string, count: number): Uint8Array {
  const size = Buffer.alloc(4)
  size.writeInt32LE(count)
  const id = `(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0${key}X\x03\0\0\0cpuJ`
  return Buffer.concat([
    Buffer.from(`ctorch._utils\n_rebuild_tensor_v2\n(${id}`),
    size,
    Buffer.from('tQK\0(K\x02t(K\x01t\x89NtR.', 'latin1'),
  ])
}

function countTensors(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  if ('data' in value && 'shape' in value) return 1
  return Object.values(value).reduce((count: number, item) => count + countTensors(item), 0)
}
