// Overlap of a predicted segmentation with its reference, per foreground label (nnU-Net's compute_metrics).

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
 * @param labels foreground label values
 */
export function caseMetrics(
  prediction: ArrayLike<number>,
  reference: ArrayLike<number>,
  labels: readonly number[],
): Map<number, LabelMetrics> {
  const size = Math.max(...labels) + 1
  const predicted = new Float64Array(size)
  const referred = new Float64Array(size)
  const agreed = new Float64Array(size)
  for (let i = 0; i < reference.length; i++) {
    const p = prediction[i] as number
    const r = reference[i] as number
    // Values beyond the labels fall off the arrays, as they count for no label.
    predicted[p] = (predicted[p] as number) + 1
    referred[r] = (referred[r] as number) + 1
    if (p === r) agreed[p] = (agreed[p] as number) + 1
  }
  return new Map(
    labels.map((label) => {
      const TP = agreed[label] as number
      const FP = (predicted[label] as number) - TP
      const FN = (referred[label] as number) - TP
      const TN = reference.length - TP - FP - FN
      const metrics = { Dice: (2 * TP) / (2 * TP + FP + FN), IoU: TP / (TP + FP + FN), TP, FP, FN, TN }
      return [label, { ...metrics, n_pred: FP + TP, n_ref: FN + TP }]
    }),
  )
}
