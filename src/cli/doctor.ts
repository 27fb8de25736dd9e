// voxgrad doctor: what voxgrad needs, what was found of it, and what to do where something is missing.
import type { Command } from 'commander'
import { wrap } from '../report/table.js'
import { version } from '../version.js'
import { addCommonFlags, type CommonFlags, makeContext } from './context.js'
import { type Check, checkGroups, examine, type Verdict } from './machine.js'

const marks: Record<Verdict, string> = { ok: 'ok', note: '--', fault: 'NO' }

export function addDoctor(program: Command): void {
  const command = program
    .command('doctor')
    .summary('Check this machine and say what is missing.')
    .description(
      'Looks for everything that voxgrad needs: Node, compiler, CMake, Python with pip, libtorch, the native addon (loaded in ' +
        'a process of its own), devices, memory, limits, folders and free space. Exits with 2 where something necessary is missing.',
    )
    .addHelpText('after', '\nExamples:\n  voxgrad doctor\n  voxgrad doctor --json')
  addCommonFlags(command, ['raw', 'preprocessed', 'results']).action(async (flags: CommonFlags) => {
    const { view, json, folderOptions } = makeContext(flags)
    const checks = await examine(folderOptions)
    for (const check of checks) json?.write({ type: 'check', ...check })
    view.message(`voxgrad ${version}`)
    const width = Math.min(process.stdout.columns || 80, 100)
    for (const group of checkGroups) {
      view.message('')
      view.message(group)
      for (const check of checks)
        if (check.group === group) for (const line of linesOf(check, width)) view.message(line)
    }
    const faults = checks.filter((check) => check.verdict === 'fault').length
    json?.write({ type: 'doctor', verdict: faults === 0 ? 'ok' : 'fault', faults })
    const things = faults === 1 ? 'One thing is' : `${faults} things are`
    view.message(
      faults === 0 ? '\nReady to train.' : `\n${things} missing (NO); the lines with -> say how to get there.`,
    )
    process.exitCode = faults === 0 ? 0 : 2
  })
}

/** `  ok  name           found`, and below it the remedy, both wrapped in their column. */
export function linesOf({ verdict, name, found, remedy }: Check, width: number): string[] {
  const head = `  ${marks[verdict]}  ${name.padEnd(15)}`
  const room = width - head.length
  // A word that is too long, such as a path, goes on in the column too.
  const pieces = new RegExp(`.{1,${room}}`, 'g')
  const [first = '', ...further] = wrap(found, room).flatMap((line) => line.match(pieces) ?? [])
  const way = remedy === undefined ? [] : wrap(remedy, room - 3).map((line, i) => `${i === 0 ? '->' : '  '} ${line}`)
  return [head + first, ...[...further, ...way].map((line) => ' '.repeat(head.length) + line)]
}
