// A straight line through noisy values, with an uncertainty that holds where neighboring values resemble each other.

/** Values at whole times in rising order, with gaps where there is no value; all lists have one length. */
export interface Series {
  times: readonly number[]
  values: readonly number[]
}

export interface Line {
  /** Change of the value for a change of the regressor by 1, and its standard error. */
  slope: number
  error: number
  /** Student's t has this many degrees of freedom for slope / error. */
  freedom: number
  /** Without noise, at the last time. */
  level: number
  /** Standard deviation of the noise of a single value. */
  scatter: number
  /** Of values one time apart, as assumed for the error. */
  autocorrelation: number
}

/** The normal distribution's quantile of 95 %: all intervals have 5 % beyond either end. */
const normal95 = 1.6448536269514722

/** Above it the noise is hardly distinct from a random walk, and no number of values would be enough. */
const largestAutocorrelation = 0.95

/** A slope below it is rounding. */
const smallestSlope = 1e-9

/**
 * Fits value = constant + slope * regressor(time) + noise by least squares; the noise is an autoregression of first order.
 *
 * The slope's error follows from the covariance that such noise has. Noise is what a parabola leaves, so that a bend
 * does not count as noise. Its correlation is that of those residuals, raised by the known bias (Shaman and Stine 1988: a
 * fit of p terms lowers it by (p + (p + 2) rho) / n), and then by one standard error, sqrt((1 - rho^2) / n), so that few
 * values do not feign certainty. Negative correlation counts as none. The variance follows from the residuals' expected
 * sum of squares, the degrees of freedom from Satterthwaite's rule (1946).
 */
export function fitLine(series: Series, regressor: (time: number) => number): Line {
  const { line, freedom, level, scatter, autocorrelation } = leastSquares(series, regressor)
  return { slope: line.coefficient, error: line.error, freedom, level, scatter, autocorrelation }
}

/** Half the width of the slope's 90 % interval. */
export function slopeMargin(line: Pick<Line, 'error' | 'freedom'>): number {
  return studentQuantile(line.freedom) * line.error
}

/** The sign of the slope, as far as it is significant (5 % to either side); 0 where it is not. */
export function direction(line: Line): -1 | 0 | 1 {
  if (Math.abs(line.slope) <= Math.max(slopeMargin(line), smallestSlope)) return 0
  return line.slope > 0 ? 1 : -1
}

/** Whether the values bend downwards over the regressor: the parabola's square term is significantly negative (5 %). */
export function flattens(series: Series, regressor: (time: number) => number): boolean {
  const { bend, freedom } = leastSquares(series, regressor)
  return bend.coefficient + studentQuantile(freedom) * bend.error < -smallestSlope
}

function leastSquares({ times, values }: Series, regressor: (time: number) => number) {
  const count = values.length
  const regressors = times.map(regressor)
  const columns = [values.map(() => 1), regressors, regressors.map((value) => value ** 2)]
  const basis = orthonormal(columns)
  const residuals = basis.reduce((rest, vector) => subtract(rest, vector, dot(rest, vector)), [...values])
  const autocorrelation = cautiousAutocorrelation(times, residuals, basis.length)

  // With R the noise's correlations and M the projection onto residuals: the traces of M R and of M R M R.
  const correlated = basis.map((vector) => correlate(times, vector, autocorrelation))
  const ones = values.map(() => 1)
  const trace = count - sum(basis.map((vector, i) => dot(vector, correlated[i] as number[])))
  const crossed = sum(basis.flatMap((vector) => correlated.map((other) => dot(vector, other) ** 2)))
  const traceOfSquare =
    dot(ones, correlate(times, ones, autocorrelation ** 2)) -
    2 * sum(correlated.map((vector) => dot(vector, vector))) +
    crossed
  const variance = dot(residuals, residuals) / trace

  // Least squares of a column together with those before it, the coefficient of that column.
  const term = (place: number) => {
    const vector = basis[place] as number[]
    const scale = dot(vector, columns[place] as number[])
    return {
      coefficient: dot(vector, values) / scale,
      error: Math.sqrt(variance * dot(vector, correlated[place] as number[])) / scale,
    }
  }
  return {
    line: term(1),
    bend: term(2),
    freedom: trace ** 2 / traceOfSquare,
    level: (values[count - 1] as number) - (residuals[count - 1] as number),
    scatter: Math.sqrt(variance),
    autocorrelation,
  }
}

/** Of residuals of a fit with `terms` terms: without the bias, and one standard error up. */
function cautiousAutocorrelation(times: readonly number[], residuals: readonly number[], terms: number): number {
  const count = residuals.length
  const neighbors = residuals.flatMap((value, i) =>
    i > 0 && times[i] === (times[i - 1] as number) + 1 ? [value * (residuals[i - 1] as number)] : [],
  )
  const squares = dot(residuals, residuals)
  const found = squares > 0 && neighbors.length > 0 ? (sum(neighbors) / squares) * (count / neighbors.length) : 0
  const unbiased = Math.min(Math.max((count * found + terms) / (count - terms - 2), 0), 1)
  return Math.min(unbiased + Math.sqrt((1 - unbiased ** 2) / count), largestAutocorrelation)
}

/** The matrix of correlation ^ |time - time'| times a vector, in one pass forth and one back. */
function correlate(times: readonly number[], vector: readonly number[], correlation: number): number[] {
  const decay = (i: number) => correlation ** ((times[i] as number) - (times[i - 1] as number))
  const result = [...vector]
  for (let i = 1; i < vector.length; i++) result[i] = (result[i] as number) + decay(i) * (result[i - 1] as number)
  let later = 0
  for (let i = vector.length - 2; i >= 0; i--) {
    later = decay(i + 1) * (later + (vector[i + 1] as number))
    result[i] = (result[i] as number) + later
  }
  return result
}

/** Gram-Schmidt. */
function orthonormal(columns: number[][]): number[][] {
  const basis: number[][] = []
  for (const column of columns) {
    const rest = basis.reduce((vector, earlier) => subtract(vector, earlier, dot(vector, earlier)), column)
    const length = Math.sqrt(dot(rest, rest))
    basis.push(rest.map((value) => value / length))
  }
  return basis
}

/** Student's quantile of 95 % (Abramowitz and Stegun 26.7.5): within 0.03 % from 4 degrees of freedom on. */
export function studentQuantile(freedom: number): number {
  const z = normal95
  const [z3, z5, z7, z9] = [z ** 3, z ** 5, z ** 7, z ** 9] as const
  return (
    z +
    (z3 + z) / (4 * freedom) +
    (5 * z5 + 16 * z3 + 3 * z) / (96 * freedom ** 2) +
    (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * freedom ** 3) +
    (79 * z9 + 776 * z7 + 1482 * z5 - 1920 * z3 - 945 * z) / (92160 * freedom ** 4)
  )
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)
const dot = (a: readonly number[], b: readonly number[]) =>
  a.reduce((total, value, i) => total + value * (b[i] as number), 0)
const subtract = (a: readonly number[], b: readonly number[], factor: number) =>
  a.map((value, i) => value - factor * (b[i] as number))
