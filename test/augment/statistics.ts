// Tests of distributions: two-sample Kolmogorov-Smirnov, and shares of successes.

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

/**
 * The p value of Fisher's exact test that two shares of successes are of one rate: twice the smaller tail.
 * @param first successes and trials
 */
export function fisherExact(first: [number, number], second: [number, number]): number {
  const [[a, n], [b, m]] = [first, second]
  const logFactorial = new Float64Array(n + m + 1)
  for (let i = 1; i <= n + m; i++) logFactorial[i] = (logFactorial[i - 1] as number) + Math.log(i)
  const logChoose = (of: number, k: number) =>
    (logFactorial[of] as number) - (logFactorial[k] as number) - (logFactorial[of - k] as number)
  const probability = (k: number) => Math.exp(logChoose(n, k) + logChoose(m, a + b - k) - logChoose(n + m, a + b))
  let [below, above] = [0, 0]
  for (let k = Math.max(0, a + b - m); k <= a; k++) below += probability(k)
  for (let k = a; k <= Math.min(n, a + b); k++) above += probability(k)
  return Math.min(1, 2 * Math.min(below, above))
}
