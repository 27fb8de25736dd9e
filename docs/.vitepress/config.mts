// The documentation site: VitePress over docs/*.md, with local search and nothing from elsewhere.
import path from 'node:path'
import { defineConfig } from 'vitepress'
import { docs, sidebar } from './groups.mjs'
import { keepWords, linkSources } from './sources.mjs'

const repository = path.dirname(docs)

export default defineConfig({
  lang: 'en-US',
  title: 'voxgrad',
  description: 'Trains nnU-Net segmentation networks from TypeScript on a C++ libtorch engine',
  outDir: path.join(repository, 'build/site'),
  cacheDir: path.join(repository, 'build/site-cache'),
  metaChunk: true,
  head: [['link', { rel: 'icon', href: 'data:,' }]],
  markdown: {
    config(markdown) {
      linkSources(markdown)
      keepWords(markdown)
    },
  },
  themeConfig: {
    nav: [
      { text: 'Start', link: '/start' },
      { text: 'Commands', link: '/reference/commands' },
      { text: 'Configuration', link: '/reference/configuration' },
      { text: 'API', link: '/api/' },
    ],
    sidebar: sidebar(),
    outline: [2, 3],
    search: { provider: 'local' },
    docFooter: { prev: 'Before', next: 'Next' },
  },
})
