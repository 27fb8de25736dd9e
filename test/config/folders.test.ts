// Flags before environment variables; datasets found by id and name.
import { mkdirSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { findDataset, resolveFolders } from '../../src/config/folders.js'

const root = mkdtempSync(path.join(tmpdir(), 'voxgrad-folders-'))
for (const name of ['raw/Dataset004_Hippocampus', 'raw/Dataset010_A', 'results/Dataset010_B', 'raw/notes']) {
  mkdirSync(path.join(root, name), { recursive: true })
}
const environment = { nnUNet_raw: path.join(root, 'raw'), nnUNet_results: path.join(root, 'results') }

test('flags win over variables, and an unset folder fails only when it is used', () => {
  const folders = resolveFolders({ raw: '/elsewhere' }, environment)
  expect(folders.raw).toBe('/elsewhere')
  expect(folders.results).toBe(environment.nnUNet_results)
  expect(() => folders.preprocessed).toThrow(
    /--preprocessed FOLDER, or set the environment variable nnUNet_preprocessed/,
  )
})

describe('findDataset', () => {
  const folders = resolveFolders({}, environment)

  test.each(['4', '004', 'Dataset004_Hippocampus'])('%s', (text) => {
    expect(findDataset(folders, text)).toEqual({ id: 4, name: 'Dataset004_Hippocampus' })
  })

  test('says what is there instead, and refuses an id with two names', () => {
    expect(() => findDataset(folders, '5')).toThrow(/there is Dataset004_Hippocampus, Dataset010_A, Dataset010_B/)
    expect(() => findDataset(folders, '10')).toThrow(/not unique: there are Dataset010_A, Dataset010_B/)
    expect(() => findDataset(resolveFolders({}, {}), '4')).toThrow(/nnUNet_raw/)
  })
})
