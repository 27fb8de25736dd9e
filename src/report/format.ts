// Numbers and durations as people read them, the same on the terminal, in plain lines and in pictures.

/** `42s`, `3m05s`, `2h14m`, `3d04h`; `-` for null, what is not finite, or negative. */
export function formatDuration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds) || seconds < 0) return '-'
  const pad = (value: number) => String(value).padStart(2, '0')
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole}s`
  if (whole < 3600) return `${Math.floor(whole / 60)}m${pad(whole % 60)}s`
  const minutes = Math.round(seconds / 60)
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)}h${pad(minutes % 60)}m`
  const hours = Math.round(seconds / 3600)
  return `${Math.floor(hours / 24)}d${pad(hours % 24)}h`
}

/** A number with fixed decimals; `-` for null or what is not finite. */
export function formatFixed(value: number | null | undefined, decimals: number): string {
  return value === null || value === undefined || !Number.isFinite(value) ? '-' : value.toFixed(decimals)
}

/** A learning rate in at most 7 characters: `0.01`, `0.00953`, `3.1e-5`. */
export function formatRate(value: number): string {
  if (value === 0) return '0'
  return Math.abs(value) >= 1e-4 ? String(Number(value.toPrecision(3))) : value.toExponential(1)
}

/** Bytes in binary units: `3.4 GiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10))
  return `${(bytes / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`
}

/** Steps in a second, or seconds a step where that is easier to read. */
export function formatPace(perSecond: number, unit: string): string {
  if (!Number.isFinite(perSecond) || perSecond <= 0) return ''
  return perSecond >= 0.95 ? `${perSecond.toFixed(1)} ${unit}s/s` : `${(1 / perSecond).toFixed(1)} s/${unit}`
}
