// What the training process uses, as each epoch line has it.
import { readdirSync, readFileSync } from 'node:fs'
import type { NativeTrainer } from '../native/binding.js'
import type { EpochLine } from './events.js'

/** Memory in bytes that this process holds now; device_bytes are null on the CPU. */
export function readMemory(trainer: NativeTrainer): { resident_bytes: number; device_bytes: number | null } {
  return { resident_bytes: process.memoryUsage.rss(), device_bytes: trainer.deviceMemory()?.allocated ?? null }
}

/** A function that gives what `read` gives, which it calls again once its value is older than that. */
export function occasionally<Value>(seconds: number, read: () => Value): () => Value {
  let found: { value: Value; at: number } | undefined
  return () => {
    const now = performance.now()
    if (found === undefined || now - found.at > 1000 * seconds) found = { value: read(), at: now }
    return found.value
  }
}

/** Memory in bytes, open files and threads of this process (Linux: /proc). */
export function readResources(trainer: NativeTrainer): Pick<EpochLine, 'memory' | 'file_descriptors' | 'threads'> {
  const device = trainer.deviceMemory()
  const status = readFileSync('/proc/self/status', 'utf8')
  return {
    memory: {
      resident_bytes: process.memoryUsage.rss(),
      peak_resident_bytes: process.resourceUsage().maxRSS * 1024,
      device_bytes: device?.allocated ?? null,
      peak_device_bytes: device?.peak ?? null,
    },
    file_descriptors: readdirSync('/proc/self/fd').length,
    threads: Number(/^Threads:\s+(\d+)/m.exec(status)?.[1]),
  }
}
