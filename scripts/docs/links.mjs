// Checks the built site: every link, picture, script and anchor leads to something that is there, and nothing comes from elsewhere.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'

/** Attributes of a page that name a file or place; text in code blocks is escaped and cannot look like one. */
const reference = /<(\w+)[^>]*?\s(?:href|src)="([^"]*)"/g
const elsewhere = /^(?:[a-z]+:)?\/\//i

/**
 * @param folder the built site
 * @throws Error naming every fault
 */
export function checkLinks(folder) {
  const files = readdirSync(folder, { recursive: true }).filter((file) => file.endsWith('.html'))
  const text = new Map(files.map((file) => [path.join(folder, file), readFileSync(path.join(folder, file), 'utf8')]))
  const anchors = new Map([...text].map(([file, html]) => [file, new Set(idsOf(html))]))
  const faults = []
  let count = 0
  for (const [page, html] of text) {
    for (const [, tag, raw] of html.matchAll(reference)) {
      const target = raw.replaceAll('&amp;', '&')
      if (/^(?:data|mailto):/.test(target)) continue
      const where = path.relative(folder, page)
      if (elsewhere.test(target)) {
        if (tag !== 'a') faults.push(`${where}: ${tag} loads ${target} from elsewhere`)
        continue
      }
      count++
      const [file, anchor] = target.split('#')
      const found = file === '' ? page : fileOf(page, decodeURI(file))
      if (!found) faults.push(`${where}: ${target} leads to nothing`)
      else if (anchor && !anchors.get(found)?.has(decodeURIComponent(anchor)))
        faults.push(`${where}: ${target} has no such anchor`)
    }
  }
  if (faults.length > 0)
    throw new Error(`${faults.length} faulty links:\n${[...new Set(faults)].map((f) => `  ${f}`).join('\n')}`)
  console.log(`${files.length} pages, ${count} links and anchors checked`)
}

const idsOf = (html) => [...html.matchAll(/\sid="([^"]*)"/g)].map(([, id]) => id.replaceAll('&amp;', '&'))

/** The file that a relative link leads to, or undefined. */
function fileOf(page, target) {
  if (target.startsWith('/')) return undefined
  const full = path.resolve(path.dirname(page), target)
  const file = existsSync(full) && statSync(full).isDirectory() ? path.join(full, 'index.html') : full
  return [file, `${file}.html`].find((candidate) => existsSync(candidate) && statSync(candidate).isFile())
}
