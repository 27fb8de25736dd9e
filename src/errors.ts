// The one error class of voxgrad and its closed list of codes, each with the exit code of the command line.

/** Every code, with the process exit code that the command line gives it (2 usage or data, 70 internal, 74 disk, 75 stopped). */
export const errorCodes = {
  /** a wrong option, flag or configuration value */
  ERR_CONFIG: 2,
  /** faulty or missing input data: dataset.json, images, labels, preprocessed cases */
  ERR_DATASET: 2,
  /** a damaged or foreign file */
  ERR_FORMAT: 2,
  /** a checkpoint that is damaged or does not fit the plans */
  ERR_CHECKPOINT: 2,
  /** a run folder that is in use, finished or already there */
  ERR_RUN: 2,
  /** no space, read-only folder, failed write */
  ERR_DISK: 74,
  /** the device is not there or not usable */
  ERR_DEVICE: 2,
  ERR_OUT_OF_MEMORY: 70,
  /** training became non-finite for good */
  ERR_NON_FINITE: 70,
  /** a job was stopped before it had a result */
  ERR_STOPPED: 75,
  /** another process that trains the same network is gone, or did not come */
  ERR_RANK: 70,
  /** a second job was given to a busy trainer */
  ERR_BUSY: 70,
  /** a trainer was used after dispose() */
  ERR_DISPOSED: 70,
  /** the native addon is missing or does not load */
  ERR_NATIVE_LOAD: 70,
  ERR_INTERNAL: 70,
} as const

/** What kind of error it is; stable, for programs. */
export type ErrorCode = keyof typeof errorCodes

/**
 * An error that says what was expected, what was found, where, and how to fix it.
 * `code` is stable; `message` is for people and complete in itself.
 */
export class VoxgradError extends Error {
  readonly code: ErrorCode
  /** The native call stack, where the error came from the addon. */
  readonly nativeBacktrace: string | undefined

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; nativeBacktrace?: string } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'VoxgradError'
    this.code = code
    this.nativeBacktrace = options.nativeBacktrace
  }

  get exitCode(): number {
    return errorCodes[this.code]
  }
}
