// Times our own ops on the CPU: nanoseconds of processor time a voxel or element, the median of five, so that other
// processes matter little; and the bytes a second that this makes by the ledger of native/kernels/traffic.h.
//   OMP_NUM_THREADS=1 node bench/ops.mjs [NAME...]
import { native } from '../dist/native/load.js'

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1]
const spent = () => process.cpuUsage().user / 1000
const product = (values) => values.reduce((a, b) => a * b, 1)

/** Milliseconds of one repetition: a call that repeats less one that does it once, so that copies do not count. */
function time(call, repeats) {
  const once = () => {
    const start = spent()
    call(1)
    const middle = spent()
    call(1 + repeats)
    return (spent() - middle - (middle - start)) / repeats
  }
  once()
  return median(Array.from({ length: 5 }, once))
}

const wave = (count, pitch) => Float32Array.from({ length: count }, (_, i) => 4 * Math.sin(i * pitch))
const tensor = (shape, pitch = 1.7) => ({ data: wave(product(shape), pitch), shape })

const ones = (shape) => ({ data: new Float32Array(product(shape)).fill(1), shape })

/** Loss and counts of a batch of two. */
function batch(classes, extents) {
  const voxels = 2 * product(extents)
  const labels = { data: Int16Array.from({ length: voxels }, (_, i) => (i >> 4) % classes), shape: [2, ...extents] }
  const outputs = Array.from({ length: classes }, (_, c) => [c, -1]).flat()
  return { shape: [2, classes, ...extents], items: voxels, labels, outputs }
}

/** Activations: an item is an element. */
const activations = (channels, extents) => ({
  shape: [2, channels, ...extents],
  items: 2 * channels * product(extents),
})

/** One tile of an image twice as wide, with its mirrored copies: an item is an element of the tile. */
function tile(classes, extents, axes) {
  const flips = Array.from({ length: 2 ** axes }, (_, i) => [i & 1, (i >> 1) & 1, (i >> 2) & 1])
  const image = [extents[0], extents[1], 2 * extents[2]]
  return {
    shape: [flips.length, classes, ...extents],
    items: classes * product(extents),
    flips,
    image,
    classes,
    extents,
  }
}

const logits = {
  'hippocampus, 3 classes': batch(3, [40, 56, 40]),
  '117 classes': batch(117, [24, 24, 24]),
}
const ops = {
  norm: {
    name: 'instance_norm_leaky_relu',
    item: 'element',
    cases: { '32 channels': activations(32, [40, 56, 40]), '320 channels': activations(320, [5, 7, 5]) },
    args: ({ shape }) => [
      ...[tensor(shape), tensor(shape, 1.3), ones([shape[1]]), ones([shape[1]])],
      ...[1e-5, 0.01, 1, 1, false, false],
    ],
  },
  loss: {
    name: 'fused_loss',
    item: 'voxel',
    cases: logits,
    args: ({ shape, labels, outputs }) => [
      ...[tensor(shape), labels, outputs, false, -1, [1, 1], 0, false, false, 1e-5, 0],
      ...[1, false],
    ],
  },
  counts: {
    name: 'count_dice',
    item: 'voxel',
    cases: logits,
    args: ({ shape, labels, outputs }) => [tensor(shape), labels, outputs, false, -1, 1, false],
  },
  accumulate: {
    name: 'accumulate_',
    item: 'element',
    cases: { 'hippocampus, 8 copies': tile(3, [40, 56, 40], 3), '117 classes, 1 copy': tile(117, [24, 24, 24], 0) },
    args: ({ shape, flips, image, classes, extents }) => [
      ...[tensor([classes, ...image]), tensor(image), tensor(shape), tensor(extents), [0, 0, 1], flips.flat(), 0],
      ...[1, false],
    ],
  },
}
const wanted = process.argv.slice(2)
for (const [op, { name, item, cases, args }] of Object.entries(ops)) {
  if (wanted.length > 0 && !wanted.includes(op)) continue
  for (const [description, problem] of Object.entries(cases)) {
    const given = args(problem)
    const ms = time((repeats) => native().callOp(name, [...given, repeats]), 10)
    const bytes = Number(native().callOp('traffic', [name, problem.shape, 0])[0].data[0])
    const each = ((ms * 1e6) / problem.items).toFixed(2).padStart(7)
    console.log(
      `${op.padEnd(10)} ${description.padEnd(24)} ${each} ns a ${item.padEnd(7)} ${(bytes / ms / 1e6).toFixed(1).padStart(5)} GB/s`,
    )
  }
}
