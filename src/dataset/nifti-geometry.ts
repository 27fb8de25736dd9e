// From a NIfTI header to the geometry that SimpleITK and nibabel report, and back as their writers do it.
// Sources: NIfTI-1 standard (methods 1 to 3); ITK 5.4 itkNiftiImageIO; nibabel nifti1.py.
import type { NiftiHeader } from './nifti.js'

type Matrix = number[][]

/** SimpleITK's view: x, y, z order, LPS, millimeters; as many entries as the image has dimensions (2 to 4). */
export interface ItkGeometry {
  spacing: number[]
  origin: number[]
  /** Rows of a square matrix, flat. */
  direction: number[]
}

const similar = (a: number, b: number, tolerance: number) => Math.abs(a - b) <= tolerance
const column = (matrix: Matrix, index: number) => matrix.slice(0, 3).map((row) => row[index] ?? 0)
const magnitude = (vector: number[]) => Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0))
const normalized = (vector: number[]) => {
  const length = magnitude(vector)
  return length === 0 ? vector : vector.map((value) => value / length)
}
const dot = (a: number[], b: number[]) => a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0)

/** An extent in millimeters of a voxel: 0 and non-finite values count as 1, as in nifti_clib. */
const usableExtent = (value: number | undefined) =>
  value === undefined || value === 0 || !Number.isFinite(value) ? 1 : value

/** Extents of a voxel on axes x, y, z, in the header's unit. */
export function voxelExtents(header: NiftiHeader): number[] {
  return [1, 2, 3].map((i) => Math.abs(usableExtent(header.pixdim[i])))
}

/** The rotation of a quaternion whose real part follows from its unit length. */
function rotationOf(quaternion: number[]): Matrix {
  let [b = 0, c = 0, d = 0] = quaternion
  const rest = 1 - (b * b + c * c + d * d)
  let a = 0
  if (rest < 1e-7) {
    const length = Math.sqrt(b * b + c * c + d * d)
    b /= length
    c /= length
    d /= length
  } else {
    a = Math.sqrt(rest)
  }
  return [
    [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
    [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
    [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b],
  ]
}

/** Method 2: voxel indices to RAS millimeters, three rows of four. */
function qformMatrix(header: NiftiHeader, extents: number[]): Matrix {
  const qfac = (header.pixdim[0] ?? 1) < 0 ? -1 : 1
  const scales = [extents[0] ?? 1, extents[1] ?? 1, (extents[2] ?? 1) * qfac]
  return rotationOf(header.quaternion).map((row, axis) => [
    ...row.map((value, i) => value * (scales[i] ?? 1)),
    header.qformOffset[axis] ?? 0,
  ])
}

/** Whether the columns are orthogonal, which ITK asks of a matrix that gives directions. */
function isOrthogonal(matrix: Matrix): boolean {
  const columns = [0, 1, 2].map((i) => normalized(column(matrix, i)))
  // R R^T, as ITK has it: identity only if every column is a unit vector.
  return [0, 1, 2].every((i) =>
    [0, 1, 2].every((j) => {
      const product = columns.reduce((sum, unit) => sum + (unit[i] ?? 0) * (unit[j] ?? 0), 0)
      return similar(product, i === j ? 1 : 0, 1e-4)
    }),
  )
}

function allSimilar(a: Matrix, b: Matrix, tolerance: number): boolean {
  return a.every((row, i) => row.every((value, j) => similar(value, b[i]?.[j] ?? 0, tolerance)))
}

/** ITK's choice between sform and qform; undefined where it finds no orthonormal one and refuses the file. */
function itkMatrix(header: NiftiHeader, extents: number[]): Matrix | undefined {
  const { sform } = header
  const qform = qformMatrix(header, extents)
  const known = { qform: header.qformCode > 0, sform: header.sformCode > 0 }
  const scannerAnatomy = 1
  if (known.sform && isOrthogonal(sform)) {
    if (!known.qform || header.sformCode === scannerAnatomy || allSimilar(sform, qform, 1e-4)) return sform
  }
  if (known.qform) return known.sform && allSimilar(sform, qform, 1e-5) ? sform : qform
  return undefined
}

/** Millimeters per length unit of the header; unknown units count as millimeters. */
function unitScale(units: number): number {
  const meters = 1
  const micrometers = 3
  const length = units & 7
  if (length === meters) return 1000
  return length === micrometers ? 0.001 : 1
}

/** How many dimensions ITK gives the image: trailing extents of 1 beyond the third are dropped. */
export function dimensionsOf(extents: number[]): number {
  let dimensions = extents.length
  while (dimensions > 3 && extents[dimensions - 1] === 1) dimensions--
  return dimensions
}

/**
 * Spacing, origin and direction as SimpleITK reports them for a .nii.gz.
 * @param dimensions 2 to 4
 * @returns undefined if neither sform nor qform gives orthogonal axes (SimpleITK refuses such a file)
 */
export function itkGeometry(header: NiftiHeader, dimensions: number): ItkGeometry | undefined {
  const extents = [1, 2, 3, 4].map((i) => usableExtent(header.pixdim[i]))
  const scale = unitScale(header.units)
  const spacing = extents.slice(0, dimensions).map((extent, i) => (i < 3 ? extent * scale : extent))
  const identity: Matrix = [0, 1, 2, 3].map((i) => [0, 1, 2, 3].map((j) => Number(i === j)))
  let matrix = identity.slice(0, 3)
  if (header.qformCode > 0 || header.sformCode > 0) {
    const found = itkMatrix(header, extents)
    if (found === undefined) return undefined
    // RAS to LPS: the first two rows change sign.
    matrix = found.map((row, axis) => row.map((value) => (axis < 2 ? -value : value)))
  }
  const spatial = Math.min(dimensions, 3)
  const columns = Array.from({ length: dimensions }, (_, i) => {
    const raw = i < spatial ? column(matrix, i).slice(0, spatial) : []
    const padded = i < spatial ? [...normalized(raw), 0, 0, 0] : (identity[i] as number[])
    return padded.slice(0, dimensions)
  })
  return {
    spacing: spacing.map(Math.abs),
    origin: Array.from({ length: dimensions }, (_, i) => (i < 3 ? (matrix[i]?.[3] ?? 0) * scale : 0)),
    direction: Array.from({ length: dimensions * dimensions }, (_, i) => {
      const axis = i % dimensions
      // ITK turns a negative extent into a reversed axis.
      const sign = (spacing[axis] ?? 1) < 0 ? -1 : 1
      return sign * (columns[axis]?.[Math.floor(i / dimensions)] ?? 0)
    }),
  }
}

/** nibabel's affine (4 x 4, voxel indices to RAS millimeters): sform, else qform, else a centered flipped grid. */
export function nibabelAffine(header: NiftiHeader): Matrix {
  const last = [0, 0, 0, 1]
  if (header.sformCode > 0) return [...header.sform.map((row) => [...row]), last]
  const extents = voxelExtents(header)
  if (header.qformCode > 0) return [...qformMatrix(header, extents), last]
  const scales = extents.map((extent, i) => (i < header.extents.length ? (i === 0 ? -extent : extent) : 1))
  const origin = scales.map((scale, i) => -(((header.extents[i] ?? 1) - 1) / 2) * scale)
  return [...origin.map((offset, i) => [...[0, 1, 2].map((j) => (i === j ? (scales[i] ?? 1) : 0)), offset]), last]
}

type HeaderToWrite = Omit<NiftiHeader, 'version' | 'datatype'>

/** The header that SimpleITK's NIfTI writer makes. @param shape (z, y, x); a 2D geometry needs z = 1 */
export function headerFromItk(geometry: ItkGeometry, shape: [number, number, number]): HeaderToWrite {
  const size = geometry.spacing.length
  const dimensions = Math.min(size, 3)
  const axis = (i: number) => {
    if (i >= dimensions) return [0, 0, 1]
    const lps = [0, 1, 2].map((row) => (row < dimensions ? (geometry.direction[row * size + i] ?? 0) : 0))
    return lps.map((value, row) => (row < 2 ? -value : value))
  }
  const rotation = itkRotation([axis(0), axis(1), axis(2)])
  const origin = [0, 1, 2]
    .map((i) => (i < dimensions ? (geometry.origin[i] ?? 0) : 0))
    .map((value, i) => (i < 2 ? -value : value))
  const spacing = [0, 1, 2].map((i) => (i < dimensions ? (geometry.spacing[i] ?? 1) : 1))
  // nifti_clib makes the columns orthogonal once more before it turns them into a quaternion.
  const columns = single([0, 1, 2].map((i) => normalized(column(rotation, i))))
  const { quaternion, qfac } = quaternionOf(singlePolarFactor(transpose(columns)))
  const millimetersAndSeconds = 2 | 8
  return {
    extents: [...shape].reverse().slice(0, dimensions),
    intentCode: 0,
    pixdim: [qfac, ...spacing, 0, 0, 0, 0],
    slope: 1,
    intercept: 0,
    units: millimetersAndSeconds,
    qformCode: 1,
    quaternion,
    qformOffset: origin,
    sformCode: 1,
    sform: rotation.map((row, i) => [...row.map((value, j) => value * Math.fround(spacing[j] ?? 1)), origin[i] ?? 0]),
  }
}

/** The header that nibabel makes for a new image of this affine. @param shape (z, y, x) */
export function headerFromAffine(affine: Matrix, shape: [number, number, number]): HeaderToWrite {
  const spacing = [0, 1, 2].map((i) => magnitude(column(affine, i)))
  const units = transpose([0, 1, 2].map((i) => column(affine, i).map((value) => value / (spacing[i] || 1))))
  const { quaternion, qfac } = quaternionOf(nearestOrthogonal(units))
  const offset = [0, 1, 2].map((i) => affine[i]?.[3] ?? 0)
  return {
    extents: [...shape].reverse(),
    intentCode: 0,
    pixdim: [qfac, ...spacing, 1, 1, 1, 1],
    slope: 1,
    intercept: 0,
    units: 0,
    qformCode: 0,
    quaternion,
    qformOffset: offset,
    sformCode: 2,
    sform: affine.slice(0, 3),
  }
}

function transpose(matrix: Matrix): Matrix {
  return [0, 1, 2].map((i) => [0, 1, 2].map((j) => matrix[j]?.[i] ?? 0))
}

function cofactors(m: Matrix): Matrix {
  const at = (i: number, j: number) => m[i % 3]?.[j % 3] ?? 0
  return [0, 1, 2].map((i) =>
    [0, 1, 2].map((j) => at(i + 1, j + 1) * at(i + 2, j + 2) - at(i + 1, j + 2) * at(i + 2, j + 1)),
  )
}

const single = (matrix: Matrix) => matrix.map((row) => row.map(Math.fround))
const sum = (values: number[]) => values.reduce((total, value) => total + value, 0)

/**
 * The rotation that ITK writes for the directions of the axes, to the bit: nifti_clib makes them orthogonal in float32 with
 * so few steps that the exact orthogonal factor would differ in the last digit. @param axes one a row
 * Source: nifti_make_orthog_mat44 of nifti_clib.
 */
function itkRotation(axes: Matrix): Matrix {
  const units = single(axes).map((row) => {
    const square = row.reduce((total, value) => Math.fround(total + Math.fround(value * value)), 0)
    const scale = Math.fround(1 / Math.sqrt(square))
    return row.map((value) => Math.fround(value * scale))
  })
  return transpose(singlePolarFactor(units))
}

/** Newton's scaled iteration towards the orthogonal factor (Higham 1986) as nifti_mat33_polar rounds it, in float32. */
function singlePolarFactor(matrix: Matrix): Matrix {
  const largestSum = (rows: Matrix) => Math.max(...rows.map((row) => Math.fround(sum(row.map(Math.abs)))))
  const size = (rows: Matrix) => Math.fround(Math.sqrt(Math.fround(largestSum(rows) * largestSum(transpose(rows)))))
  let current = matrix
  for (let step = 0, change = 1; step <= 100 && change >= 3e-6; step++) {
    const factors = cofactors(current)
    const determinant = dot(current[0] ?? [], factors[0] ?? [])
    const inverseTransposed = single(factors.map((row) => row.map((value) => value / determinant)))
    const isFar = change > 0.3
    const scale = isFar ? Math.fround(Math.sqrt(Math.fround(size(inverseTransposed) / size(current)))) : 1
    const inverseScale = Math.fround(1 / scale)
    const next = current.map((row, i) =>
      row.map((value, j) => {
        const other = inverseScale * (inverseTransposed[i]?.[j] ?? 0)
        return Math.fround(Math.fround(scale * value) + Math.fround(other)) / 2
      }),
    )
    change = sum(next.flatMap((row, i) => row.map((value, j) => Math.abs(value - (current[i]?.[j] ?? 0)))))
    current = next
  }
  return current
}

/** The orthogonal factor of the polar decomposition, by Newton's iteration (Higham 1986). */
function nearestOrthogonal(matrix: Matrix): Matrix {
  let current = matrix
  for (let iteration = 0; iteration < 50; iteration++) {
    const inverseTransposed = cofactors(current)
    const determinant = dot(current[0] ?? [], inverseTransposed[0] ?? [])
    if (determinant === 0) return current
    const next = current.map((row, i) =>
      row.map((value, j) => (value + (inverseTransposed[i]?.[j] ?? 0) / determinant) / 2),
    )
    const settled = allSimilar(next, current, 1e-15)
    current = next
    if (settled) break
  }
  return current
}

/** b, c, d of a rotation, and qfac -1 where the matrix mirrors: NIfTI's method 2 then reverses the third axis. */
function quaternionOf(orthogonal: Matrix): { quaternion: number[]; qfac: number } {
  const qfac = dot(orthogonal[0] ?? [], cofactors(orthogonal)[0] ?? []) < 0 ? -1 : 1
  const r = (i: number, j: number) => (orthogonal[i]?.[j] ?? 0) * (j === 2 ? qfac : 1)
  const trace = r(0, 0) + r(1, 1) + r(2, 2)
  if (trace + 1 > 0.5) {
    const a = 0.5 * Math.sqrt(trace + 1)
    return {
      quaternion: [(r(2, 1) - r(1, 2)) / (4 * a), (r(0, 2) - r(2, 0)) / (4 * a), (r(1, 0) - r(0, 1)) / (4 * a)],
      qfac,
    }
  }
  // A large component is computed from the diagonal, the others follow from it without loss of digits; the first that is
  // large enough, as in nifti_clib.
  const squares = [0, 1, 2].map((i) => 1 + 2 * r(i, i) - trace)
  const largest = squares.findIndex((square, i) => square > 1 || i === 2)
  const [j, k] = [(largest + 1) % 3, (largest + 2) % 3]
  const pivot = 0.5 * Math.sqrt(squares[largest] ?? 0)
  const sign = r(k, j) - r(j, k) < 0 ? -1 : 1
  const quaternion = [0, 0, 0]
  quaternion[largest] = sign * pivot
  quaternion[j] = (sign * (r(largest, j) + r(j, largest))) / (4 * pivot)
  quaternion[k] = (sign * (r(largest, k) + r(k, largest))) / (4 * pivot)
  return { quaternion, qfac }
}
