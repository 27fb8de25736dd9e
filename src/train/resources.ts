// What the training process uses, as each epoch line has it.
import { readdirSync, readFileSync } from 'node:fs'
import type { NativeTrainer } from '../native/binding.js'
import type { EpochLine } from './events.js'

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
