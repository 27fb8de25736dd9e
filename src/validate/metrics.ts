// Overlap of a predicted segmentation with its reference, per label or region (nnU-Net's compute_metrics).
import type { Target } from '../dataset/dataset-json.js'

/** Named as in nnU-Net's summary.json. Dice and IoU are NaN where the label is in neither of the two. */
export interface LabelMetrics {
  Dice: number
  IoU: number
  TP: number
  FP: number
  FN: number
  TN: number
  n_pred: number
  n_ref: number
}

/**
 * Counts voxels in one pass.
 * @param prediction labels on the reference's grid, same order and length
 * @param ignoreLabel voxels with this value in the reference count for nothing
 * @returns metrics by the targets' keys, in their order
 */
export function caseMetrics(
  prediction: ArrayLike<number>,
  reference: ArrayLike<number>,
  targets: readonly Pick<Target, 'key' | 'labels'>[],
  ignoreLabel?: number,
): Map<string, LabelMetrics> {
  // How often each pair of values meets; all values that no target names share the last row and column.
  const other = Math.max(...targets.flatMap(({ labels }) => labels)) + 1
  const width = other + 1
  const pairs = new Float64Array(width * width)
  const place = (value: number) => (value >= 0 && value < other && Number.isInteger(value) ? value : other)
  let voxels = 0
  for (let i = 0; i < reference.length; i++) {
    const referred = reference[i] as number
    if (referred === ignoreLabel) continue
    const pair = place(prediction[i] as number) * width + place(referred)
    pairs[pair] = (pairs[pair] as number) + 1
    voxels++
  }
  return new Map(targets.map(({ key, labels }) => [key, metricsOf(pairs, width, new Set(labels), voxels)]))
}

function metricsOf(pairs: Float64Array, width: number, labels: Set<number>, voxels: number): LabelMetrics {
  let [TP, FP, FN] = [0, 0, 0]
  for (const [pair, count] of pairs.entries()) {
    const isPredicted = labels.has(Math.floor(pair / width))
    const isReferred = labels.has(pair % width)
    if (isPredicted && isReferred) TP += count
    else if (isPredicted) FP += count
    else if (isReferred) FN += count
  }
  const metrics = { Dice: (2 * TP) / (2 * TP + FP + FN), IoU: TP / (TP + FP + FN), TP, FP, FN }
  return { ...metrics, TN: voxels - TP - FP - FN, n_pred: FP + TP, n_ref: FN + TP }
}
