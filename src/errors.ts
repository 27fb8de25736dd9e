// The one error class of voxgrad: what was found, what is required, what to do, and where to read more.
import { type ErrorCode, errorCatalogue, pageOf } from './error-catalogue.js'

export type { ErrorCode } from './error-catalogue.js'

/** What an error says beyond its code; what is left out comes from the catalogue. */
export interface ErrorFacts {
  /** The file, option or case that is meant. */
  where?: string
  /** With `required`, a noun ("a folder"); alone, a sentence or a list of faults. */
  found: string
  /** A noun that goes with `found`: "expected REQUIRED, found FOUND". */
  required?: string
  /** A sentence in the imperative. */
  remedy?: string
}

/** An error as data: what --json prints. */
export interface ErrorReport extends Required<Omit<ErrorFacts, 'where'>> {
  code: ErrorCode
  /** Complete in itself. */
  message: string
  where?: string
  /** Where the documentation explains the code. */
  page: string
}

/**
 * An error that says what was expected, what was found, where, and how to fix it.
 * `code` is stable and listed in docs/errors.md; `message` is for people and complete in itself.
 */
export class VoxgradError extends Error {
  /** What kind of error it is; stable, for programs. */
  readonly code: ErrorCode
  /** What this error knows itself. */
  readonly facts: Readonly<ErrorFacts>
  /** The native call stack, where the error came from the addon. */
  readonly nativeBacktrace: string | undefined

  /** @param what the facts, or one sentence where there is nothing to tell apart */
  constructor(
    code: ErrorCode,
    what: string | ErrorFacts,
    options: { cause?: unknown; nativeBacktrace?: string | undefined } = {},
  ) {
    const facts = typeof what === 'string' ? { found: what } : what
    super(messageOf(facts), options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'VoxgradError'
    this.code = code
    this.facts = facts
    this.nativeBacktrace = options.nativeBacktrace
  }

  /** What the command line exits with. */
  get exitCode(): number {
    return errorCatalogue[this.code].exitCode
  }

  /** The message without its remedy. */
  get statement(): string {
    return statementOf(this.facts)
  }

  /** What was found. */
  get found(): string {
    return this.facts.found
  }

  /** What is needed instead. */
  get required(): string {
    return this.facts.required ?? errorCatalogue[this.code].required
  }

  /** What to do. */
  get remedy(): string {
    return this.facts.remedy ?? errorCatalogue[this.code].remedy
  }

  /** Where the documentation explains the code. */
  get page(): string {
    return pageOf(this.code)
  }

  /** The error as data. */
  toJSON(): ErrorReport {
    const { code, message, found, required, remedy, page } = this
    const where = this.facts.where === undefined ? {} : { where: this.facts.where }
    return { code, message, ...where, found, required, remedy, page }
  }
}

/**
 * The facts in a native message, which has the form "WHERE: expected REQUIRED, found FOUND; remedy" or "STATEMENT; remedy".
 */
export function factsOfNative(message: string): ErrorFacts {
  const [, statement = message, advice] = /^(.*?)(?:; ([^;]*))?$/s.exec(message) ?? []
  const [, where, required, found] = /^(?:(.+?): )?expected (.+?), found (.+)$/s.exec(statement) ?? []
  const remedy =
    advice === undefined ? {} : { remedy: `${advice[0]?.toUpperCase()}${advice.slice(1).replace(/\.$/, '')}.` }
  if (required === undefined || found === undefined) return { found: statement, ...remedy }
  return { ...(where === undefined ? {} : { where }), required, found, ...remedy }
}

/** A fault of one file or case: others may be sound, so such faults are collected and said at once. */
export const isDataFault = (error: unknown): error is VoxgradError =>
  error instanceof VoxgradError &&
  ['ERR_DATASET', 'ERR_IMAGE', 'ERR_LABEL', 'ERR_PREPROCESSED', 'ERR_FORMAT'].includes(error.code)

/** The disk refused to write or read. */
export const isDiskFault = (error: unknown): error is VoxgradError =>
  error instanceof VoxgradError && ['ERR_DISK', 'ERR_DISK_FULL'].includes(error.code)

/** The code of several faults as one: their own where they share one. */
export function commonCode(faults: readonly { code: ErrorCode }[]): ErrorCode {
  const codes = new Set(faults.map(({ code }) => code))
  const [code = 'ERR_DATASET'] = codes
  return codes.size === 1 ? code : 'ERR_DATASET'
}

function statementOf({ where, found, required }: ErrorFacts): string {
  const place = where === undefined ? '' : `${where}: `
  return place + (required === undefined ? found : `expected ${required}, found ${found}`)
}

function messageOf(facts: ErrorFacts): string {
  const statement = statementOf(facts)
  if (facts.remedy === undefined) return statement
  if (statement.includes('\n')) return `${statement}\n${facts.remedy}`
  return `${statement}${/[.!?]$/.test(statement) ? '' : '.'} ${facts.remedy}`
}
