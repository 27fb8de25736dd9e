// What the page is made of: a closed list of files, its own and those of its libraries.
import { createHash } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { VoxgradError } from '../errors.js'

// Named from the root, so that src/ as it is run by the tests finds the compiled page too.
const compiled = fileURLToPath(new URL('../../dist/', import.meta.url))
const require = createRequire(import.meta.url)

const types: Record<string, string> = {
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/** Compiled modules outside of the page's folder that it imports. */
const shared = ['dashboard/messages.js', 'report/format.js']

export interface Assets {
  html: string
  /** Hash of the import map for the content security policy. */
  importMapHash: string
  /** By path of the address; nothing else is served. */
  files: ReadonlyMap<string, { file: string; type: string }>
}

/** @throws VoxgradError ERR_INTERNAL if the page was not built */
export async function loadAssets(): Promise<Assets> {
  const page = path.join(compiled, 'dashboard/page')
  if (!existsSync(path.join(page, 'index.html'))) {
    throw new VoxgradError('ERR_INTERNAL', `${page}: expected the dashboard's page, which \`npm run setup\` builds`)
  }
  const uplot = path.dirname(require.resolve('uplot'))
  // The one form of NiiVue that needs no other package and no eval; it is no module, and its exports do not name it.
  const niivue = fileURLToPath(new URL('../../dist/niivue.umd.js', import.meta.resolve('@niivue/niivue')))
  const files = new Map<string, { file: string; type: string }>()
  const add = (address: string, file: string) => {
    const type = types[path.extname(file)]
    if (type) files.set(address, { file, type })
  }
  for (const name of readdirSync(page)) add(`/assets/dashboard/page/${name}`, path.join(page, name))
  for (const name of shared) add(`/assets/${name}`, path.join(compiled, name))
  add('/assets/libraries/uplot.js', path.join(uplot, 'uPlot.esm.js'))
  add('/assets/libraries/uplot.css', path.join(uplot, 'uPlot.min.css'))
  add('/assets/libraries/niivue.js', niivue)

  const map = JSON.stringify({ imports: { uplot: '/assets/libraries/uplot.js' } })
  const html = await readFile(path.join(page, 'index.html'), 'utf8')
  return {
    html: html.replace('<!-- import map -->', `<script type="importmap">${map}</script>`),
    importMapHash: `sha256-${createHash('sha256').update(map).digest('base64')}`,
    files,
  }
}
