// voxgrad config: the file of training options that `train --config` reads, its schema, and what options resolve to.
import { existsSync } from 'node:fs'
import path from 'node:path'
import type { Command } from 'commander'
import { annotatedYaml, configFileSchema, configJsonSchema } from '../config/config-file.js'
import { parseOptions } from '../config/schema.js'
import { VoxgradError } from '../errors.js'
import { writeFileAtomically } from '../files.js'
import { addCommonFlags, type CommonFlags, makeContext } from './context.js'
import { collect, overlay, readAssignments, readConfigFile } from './options.js'

const defaultFile = 'voxgrad.yaml'
const heading =
  'Options of `voxgrad train DATASET CONFIGURATION FOLD --config FILE`. --set key=value wins over this file, and flags win over both.\nWhat is removed from here keeps its default. `voxgrad config schema` prints the JSON Schema for editors.'

interface PrintFlags extends CommonFlags {
  set?: string[]
}

export function addConfig(program: Command): void {
  const config = program
    .command('config')
    .summary('Write, print or describe a file of training options.')
    .description('The options that `voxgrad train --config FILE` reads.')
    .helpCommand(false)
  const init = config
    .command('init')
    .summary('Write a file with every option, its meaning and its default.')
    .description('Writes a file with every option of `train`, what it means and its default. Never overwrites a file.')
    .argument('[file]', `Where to write (default: ${defaultFile}).`)
  addCommonFlags(init, []).action(async (file: string | undefined, flags: CommonFlags) => {
    const { view, json } = makeContext(flags)
    const target = path.resolve(file ?? defaultFile)
    if (existsSync(target)) {
      throw new VoxgradError('ERR_CONFIG', {
        found: `${target} is already there`,
        remedy: 'Name another file, or remove this one first.',
      })
    }
    await writeFileAtomically(target, annotatedYaml(parseOptions(configFileSchema, {}, 'defaults'), heading))
    json?.write({ type: 'config', file: target })
    view.message(`${target}: every option with its default; train with --config ${path.basename(target)}`)
  })

  const print = config
    .command('print')
    .summary('Print what a file and assignments resolve to.')
    .description('Prints every option of `train` as it is with a file and assignments: the file below, --set above it.')
    .argument('[file]', 'A file of options (default: none, so the defaults).')
    .option('--set <key=value>', 'Set an option, such as optimizer.initialLr=0.02. May be repeated.', collect)
  addCommonFlags(print, []).action(async (file: string | undefined, flags: PrintFlags) => {
    const { json } = makeContext(flags)
    const below = file === undefined ? {} : await readConfigFile(file)
    const options = parseOptions(configFileSchema, overlay(below, readAssignments(flags.set ?? [])), file ?? 'options')
    if (json) json.write({ type: 'config', options })
    else process.stdout.write(annotatedYaml(options, file === undefined ? 'Defaults' : `Resolved from ${file}`))
  })

  config
    .command('schema')
    .summary("Print the file's JSON Schema, with which editors complete and check it.")
    .option('--json', 'The same in one line.')
    .action(({ json }: CommonFlags) => {
      process.stdout.write(`${JSON.stringify(configJsonSchema(), null, json ? 0 : 2)}\n`)
    })
}
