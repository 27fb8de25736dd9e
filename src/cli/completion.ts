// voxgrad completion: scripts with which bash, zsh and fish complete verbs, flags and values. The one place that knows the library.
import { readdirSync } from 'node:fs'
import path from 'node:path'
import tab from '@bomb.sh/tab/commander'
import type { Command } from 'commander'
import { presets } from '../plan/presets.js'
import { JsonLines } from '../report/json.js'

/** Values of flags that take one of few words. */
const words: Record<string, readonly string[]> = {
  device: ['cpu', 'cuda'],
  preset: Object.keys(presets),
  checkpoint: ['final', 'best', 'latest'],
  'on-plateau': ['stop', 'anneal'],
  configurations: ['2d', '3d_fullres', '3d_lowres', '3d_cascade_fullres'],
  patience: ['short', 'medium', 'long'],
  schedule: ['stretch', 'continue', 'restart'],
}

/** Flags and arguments that are files or folders. */
const paths = new Set(
  ['run', 'config', 'pretrained', 'previous-stage', 'input', 'output', 'out', 'raw', 'preprocessed', 'results'].concat([
    'dataset-json',
    'folder',
    'file',
    'predictions',
    'truth',
  ]),
)

type Complete = (value: string, description: string) => void

/** What lies where the word under the cursor points to; the shell asks with it as the last argument. */
function completePath(complete: Complete): void {
  const word = process.argv.at(-1) ?? ''
  const folder = word.slice(0, word.lastIndexOf('/') + 1)
  for (const entry of readdirSync(path.resolve(folder), { withFileTypes: true }))
    complete(`${folder}${entry.name}${entry.isDirectory() ? '/' : ''}`, '')
}

/** What a function prints, which the library does not return. */
function printed(print: () => void): string {
  const lines: string[] = []
  const { log } = console
  console.log = (text: string) => lines.push(`${text}\n`)
  try {
    print()
  } finally {
    console.log = log
  }
  return lines.join('')
}

/** After all verbs: what they offer is read from the program itself. */
export function addCompletion(program: Command): void {
  const completion = tab(program, { completionCommandName: 'completion' })
  for (const { options, arguments: operands } of completion.commands.values()) {
    for (const [name, place] of [...options, ...operands]) if (paths.has(name)) place.handler = completePath
    for (const [name, choices] of Object.entries(words)) {
      const option = options.get(name)
      if (option)
        option.handler = (complete) => {
          for (const word of choices) complete(word, '')
        }
    }
  }
  const verb = program.commands.find((command) => command.name() === 'completion') as Command
  verb
    .summary('Print the completion script of a shell.')
    .description('Prints a script that completes verbs, flags and their values in a shell.')
    .option('--json', 'Write the script as the value of a JSON object.')
    .action((shell: 'bash' | 'zsh' | 'fish' | 'powershell', { json }: { json?: boolean }) => {
      const print = () => completion.setup(program.name(), program.name(), shell)
      if (json) new JsonLines(process.stdout).write({ type: 'completion', shell, script: printed(print) })
      else print()
    })
    .addHelpText(
      'after',
      `
Examples:
  echo 'source <(voxgrad completion bash)' >> ~/.bashrc
  echo 'source <(voxgrad completion zsh)' >> ~/.zshrc
  voxgrad completion fish > ~/.config/fish/completions/voxgrad.fish`,
    )
}
