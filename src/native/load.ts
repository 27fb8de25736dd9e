// Loads the native addon once and turns its errors into VoxgradError.
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { isErrorCode } from '../error-catalogue.js'
import { factsOfNative, VoxgradError } from '../errors.js'
import type { NativeBinding, NativeTrainer, TrainerConfig } from './binding.js'

// The same from src/native and from dist/native. VOXGRAD_ADDON names another build: that of scripts/sanitize.mjs.
const addonPath =
  process.env.VOXGRAD_ADDON ?? fileURLToPath(new URL('../../build/Release/voxgrad.node', import.meta.url))

const packageRoot = fileURLToPath(new URL('../..', import.meta.url))

/** What fetches libtorch and builds the addon: a package is installed without its sources. */
export const setupCommand = existsSync(path.join(packageRoot, 'src')) ? 'npm run setup' : 'npx voxgrad setup'

/** A trainer makes its network on its own thread, after the object is there. */
type OpenableTrainer = NativeTrainer & { open(config: TrainerConfig): Promise<void> }

let loaded: NativeBinding | undefined

/**
 * The native addon, loaded at the first call. Its functions throw, and their promises reject with, VoxgradError, whose
 * stack is the caller's.
 * @throws VoxgradError ERR_NATIVE_LOAD if the addon is not built or one of its libraries is missing
 */
export function native(): NativeBinding {
  loaded ??= withVoxgradErrors(loadAddon(addonPath))
  return loaded
}

/** Loads the addon at a path. Throws VoxgradError ERR_NATIVE_LOAD that says what is missing. */
export function loadAddon(file: string): NativeBinding {
  if (!existsSync(file)) {
    throw new VoxgradError('ERR_NATIVE_LOAD', {
      required: 'a built native addon',
      found: `no ${file}`,
      remedy: `Build it with \`${setupCommand}\`; \`voxgrad doctor\` says what that needs.`,
    })
  }
  try {
    // Read once, when the OpenMP library is loaded. By default its waiting threads spin for milliseconds, and training
    // crawls wherever another process wants the same cores; 10,000 turns keep the pace of a quiet machine as well.
    if (process.env.OMP_WAIT_POLICY === undefined) process.env.GOMP_SPINCOUNT ??= '10000'
    // What c10d warns of comes as an error as well, in words.
    process.env.TORCH_CPP_LOG_LEVEL ??= 'ERROR'
    // libtorch's own switch for huge pages: large activations then cost a tenth less time to come and go.
    process.env.THP_MEM_ALLOC_ENABLE ??= '1'
    const addon = createRequire(import.meta.url)(file) as NativeBinding & { Trainer: new () => OpenableTrainer }
    return Object.assign(addon, {
      async createTrainer(config: TrainerConfig): Promise<NativeTrainer> {
        const trainer = new addon.Trainer()
        await trainer.open(config)
        return trainer
      },
    })
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    const library = /^(\S+): cannot open shared object file/.exec(reason)?.[1]
    const what = library === undefined ? reason : `the library ${library}, which it was built with, is missing`
    throw new VoxgradError(
      'ERR_NATIVE_LOAD',
      {
        found: `The native addon ${file} does not load: ${what}`,
        remedy: `Build it again with \`${setupCommand}\`; \`voxgrad doctor\` says more.`,
      },
      { cause: error },
    )
  }
}

/**
 * The same object, except that errors with one of voxgrad's codes come out of its methods as VoxgradError. A trainer
 * that a method resolves to is wrapped likewise.
 */
export function withVoxgradErrors<T extends object>(target: T): T {
  const wrapped = new Map<PropertyKey, unknown>()
  return new Proxy(target, {
    get(_, name) {
      const value = Reflect.get(target, name) as unknown
      if (typeof value !== 'function') return value
      if (!wrapped.has(name)) wrapped.set(name, wrapMethod(target, value as Method))
      return wrapped.get(name)
    },
  })
}

type Method = (...args: unknown[]) => unknown

function wrapMethod(target: object, method: Method): Method {
  return function call(...args) {
    let result: unknown
    try {
      result = method.apply(target, args)
    } catch (error) {
      throw toVoxgradError(error, callSite(call))
    }
    if (!(result instanceof Promise)) return result
    const site = callSite(call)
    return result.then(
      (value: unknown) => (isTrainer(value) ? withVoxgradErrors(value) : value),
      (error: unknown) => {
        throw toVoxgradError(error, site)
      },
    )
  }
}

function isTrainer(value: unknown): value is NativeTrainer {
  return typeof value === 'object' && value !== null && 'snapshot' in value && typeof value.snapshot === 'function'
}

/** The stack frames of whoever called `method`. */
function callSite(method: Method): string {
  const site = { stack: '' }
  Error.captureStackTrace(site, method)
  return site.stack.slice(site.stack.indexOf('\n') + 1)
}

function toVoxgradError(error: unknown, site: string): unknown {
  if (!(error instanceof Error) || !('code' in error) || !isErrorCode(error.code)) return error
  const backtrace = 'nativeBacktrace' in error ? { nativeBacktrace: String(error.nativeBacktrace) } : {}
  const result = new VoxgradError(error.code, factsOfNative(error.message), backtrace)
  result.stack = `${result.name}: ${result.message}\n${site}`
  return result
}
