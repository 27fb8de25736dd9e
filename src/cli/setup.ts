// voxgrad setup: fetches libtorch and builds the engine, which an installed package comes without.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Command } from 'commander'
import { addCommonFlags, type CommonFlags, makeContext } from './context.js'

export function addSetup(program: Command): void {
  const command = program
    .command('setup')
    .summary('Fetch libtorch and build the engine.')
    .description(
      'Fetches libtorch (about 1 GB, unless $LIBTORCH or an installed torch has it) and builds the engine for this machine ' +
        '(some minutes). Needed once after `npm install voxgrad`; with nothing to do it ends at once.',
    )
    .addHelpText('after', '\nExamples:\n  voxgrad setup\n  LIBTORCH=/opt/libtorch voxgrad setup')
  addCommonFlags(command, []).action((flags: CommonFlags) => {
    const { json } = makeContext(flags)
    const script = fileURLToPath(new URL('../../scripts/setup.mjs', import.meta.url))
    const { status } = spawnSync(process.execPath, [script], { stdio: ['inherit', json ? 2 : 'inherit', 'inherit'] })
    process.exitCode = status ?? 2
    json?.write({ type: 'setup', isReady: status === 0 })
  })
}
