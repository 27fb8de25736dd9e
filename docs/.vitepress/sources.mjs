// Files of the repository that pages link to (`../examples/benchmark.ts`): the site has a page with the text of each.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { docs } from './groups.mjs'

const repository = path.dirname(docs)
const folder = path.join(docs, 'source')
const languages = { mjs: 'js', service: 'ini', sbatch: 'sh', dockerignore: 'txt', '': 'dockerfile' }

/** The page of a file, without .md: `source/examples/benchmark-ts`. */
const pageOf = (file) => `source/${file.replaceAll('.', '-')}`

/** The file that a link of a page leads to, from the repository's root, if it lies outside of docs/. */
function fileOf(page, href) {
  if (/^[a-z]+:|^[/#]/i.test(href)) return undefined
  const file = path.relative(repository, path.resolve(docs, path.dirname(page), href.split('#')[0]))
  return file.startsWith('docs/') ? undefined : file
}

/** Writes the pages of all files that are linked to. */
export function writeSources() {
  rmSync(folder, { recursive: true, force: true })
  const pages = readdirSync(docs, { recursive: true }).filter((file) => /^(?!\.|api\/|reference\/).*\.md$/.test(file))
  for (const page of pages) {
    for (const [, href] of readFileSync(path.join(docs, page), 'utf8').matchAll(/\]\(([^)\s]+)\)/g)) {
      const file = fileOf(page, href)
      if (file === undefined) continue
      if (!existsSync(path.join(repository, file))) throw new Error(`docs/${page}: ${href} leads to nothing`)
      const target = path.join(docs, `${pageOf(file)}.md`)
      const text = readFileSync(path.join(repository, file), 'utf8').trimEnd()
      const extension = path.extname(file).slice(1)
      const language = languages[extension] ?? extension
      mkdirSync(path.dirname(target), { recursive: true })
      writeFileSync(
        target,
        `---\nsearch: false\nnext: false\nprev: false\n---\n\n# ${file}\n\n\`\`\`\`${language}\n${text}\n\`\`\`\`\n`,
      )
    }
  }
}

/** For markdown-it: leads such links to the files' pages. */
export function linkSources(markdown) {
  markdown.core.ruler.push('sources', ({ tokens, env }) => {
    for (const token of tokens.flatMap(({ children }) => children ?? [])) {
      const href = token.type === 'link_open' ? token.attrGet('href') : null
      const file = href && env.relativePath && fileOf(env.relativePath, href)
      if (file) token.attrSet('href', `/${pageOf(file)}`)
    }
  })
}

/** For markdown-it: flags and other short words in code are not broken at their hyphens. */
export function keepWords(markdown) {
  markdown.renderer.rules.code_inline = (tokens, index) => {
    const words = markdown.utils.escapeHtml(tokens[index].content).split(' ')
    const kept = words.map((word) =>
      word.includes('-') && word.length < 26 ? `<span class="word">${word}</span>` : word,
    )
    return `<code v-pre>${kept.join(' ')}</code>`
  }
}
