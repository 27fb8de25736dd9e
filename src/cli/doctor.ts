// voxgrad doctor: what voxgrad needs, what was found of it, and what to do where something is missing.
import type { Command } from 'commander'
import { addCommonFlags, type CommonFlags, makeContext } from './context.js'
import { type Check, examine } from './machine.js'

const marks = { ok: 'ok', note: '--', fault: 'NO' }

export function addDoctor(program: Command): void {
  const command = program
    .command('doctor')
    .summary('Check this machine and say what is missing.')
    .description(
      'Looks for everything that voxgrad needs: Node, compiler, CMake, Python with pip, libtorch, the native addon, ' +
        'devices, memory, folders and free space. Exits with 2 where something necessary is missing.',
    )
    .addHelpText('after', '\nExamples:\n  voxgrad doctor\n  voxgrad doctor --json')
  addCommonFlags(command, ['raw', 'preprocessed', 'results']).action(async (flags: CommonFlags) => {
    const { view, json, folderOptions } = makeContext(flags)
    const checks = await examine(folderOptions)
    for (const check of checks) {
      json?.write({ type: 'check', ...check })
      view.message(lineOf(check))
    }
    const faults = checks.filter((check) => check.verdict === 'fault').length
    json?.write({ type: 'doctor', verdict: faults === 0 ? 'ok' : 'fault', faults })
    const things = faults === 1 ? 'One thing is' : `${faults} things are`
    view.message(faults === 0 ? 'Ready to train.' : `${things} missing; the lines above say how to get there.`)
    process.exitCode = faults === 0 ? 0 : 2
  })
}

function lineOf(check: Check): string {
  const line = `[${marks[check.verdict]}] ${check.name.padEnd(13)} ${check.found}`
  return check.remedy === undefined ? line : `${line}\n${' '.repeat(19)}-> ${check.remedy}`
}
