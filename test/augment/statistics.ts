// Tests of distributions: two-sample Kolmogorov-Smirnov, and the share of successes.

/** The p value of the two-sample Kolmogorov-Smirnov test (asymptotic; conservative where values repeat). */
export function kolmogorovSmirnov(first: ArrayLike<number>, second: ArrayLike<number>): number {
  const a = Float64Array.from(first).sort()
  const b = Float64Array.from(second).sort()
  let distance = 0
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const value = Math.min(a[i] as number, b[j] as number)
    while (i < a.length && a[i] === value) i++
    while (j < b.length && b[j] === value) j++
    distance = Math.max(distance, Math.abs(i / a.length - j / b.length))
  }
  const size = Math.sqrt((a.length * b.length) / (a.length + b.length))
  const lambda = (size + 0.12 + 0.11 / size) * distance
  let p = 0
  for (let k = 1; k <= 100; k++) p += 2 * (-1) ** (k - 1) * Math.exp(-2 * (k * lambda) ** 2)
  return lambda < 0.2 ? 1 : Math.min(1, Math.max(0, p))
}

/** How many standard deviations of the binomial distribution a count is away from its expectation. */
export function binomialDeviation(successes: number, trials: number, probability: number): number {
  const spread = Math.sqrt(trials * probability * (1 - probability))
  return Math.abs(successes - trials * probability) / spread
}
