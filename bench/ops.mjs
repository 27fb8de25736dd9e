// Times the kernels of loss and pseudo-Dice on the CPU: nanoseconds of processor time a voxel, the median of five, so that other
// processes matter little.
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

function problem(classes, extents) {
  const shape = [2, classes, ...extents]
  const voxels = 2 * product(extents)
  const logits = { data: Float32Array.from({ length: voxels * classes }, (_, i) => 4 * Math.sin(i * 1.7)), shape }
  const labels = {
    data: Int16Array.from({ length: voxels }, (_, i) => (i >> 4) % classes),
    shape: [2, ...extents],
  }
  return { logits, labels, voxels, outputs: Array.from({ length: classes }, (_, c) => [c, -1]).flat() }
}

const cases = { 'hippocampus, 3 classes': problem(3, [40, 56, 40]), '117 classes': problem(117, [24, 24, 24]) }
const ops = {
  loss: ({ logits, labels, outputs }, repeats) =>
    native().callOp('fused_loss', [
      ...[logits, labels, outputs, false, -1, [1, 1], 0, false, false, 1e-5, 0],
      ...[true, false, repeats],
    ]),
  counts: ({ logits, labels, outputs }, repeats) =>
    native().callOp('count_dice', [logits, labels, outputs, false, -1, true, false, repeats]),
}
const wanted = process.argv.slice(2)
for (const [op, call] of Object.entries(ops)) {
  if (wanted.length > 0 && !wanted.includes(op)) continue
  for (const [name, data] of Object.entries(cases)) {
    const ms = time((repeats) => call(data, repeats), 10)
    console.log(`${op.padEnd(8)} ${name.padEnd(24)} ${((ms * 1e6) / data.voxels).toFixed(2)} ns a voxel`)
  }
}
