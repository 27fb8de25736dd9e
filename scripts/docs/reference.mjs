// Pages that follow from the code: docs/reference/commands.md from the program's own help, docs/reference/configuration.md from
// the schemas of options.
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { z } from 'zod'
import { program } from '../../src/cli/program.ts'
import * as schemas from '../../src/config/schema.ts'

/** Text for a cell of a table. */
const cell = (text) => escaped(String(text)).replaceAll('|', '\\|').replaceAll('\n', ' ')

/** Text without anything that Markdown or HTML would read as its own. */
const escaped = (text) => text.replace(/[<>{}*_[\]]/g, (character) => `&#${character.codePointAt(0)};`)

const code = (text) =>
  `<code v-pre${text.length < 34 ? ' class="word"' : ''}>${escaped(text).replaceAll('|', '&#124;')}</code>`

const table = (head, rows) => [
  `| ${head.join(' | ')} |`,
  `|${' --- |'.repeat(head.length)}`,
  ...rows.map((row) => `| ${row.join(' | ')} |`),
  '',
]

// ---------------------------------------------------------------------------------------------------------------- commands

/** Verbs and the verbs below them, `config init` after `config`. */
function* commandsBelow(command, names = []) {
  for (const child of command.commands) {
    if (child.name() === 'help' || child.name() === 'complete') continue
    yield { command: child, name: [...names, child.name()].join(' ') }
    yield* commandsBelow(child, [...names, child.name()])
  }
}

/** What commander prints after the flags: examples. */
function textAfter(command) {
  const written = []
  command.configureOutput({ writeOut: (text) => written.push(text) })
  command.outputHelp()
  const help = command.helpInformation()
  return written.join('').slice(help.length).trim()
}

function commandsPage() {
  const commands = [...commandsBelow(program)]
  const lines = ['# Commands', '', `${program.description()} This page is made from \`voxgrad VERB --help\`.`, '']
  lines.push(
    ...table(
      ['verb', 'what it does'],
      commands.map(({ command, name }) => [
        `[${name}](#${name.replaceAll(' ', '-')})`,
        cell(command.summary() || command.description()),
      ]),
    ),
  )
  for (const { command, name } of commands) {
    lines.push(`## ${name}`, '', escaped(command.description() || command.summary()), '')
    lines.push('```sh', `voxgrad ${name} ${command.usage()}`, '```', '')
    const operands = command.registeredArguments
    if (operands.length > 0) {
      const rows = operands.map((operand) => [code(operand.name()), cell(operand.description)])
      lines.push(...table(['argument', 'meaning'], rows))
    }
    const options = command.options.filter((option) => !option.hidden)
    if (options.length > 0) {
      const rows = options.map((option) => [code(option.flags), cell(option.description)])
      lines.push(...table(['flag', 'meaning'], rows))
    }
    const after = textAfter(command)
    if (after !== '') lines.push('```text', after, '```', '')
  }
  const after = textAfter(program)
  return [...lines, '## The way through, and exit codes', '', '```text', after, '```', ''].join('\n')
}

// ----------------------------------------------------------------------------------------------------------- configuration

/** What is written about a type: `sgd`, `adam` or `adamw`; a number above 0; ... */
function typeOf(schema) {
  if (schema.const !== undefined) return code(String(schema.const))
  if (schema.enum) return schema.enum.map((value) => code(String(value))).join(', ')
  const parts = schema.anyOf ?? schema.oneOf
  if (parts) return parts.map(typeOf).join(' or ')
  if (schema.type === 'null') return code('null')
  if (schema.type === 'boolean') return `${code('true')}, ${code('false')}`
  if (schema.type === 'array') {
    if (schema.prefixItems) return `list of ${schema.prefixItems.length}: ${distinct(schema.prefixItems.map(typeOf))}`
    return `list of ${typeOf(schema.items ?? {})}`
  }
  if (schema.type === 'number' || schema.type === 'integer') {
    const { minimum, exclusiveMinimum, maximum, exclusiveMaximum } = schema
    const bounds = [
      minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER && `at least ${minimum}`,
      exclusiveMinimum !== undefined && `above ${exclusiveMinimum}`,
      maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER && `at most ${maximum}`,
      exclusiveMaximum !== undefined && `below ${exclusiveMaximum}`,
    ].filter(Boolean)
    return [schema.type === 'integer' ? 'whole number' : 'number', bounds.join(', ')].filter(Boolean).join(' ')
  }
  return schema.type === 'string' ? 'text' : 'group'
}

const distinct = (words) => [...new Set(words)].join(', ')

/** Rows of all keys below a schema, groups resolved to dotted keys. */
function* keysBelow(schema, prefix = '') {
  for (const [name, option] of Object.entries(schema.properties ?? {})) {
    const key = `${prefix}${name}`
    if (option.properties) yield* keysBelow(option, `${key}.`)
    else yield { key, option, required: schema.required?.includes(name) ?? false }
  }
}

const optionRows = (schema, prefix) =>
  [...keysBelow(schema, prefix)].map(({ key, option, required }) => [
    code(key),
    typeOf(option),
    required ? 'required' : option.default === undefined ? '' : code(JSON.stringify(option.default)),
    cell(option.description ?? ''),
  ])

const optionHead = ['key', 'value', 'default', 'meaning']

/** Groups of options with the page that explains them. */
const guides = {
  budget: ['How long a run is', 'budget'],
  network: ['Batch norm', 'optimizers'],
  loss: ['Losses', 'labels'],
  optimizer: ['Optimizer and learning rate', 'optimizers'],
  schedule: ['Optimizer and learning rate', 'optimizers'],
  bestModel: ['The best model', 'best-model'],
  earlyStopping: ['Early stopping', 'early-stopping'],
  nonFinite: ['Losses that are not finite', 'non-finite'],
  sampling: ['Patches that must show foreground', 'augmentation'],
  data: ['Where the cases are', 'resources'],
  augmentation: ['What each number does, and its value in each preset', 'augmentation'],
  checkpoint: ['What is saved, and when', 'resuming'],
  watchdog: ['What can go wrong', 'resuming'],
  validation: ['Which weights are validated', 'best-model'],
}

const jsonSchema = (schema) => z.toJSONSchema(schema, { io: 'input' })

/** Functions beside `train`, with the schema of what they take. */
const others = [
  ['plan', schemas.planOptionsSchema],
  ['resume', schemas.resumeOptionsSchema],
  ['validate', schemas.validateOptionsSchema],
  ['predict', schemas.predictOptionsSchema],
  ['evaluate', schemas.evaluateOptionsSchema],
  ['bestConfiguration', schemas.bestConfigurationOptionsSchema],
  ['ensemble', schemas.ensembleOptionsSchema],
  ['applyPostprocessing', schemas.postprocessOptionsSchema],
]

function configurationPage() {
  const train = jsonSchema(schemas.trainOptionsSchema)
  const entries = Object.entries(train.properties)
  const lines = [
    '# Configuration',
    '',
    'Every option of training, with its default and its limits. This page is made from the schema that checks them',
    '(`src/config/schema.ts`); `voxgrad config schema` prints it as JSON Schema for editors.',
    '',
    'A key is given as `--set optimizer.initialLr=0.02`, in the YAML or JSON file of `--config FILE` (`voxgrad config init`',
    'writes one with every option), or in the object that `train()` takes. Of the three, flags win over `--set`, and `--set`',
    'wins over the file. `run.json` of each run has every option with the value that it had.',
    '',
    '## What is trained, and where',
    '',
    ...table(
      optionHead,
      optionRows({ ...train, properties: Object.fromEntries(entries.filter(([, o]) => !o.properties)) }),
    ),
  ]
  for (const [name, option] of entries.filter(([, entry]) => entry.properties)) {
    lines.push(`## ${name}`, '')
    if (option.description) lines.push(`${escaped(option.description)}.`, '')
    const [title, page] = guides[name] ?? []
    if (page) lines.push(`[${title}](../${page}.md)`, '')
    lines.push(...table(optionHead, optionRows(option, `${name}.`)))
  }
  lines.push(
    '## Other functions',
    '',
    'What the other functions of the package take; their verbs have flags of the same names.',
    '',
  )
  for (const [name, schema] of others)
    lines.push(`### ${name}()`, '', ...table(optionHead, optionRows(jsonSchema(schema))))
  return lines.join('\n')
}

/** Writes the pages into a folder. */
export function writeReference(folder) {
  mkdirSync(folder, { recursive: true })
  writeFileSync(path.join(folder, 'commands.md'), commandsPage())
  writeFileSync(path.join(folder, 'configuration.md'), configurationPage())
}
