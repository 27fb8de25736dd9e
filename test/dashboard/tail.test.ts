// Following a file that another process appends to, cuts and replaces.
import { appendFile, mkdtemp, open, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Tail } from '../../src/dashboard/tail.js'

let folder: string
let file: string
let tail: Tail

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'voxgrad-tail-'))
  file = path.join(folder, 'metrics.jsonl')
  tail = new Tail(() => open(file, 'r'))
})
afterEach(() => rm(folder, { recursive: true }))

describe('Tail', () => {
  it('gives each line once, when its newline is there', async () => {
    expect(await tail.read()).toEqual({ isAnew: false, lines: [] })
    await writeFile(file, '{"a":1}\n{"a":')
    expect(await tail.read()).toEqual({ isAnew: false, lines: ['{"a":1}'] })
    expect(await tail.read()).toEqual({ isAnew: false, lines: [] })
    await appendFile(file, '2}\n')
    expect(await tail.read()).toEqual({ isAnew: false, lines: ['{"a":2}'] })
  })

  it('goes on where only an incomplete line was cut off', async () => {
    await writeFile(file, 'one\ntw')
    await tail.read()
    await truncate(file, 4)
    await appendFile(file, 'three\n')
    expect(await tail.read()).toEqual({ isAnew: false, lines: ['three'] })
  })

  it('begins anew after a cut, a replacement, and one that has grown past the old end', async () => {
    await writeFile(file, 'one\ntwo\n')
    await tail.read()
    await truncate(file, 4)
    expect(await tail.read()).toEqual({ isAnew: true, lines: ['one'] })
    await writeFile(`${file}.new`, 'one\nother\n')
    await rename(`${file}.new`, file)
    expect(await tail.read()).toEqual({ isAnew: true, lines: ['one', 'other'] })
    await writeFile(file, 'eno\nother\nand more\n')
    expect(await tail.read()).toEqual({ isAnew: true, lines: ['eno', 'other', 'and more'] })
    await rm(file)
    expect(await tail.read()).toEqual({ isAnew: true, lines: [] })
  })

  it('has at every moment the lines of the file, whatever is written in which pieces', async () => {
    const piece = fc.string({ unit: fc.constantFrom('a', 'b', '\u00e9', '\n'), maxLength: 12 })
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 12 }), async (pieces) => {
        await rm(file, { force: true })
        const follower = new Tail(() => open(file, 'r'))
        const found: string[] = []
        let text = ''
        for (const bytes of pieces.map((one) => Buffer.from(one))) {
          // Cut in the middle of a character too.
          const half = Math.floor(bytes.length / 2)
          for (const part of [bytes.subarray(0, half), bytes.subarray(half)]) {
            await appendFile(file, part)
            found.push(...(await follower.read()).lines)
          }
          text += bytes.toString()
          expect(found).toEqual(
            text
              .slice(0, text.lastIndexOf('\n') + 1)
              .split('\n')
              .filter((line) => line !== ''),
          )
        }
      }),
      { numRuns: 60 },
    )
  })
})
