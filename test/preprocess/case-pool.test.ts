// How many cases are worked on at once, and what ends the work.
import { setTimeout as wait } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { forEachCase } from '../../src/case-pool.js'
import { VoxgradError } from '../../src/errors.js'

const items = Array.from({ length: 8 }, (_, index) => ({ caseId: `case_${index}`, index }))

/** The largest number of cases that were worked on at the same time. */
async function mostAtOnce(jobs: number, bytes: number): Promise<number> {
  let running = 0
  let most = 0
  const work = async () => {
    running += 1
    most = Math.max(most, running)
    await wait(2)
    running -= 1
  }
  await forEachCase(items, work, () => bytes, { jobs })
  return most
}

describe('forEachCase', () => {
  it('runs as many at once as jobs allows', async () => {
    expect(await mostAtOnce(3, 1)).toBe(3)
  })

  it('runs one at a time where the memory is not enough for two', async () => {
    expect(await mostAtOnce(3, 1e18)).toBe(1)
  })

  it('returns the results in the order of the items', async () => {
    const work = async ({ index }: { index: number }) => {
      await wait(8 - index)
      return index
    }
    expect(await forEachCase(items, work, () => 1, { jobs: 4 })).toEqual(items.map(({ index }) => index))
  })

  it('tries all cases where some are faulty, and ends at once on any other failure', async () => {
    const tried: string[] = []
    const failing = (code: 'ERR_DATASET' | 'ERR_DISK') => async (item: { caseId: string }) => {
      tried.push(item.caseId)
      throw new VoxgradError(code, 'no good')
    }
    const faults = forEachCase(items, failing('ERR_DATASET'), () => 1, { jobs: 2 })
    await expect(faults).rejects.toThrow(/8 of 8 cases are faulty/)
    tried.length = 0
    await expect(forEachCase(items, failing('ERR_DISK'), () => 1, { jobs: 2 })).rejects.toThrow(/^no good$/)
    expect(tried.length).toBeLessThanOrEqual(2)
  })
})
