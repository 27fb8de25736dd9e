// The planner against any number of goldens of the real nnU-Net, in the folder that VOXGRAD_PEER_PLANS names.
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { compareWithGolden, goldenFolders } from '../plan/goldens.js'

const root = process.env.VOXGRAD_PEER_PLANS

describe('plans of the real nnU-Net', () => {
  test.skipIf(root === undefined)('none differs (skipped unless VOXGRAD_PEER_PLANS names a folder of goldens)', () => {
    const folders = goldenFolders(root as string)
    expect(folders.length).toBeGreaterThan(0)
    for (const name of folders) {
      expect(compareWithGolden(path.join(root as string, name)).differences, name).toEqual([])
    }
  })
})
