// Runs a command and measures what it takes.
import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

/** Runs a command; resolves with its standard output, seconds, and the largest memory of its whole process tree. */
export function measured(command, args, env) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'inherit'] })
    const begin = performance.now()
    let output = ''
    let peakBytes = 0
    child.stdout.on('data', (chunk) => {
      output += chunk
    })
    const timer = setInterval(() => {
      peakBytes = Math.max(peakBytes, residentBytes(child.pid))
    }, 500)
    child.on('close', (code) => {
      clearInterval(timer)
      if (code === 0) resolve({ output, peakBytes, seconds: (performance.now() - begin) / 1000 })
      else reject(new Error(`${command} ${args.join(' ')} ended with code ${code}`))
    })
  })
}

/** Memory of a process and all its descendants: proportional set size, so that a page they share counts once. */
function residentBytes(pid) {
  const children = new Map()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8')
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 4).split(' ')[0])
      children.set(parent, [...(children.get(parent) ?? []), Number(name)])
    } catch {} // ended meanwhile
  }
  let bytes = 0
  const pending = [pid]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    pending.push(...(children.get(next) ?? []))
    try {
      bytes += 1024 * Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${next}/smaps_rollup`, 'utf8'))?.[1] ?? 0)
    } catch {} // ended meanwhile
  }
  return bytes
}
