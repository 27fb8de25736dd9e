// The sidebar of the documentation site: every page of docs/ stands in one group, by what a reader wants. A page that is in none
// fails the build. Titles are the pages' own first headings.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

export const docs = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')

export const groups = [
  { text: 'Start', pages: ['start', 'your-dataset', 'coming-from-nnunet'] },
  {
    text: 'Data and plans',
    pages: ['file-types', 'planning', 'preprocessing', 'labels', 'augmentation'],
  },
  {
    text: 'Training',
    pages: [
      'budget',
      'optimizers',
      'best-model',
      'early-stopping',
      'longer-training',
      'resuming',
      'non-finite',
      'fine-tuning',
      'sweeps',
      'many-devices',
    ],
  },
  { text: 'Watching a run', pages: ['dashboard', 'report', 'curves', 'resources'] },
  { text: 'Using a model', pages: ['predicting', 'scripting'] },
  { text: 'Recipes', pages: ['recipes/slurm', 'recipes/systemd', 'recipes/container', 'recipes/spot-instances'] },
  { text: 'What to rely on', pages: ['reliability', 'untrusted-files', 'performance', 'scaling', 'numerics'] },
  {
    text: 'Reference',
    pages: ['reference/commands', 'reference/configuration', 'api/index', 'errors', 'doctor'],
  },
  { text: 'Inside', pages: ['architecture', 'one-step', 'decisions', 'contributing'] },
]

/** For pages whose heading is long. */
const shortTitles = {
  labels: 'Labels, regions, cascades',
  optimizers: 'Optimizer and learning rate',
  resuming: 'Stopping and resuming',
  'one-step': 'One training step',
  'non-finite': 'Losses that are not finite',
  'api/index': 'API',
}

/** Names of all pages below docs/, without .md, but the start page and the pages of single functions, types and files. */
export function pages() {
  return readdirSync(docs, { recursive: true })
    .map((file) => file.split(path.sep).join('/'))
    .filter((file) => file.endsWith('.md') && !file.startsWith('.') && file !== 'index.md')
    .map((file) => file.slice(0, -'.md'.length))
    .filter((page) => !page.startsWith('source/') && (!page.startsWith('api/') || page === 'api/index'))
    .sort()
}

/** Pages that no group names. */
export function forgottenPages() {
  const named = new Set(groups.flatMap((group) => group.pages))
  return pages().filter((page) => !named.has(page))
}

/** The first heading of a page. */
function titleOf(page) {
  const heading = /^# (.+)$/m.exec(readFileSync(path.join(docs, `${page}.md`), 'utf8'))
  if (!heading) throw new Error(`docs/${page}.md: expected a heading (# ...) as its title`)
  return heading[1]
}

/** VitePress's sidebar: the groups with the pages that are there. */
export function sidebar() {
  const forgotten = forgottenPages()
  if (forgotten.length > 0) {
    const names = forgotten.map((page) => `docs/${page}.md`).join(', ')
    throw new Error(`no group of the sidebar has ${names}: add it to docs/.vitepress/groups.mjs`)
  }
  return groups.map(({ text, pages: names }) => ({
    text,
    items: names
      .filter((page) => existsSync(path.join(docs, `${page}.md`)))
      .map((page) => ({ text: shortTitles[page] ?? titleOf(page), link: `/${page}`.replace(/index$/, '') })),
  }))
}
