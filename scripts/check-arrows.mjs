// Checks that imports point one way: each folder of src/ and native/ may use only the folders listed for it.
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')

/** Folder -> folders that it may import from. Files directly in src/ and native/ are free to all. */
const allowed = {
  src: {
    config: ['native', 'plan', 'dataset'],
    native: [],
    dataset: ['native', 'config'],
    plan: ['dataset', 'preprocess', 'config', 'native'],
    preprocess: ['dataset', 'plan', 'native', 'config'],
    report: ['train', 'config', 'dataset', 'native', 'plan'],
    validate: ['config', 'dataset', 'native', 'plan', 'preprocess', 'train'],
    predict: ['config', 'dataset', 'native', 'plan', 'preprocess', 'train', 'validate'],
    ranks: ['config', 'dataset', 'native', 'predict', 'train', 'validate'],
    train: ['config', 'dataset', 'native', 'plan', 'preprocess', 'predict', 'ranks', 'report', 'validate'],
    sweep: ['config', 'dataset', 'plan', 'train', 'validate'],
    bench: ['config', 'dataset', 'native', 'plan', 'report'],
    dashboard: ['config', 'dataset', 'report', 'train', 'validate'],
    select: ['config', 'dataset', 'native', 'plan', 'preprocess', 'validate'],
    cli: [
      'bench',
      'config',
      'dashboard',
      'dataset',
      'native',
      'plan',
      'predict',
      'preprocess',
      'ranks',
      'report',
      'select',
      'sweep',
      'train',
      'validate',
    ],
  },
  native: {
    io: [],
    kernels: [],
    dist: ['kernels'],
    preprocess: ['io'],
    augment: ['kernels'],
    data: ['io', 'kernels'],
    engine: ['augment', 'data', 'dist', 'io', 'kernels'],
    check: ['data', 'dist', 'engine', 'io', 'kernels'],
    fuzz: ['io'],
    addon: ['augment', 'data', 'dist', 'engine', 'io', 'kernels', 'preprocess'],
  },
}

function* filesBelow(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const full = path.join(folder, entry.name)
    if (entry.isDirectory()) yield* filesBelow(full)
    else yield full
  }
}

/** Folders that a file imports from, as the first part below src/ or native/. */
function imports(tree, file) {
  const text = readFileSync(file, 'utf8')
  if (tree === 'native') return [...text.matchAll(/^#include "([^"/]+)\//gm)].map((match) => match[1])
  return [...text.matchAll(/from '(\.[^']+)'/g)].map((match) => {
    const target = path.relative(path.join(root, tree), path.resolve(path.dirname(file), match[1]))
    return target.includes(path.sep) ? target.split(path.sep)[0] : ''
  })
}

const faults = []
for (const [tree, rules] of Object.entries(allowed)) {
  for (const file of filesBelow(path.join(root, tree))) {
    const relative = path.relative(path.join(root, tree), file)
    const folder = relative.includes(path.sep) ? relative.split(path.sep)[0] : ''
    if (folder === '') continue
    const rule = rules[folder]
    if (!rule) {
      faults.push(`${tree}/${relative}: the folder ${folder} has no rule in scripts/check-arrows.mjs`)
      continue
    }
    for (const target of imports(tree, file)) {
      if (target !== '' && target !== folder && !rule.includes(target))
        faults.push(`${tree}/${relative} imports from ${tree}/${target}`)
    }
  }
}
if (faults.length > 0) {
  console.error(`imports against the arrows:\n${[...new Set(faults)].map((fault) => `  ${fault}`).join('\n')}`)
  process.exit(1)
}
console.log('imports follow the arrows')
