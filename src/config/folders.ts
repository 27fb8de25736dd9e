// The three roots of nnU-Net (raw, preprocessed, results) and the way from a dataset's id or name to its folder.
import { readdirSync } from 'node:fs'
import path from 'node:path'
import { VoxgradError } from '../errors.js'
import { didYouMean } from './issues.js'

/** Absolute paths. A root that is not set throws ERR_CONFIG only when it is asked for. */
export interface Folders {
  readonly raw: string
  readonly preprocessed: string
  readonly results: string
}

export interface FolderOptions {
  raw?: string | undefined
  preprocessed?: string | undefined
  results?: string | undefined
}

type Root = keyof Folders
const roots: Root[] = ['raw', 'preprocessed', 'results']

function rootOf(root: Root, options: FolderOptions, environment: NodeJS.ProcessEnv): string | undefined {
  const found = options[root] || environment[`nnUNet_${root}`]
  return found ? path.resolve(found) : undefined
}

/**
 * The roots from options (the flags --raw, --preprocessed, --results), else from nnUNet_raw, nnUNet_preprocessed and
 * nnUNet_results.
 * @throws VoxgradError ERR_FOLDER_NOT_SET, when a root that is not set is read
 */
export function resolveFolders(options: FolderOptions = {}, environment: NodeJS.ProcessEnv = process.env): Folders {
  const need = (root: Root): string => {
    const found = rootOf(root, options, environment)
    if (found !== undefined) return found
    throw new VoxgradError('ERR_FOLDER_NOT_SET', {
      found: `The folder for ${root} data is not set`,
      remedy: `Give --${root} FOLDER, or set the environment variable nnUNet_${root}.`,
    })
  }
  return {
    get raw() {
      return need('raw')
    },
    get preprocessed() {
      return need('preprocessed')
    },
    get results() {
      return need('results')
    },
  }
}

/** The folder name of a dataset: Dataset004_Hippocampus. */
export interface DatasetName {
  id: number
  name: string
}

/** Reads 'Dataset004_Hippocampus' as id and name; undefined for any other text. */
export function parseDatasetName(text: string): DatasetName | undefined {
  const match = /^Dataset(\d{3})_[^/\\]+$/.exec(text)
  return match ? { id: Number(match[1]), name: text } : undefined
}

/**
 * Finds a dataset by id ('4', '004') or name ('Dataset004_Hippocampus') in the three roots, as far as they are set.
 * @throws VoxgradError ERR_DATASET_NOT_FOUND if there is none or an id has several names; the message lists what is there
 */
export function findDataset(folders: Folders, idOrName: string): DatasetName {
  const searched: string[] = []
  const found = new Map<string, DatasetName>()
  for (const root of roots) {
    const folder = folderIfSet(folders, root)
    if (folder === undefined) continue
    searched.push(folder)
    for (const name of namesIn(folder)) found.set(name.name, name)
  }
  if (searched.length === 0) {
    throw new VoxgradError('ERR_FOLDER_NOT_SET', {
      found: `No folder to look for dataset ${idOrName} is set`,
      remedy: 'Give --raw FOLDER, or set the environment variable nnUNet_raw.',
    })
  }
  const id = /^\d{1,3}$/.test(idOrName) ? Number(idOrName) : undefined
  const matches = [...found.values()].filter((dataset) => dataset.name === idOrName || dataset.id === id)
  const [match] = matches
  if (match !== undefined && matches.length === 1) return match

  const list = (datasets: DatasetName[]) =>
    datasets
      .map((dataset) => dataset.name)
      .sort()
      .join(', ')
  if (matches.length > 1) {
    throw new VoxgradError('ERR_DATASET_NOT_FOUND', {
      found: `Dataset id ${idOrName} is not unique: there are ${list(matches)} in ${searched.join(', ')}`,
      remedy: 'Give the full name, or rename or move one.',
    })
  }
  const there = found.size === 0 ? 'no dataset' : list([...found.values()])
  throw new VoxgradError('ERR_DATASET_NOT_FOUND', {
    found: `Dataset ${idOrName} was not found: there is ${there} in ${searched.join(', ')}${didYouMean(idOrName, [...found.keys()])}`,
  })
}

function folderIfSet(folders: Folders, root: Root): string | undefined {
  try {
    return folders[root]
  } catch {
    return undefined
  }
}

function namesIn(folder: string): DatasetName[] {
  try {
    return readdirSync(folder)
      .map(parseDatasetName)
      .filter((name) => name !== undefined)
  } catch {
    return []
  }
}
