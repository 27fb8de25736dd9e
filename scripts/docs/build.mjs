// Builds the documentation site into build/site: pages made from the code, VitePress, and a check of every link and anchor.
//   npm run docs              build
//   npm run docs:dev          serve while writing
// The site may lie at any path of a server; its text can be read without one, too.
import { rmSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { Application, LogLevel, ReferenceType, ReflectionKind } from 'typedoc'
import { build, createServer } from 'vitepress'
import { writeSources } from '../../docs/.vitepress/sources.mjs'
import { checkLinks } from './links.mjs'
import { makePortable, placeholder } from './portable.mjs'
import { writeReference } from './reference.mjs'

const here = path.dirname(fileURLToPath(import.meta.url))
const repository = path.resolve(here, '../..')
const docs = path.join(repository, 'docs')
const site = path.join(repository, 'build/site')

/** Interfaces whose properties stand on the page of the configuration, each with its limits. */
const isOptions = (reflection) => /(?:Input|TrainOptions)$/.test(reflection.name) && reflection.kindOf(optionKinds)
const optionKinds = ReflectionKind.Interface | ReflectionKind.TypeAlias
const note = 'Every key, with its default and its limits: [configuration](../../reference/configuration.md).'

/** Leaves to the page of the configuration what only repeats it. */
function shorten(project) {
  for (const reflection of project.getReflectionsByKind(optionKinds).filter(isOptions)) {
    for (const child of [...(reflection.children ?? [])]) project.removeReflection(child)
    reflection.comment?.summary.push({ kind: 'text', text: `\n\n${note}` })
  }
  for (const schema of project.getReflectionsByKind(ReflectionKind.Variable)) {
    if (schema.name.endsWith('Schema')) {
      project.removeTypeReflections(schema.type)
      schema.type = ReferenceType.createBrokenReference('ZodObject', project, 'zod')
    }
  }
}

/** @throws Error where an export lacks a docstring, after TypeDoc has named each */
async function writeApi(folder) {
  const app = await Application.bootstrapWithPlugins({ options: path.join(here, 'typedoc.json'), logLevel: 'Error' })
  const project = await app.convert()
  if (!project) throw new Error('TypeDoc could not read src/index.ts')
  shorten(project)
  app.logger.level = LogLevel.Warn
  app.logger.resetWarnings()
  app.validate(project)
  if (app.logger.hasErrors() || app.logger.hasWarnings())
    throw new Error('the API pages have faults (see above); every export needs a docstring')
  app.logger.level = LogLevel.Error
  rmSync(folder, { recursive: true, force: true })
  await app.generateOutputs(project)
}

writeReference(path.join(docs, 'reference'))
writeSources()
await writeApi(path.join(docs, 'api'))
if (process.argv.includes('--serve')) {
  const server = await createServer(docs)
  await server.listen()
  server.printUrls()
} else {
  await build(docs, { base: placeholder })
  makePortable(site)
  checkLinks(site)
}
