// Makes the built site independent of where it lies: links of pages become relative, and scripts learn the site's place from the
// page that loads them. VitePress itself knows one fixed base only.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import ts from 'typescript'

/** The base that the site is built with; it stands nowhere else. */
export const placeholder = '/__voxgrad_site__/'
const place = 'globalThis.__siteBase'

/** @param folder the site, built with the placeholder as its base */
export function makePortable(folder) {
  for (const file of readdirSync(folder, { recursive: true })) {
    if (!/\.(html|js|css)$/.test(file)) continue
    const full = path.join(folder, file)
    const text = readFileSync(full, 'utf8')
    if (!text.includes(placeholder)) continue
    if (file.endsWith('.css')) throw new Error(`${file}: expected style sheets with relative addresses`)
    writeFileSync(full, file.endsWith('.js') ? portableScript(text) : portablePage(text, file))
  }
}

function portablePage(text, file) {
  const up = '../'.repeat(file.split(path.sep).length - 1) || './'
  const learn = `<script>${place}=new URL('${up}',location.href).pathname</script>`
  return text.replaceAll(placeholder, up).replace('<head>', `<head>${learn}`)
}

/** Every text that has the placeholder gets the place instead, when the script runs. */
function portableScript(text) {
  const source = ts.createSourceFile('script.js', text, ts.ScriptTarget.Latest, false, ts.ScriptKind.JS)
  const parts = []
  let end = 0
  const visit = (node) => {
    const isText = ts.isStringLiteralLike(node) || ts.isTemplateExpression(node)
    const written = isText ? text.slice(node.getStart(source), node.end) : ''
    if (!written.includes(placeholder)) return ts.forEachChild(node, visit)
    parts.push(text.slice(end, node.getStart(source)), `(${written}.replaceAll('${placeholder}',${place}))`)
    end = node.end
  }
  visit(source)
  return parts.join('') + text.slice(end)
}
