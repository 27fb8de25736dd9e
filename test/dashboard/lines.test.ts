// Lines of a run on their way: from metrics.jsonl to rows and notes, to the page's columns; and volumes made from labels.
import { describe, expect, it } from 'vitest'
import type { RunState } from '../../src/dashboard/messages.js'
import { differences, outline } from '../../src/dashboard/page/label-volumes.js'
import { shortNames } from '../../src/dashboard/page/names.js'
import { RunData } from '../../src/dashboard/page/store.js'
import { RunLines } from '../../src/dashboard/run-lines.js'

const epoch = (number: number, more: object = {}) =>
  JSON.stringify({
    type: 'epoch',
    epoch: number,
    step: 10 * (number + 1),
    seconds: 1800,
    dice_per_class: [0.5, null],
    ...more,
  })
const best = (number: number, value: number) =>
  JSON.stringify({ type: 'new_best', epoch: number, step: 10 * (number + 1), metric: 'ema_fg_dice', value })

describe('lines of a run', () => {
  it('reach the page as they came, whatever it had before', () => {
    const lines = new RunLines()
    const page = new RunData()
    const pass = (sequence: number) => {
      const news = lines.since('run', page.sequence)
      expect(news?.sequence).toBe(sequence)
      expect(news && page.take(news)).toBe(true)
    }
    lines.take([epoch(0, { train_loss: 1 / 3 }), best(0, 0.2), epoch(1)], false, 1)
    lines.take([epoch(2), best(2, 0.6), epoch(3)], false, 4)
    pass(4)
    expect(page.column('epoch')).toEqual([0, 1, 2, 3])
    expect(page.column('trainLoss')).toEqual([0.3333333, null, null, null])
    expect(page.dice).toEqual([
      [0.5, 0.5, 0.5, 0.5],
      [null, null, null, null],
    ])
    expect(page.hours).toEqual([0.5, 1, 1.5, 2])
    expect(page.best(false)).toEqual([0.2, 0.2, 0.6, 0.6])
    expect(lines.since('run', 4)).toBeNull()

    // An epoch that was trained again takes the place of the earlier one and of those after it.
    lines.take([epoch(2, { train_loss: 2 })], false, 6)
    expect(lines.since('run', 4)).toMatchObject({ rowsFrom: 2, rows: [expect.any(Array)] })
    pass(6)
    expect(page.column('trainLoss')).toEqual([0.3333333, null, 2])

    lines.take([epoch(0)], true, 7)
    pass(7)
    expect([page.length, page.notes.length, page.hours]).toEqual([1, 0, [0.5]])
  })

  it('have warnings and advice where the run then was, and a best loss apart from a best Dice', () => {
    const lines = new RunLines()
    const page = new RunData()
    const note = (type: string) => JSON.stringify({ type, text: type })
    const lowest = JSON.stringify({ type: 'new_best', epoch: 1, step: 20, metric: 'val_loss', value: -0.3 })
    lines.take([note('warning'), epoch(0), epoch(1), lowest, note('advice'), epoch(2), best(2, 0.6)], false, 1)
    const all = lines.since('run', -1)
    expect(all && page.take(all)).toBe(true)
    const places = page.notes.map(({ kind, epoch: at, step }) => [kind, at, step])
    expect(places.filter(([kind]) => kind !== 'new_best')).toEqual([
      ['warning', null, null],
      ['advice', 2, 20],
    ])
    expect(page.best(true)).toEqual([null, -0.3, -0.3])
    expect(page.best(false)).toEqual([null, null, 0.6])
  })

  it('are asked for again where some are missing, and left out where they are old', () => {
    const page = new RunData()
    const part = { run: 'run', rows: [], notesFrom: 0, notes: [] }
    expect(page.take({ ...part, sequence: 9, rowsFrom: 3 })).toBe(false)
    expect(page.take({ ...part, sequence: 9, rowsFrom: 0, rows: [[0, 10, 1]] })).toBe(true)
    expect(page.take({ ...part, sequence: 8, rowsFrom: 0 })).toBe(true)
    expect(page.length).toBe(1)
  })
})

describe('names of runs', () => {
  const state = (configuration: string, fold: string, name = `D/voxgrad__P__${configuration}/fold_${fold}`) =>
    ({ name, dataset: 'Dataset004_Heart', configuration, plans: 'P', fold }) as RunState

  it('are as short as tells them apart', () => {
    expect(shortNames([state('2d', '0'), state('2d', '1')])).toEqual(['fold 0', 'fold 1'])
    expect(shortNames([state('2d', '0'), state('3d_fullres', '1')])).toEqual(['2d fold 0', '3d_fullres fold 1'])
    expect(shortNames([state('2d', '0'), state('2d', '0', 'sweep/a')])).toEqual(['Heart 2d P fold 0', 'sweep/a'])
    const theirs = state('2d', '0', 'Dataset004_Heart/nnUNetTrainer__P__2d/fold_0')
    expect(shortNames([state('2d', '0'), theirs])).toEqual(['voxgrad', 'nnUNetTrainer'])
    const same = [state('2d', '0', 'a/voxgrad__P__2d/fold_0'), state('2d', '0', 'b/voxgrad__P__2d/fold_0')]
    expect(shortNames(same)).toEqual(same.map(({ name }) => name))
  })
})

describe('volumes from labels', () => {
  it("have the outline of every label, the volume's edge and flat images included", () => {
    const cube = Uint16Array.from({ length: 125 }, (_, index) =>
      [index % 5, Math.floor(index / 5) % 5, Math.floor(index / 25)].every((place) => place > 0 && place < 4) ? 7 : 0,
    )
    const shell = outline(cube, [5, 5, 5])
    expect(shell[62]).toBe(0)
    expect(shell.filter((label) => label === 7)).toHaveLength(26)
    const full = new Uint16Array(16).fill(3)
    expect([...outline(full, [4, 4, 1])]).toEqual([3, 3, 3, 3, 3, 0, 0, 3, 3, 0, 0, 3, 3, 3, 3, 3])
  })

  it('tell what was missed, too much, and another class', () => {
    const truth = Uint16Array.from([0, 1, 2, 0, 1])
    const prediction = Uint16Array.from([0, 1, 1, 2, 0])
    expect([...differences(truth, prediction)]).toEqual([0, 0, 3, 2, 1])
  })
})
