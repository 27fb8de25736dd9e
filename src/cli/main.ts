#!/usr/bin/env node
// The program's entry. A signal that comes while the rest is loaded must not be lost, so little is loaded before this.
import { holdSignals } from './signals.js'

// Other verbs may end by a signal at any moment.
if (['train', 'resume', 'bench'].includes(process.argv[2] ?? '')) holdSignals()
const { runProgram } = await import('./program.js')
await runProgram()
