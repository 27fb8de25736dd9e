// voxgrad setup: fetches libtorch and builds the engine, which an installed package comes without.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Command } from 'commander'

export function addSetup(program: Command): void {
  program
    .command('setup')
    .summary('Fetch libtorch and build the engine.')
    .description(
      'Fetches libtorch (about 1 GB, unless $LIBTORCH or an installed torch has it) and builds the engine for this machine ' +
        '(some minutes). Needed once after `npm install voxgrad`; with nothing to do it ends at once.',
    )
    .addHelpText('after', '\nExamples:\n  voxgrad setup\n  LIBTORCH=/opt/libtorch voxgrad setup')
    .action(() => {
      const script = fileURLToPath(new URL('../../scripts/setup.mjs', import.meta.url))
      process.exitCode = spawnSync(process.execPath, [script], { stdio: 'inherit' }).status ?? 2
    })
}
