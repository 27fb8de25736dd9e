// The live view in a real terminal, driven by tmux: what is on the screen while a run trains, its window is resized, and it ends.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'

const terminalModule = fileURLToPath(new URL('../../dist/report/terminal.js', import.meta.url))
const hasTmux = spawnSync('tmux', ['-V']).status === 0
if (!hasTmux) console.log('skipped: a real terminal, because tmux is not installed')

const root = mkdtempSync(path.join(tmpdir(), 'voxgrad-terminal-'))
const socket = path.join(root, 'socket')
const tmux = (...args: string[]) => spawnSync('tmux', ['-S', socket, '-f', '/dev/null', ...args], { encoding: 'utf8' })
afterAll(() => {
  tmux('kill-server')
  rmSync(root, { recursive: true })
})

/** Rows of the screen that are not empty. */
const screen = () =>
  tmux('capture-pane', '-p')
    .stdout.split('\n')
    .map((row) => row.trimEnd())
    .filter((row) => row !== '')

async function until(isThere: (rows: string[]) => boolean): Promise<string[]> {
  for (let wait = 0; wait < 200; wait++) {
    const rows = screen()
    if (isThere(rows)) return rows
    await sleep(50)
  }
  throw new Error(`never came:\n${screen().join('\n')}`)
}

/** The view with work that goes on until it is told to end, as a run shows it. */
const program = `
import { TerminalView } from ${JSON.stringify(terminalModule)}
const view = new TerminalView(process.stdout)
view.message('started')
view.table({ epochs: 1000, labels: ['Anterior', 'Posterior'] })
const row = { trainLoss: -0.81, valLoss: -0.7, dicePerLabel: [0.9, 0.8], ema: 0.85, isBest: true, learningRate: 0.01, seconds: 9, secondsLeft: 99 }
let done = 0
const timer = setInterval(() => {
  done++
  if (done % 10 === 0) view.epoch({ ...row, epoch: done / 10 - 1 })
  view.progress({ title: 'epoch 12/1000', done: done % 250, total: 250, unit: 'step', detail: 'loss -0.412',
    facts: ['last train -0.381, val -0.402', 'memory 312.4 MiB'], secondsLeft: 60, totalSecondsLeft: 8040, budgetSecondsLeft: 3600 })
}, 40)
process.on('SIGINT', () => {
  clearInterval(timer)
  view.warning('ending')
  view.close()
  view.message('ended')
})
`

test.skipIf(!hasTmux)('one block below the epochs, at every width, and a clean screen after Ctrl-C', async () => {
  writeFileSync(path.join(root, 'view.mjs'), program)
  const start = tmux(
    'new-session',
    '-d',
    '-x',
    '100',
    '-y',
    '40',
    `env PS1='ready> ' TERM=screen bash --noprofile --norc`,
  )
  expect(start.stderr).toBe('')
  tmux('send-keys', `${process.execPath} ${path.join(root, 'view.mjs')}`, 'Enter')
  const wide = await until((rows) => rows.some((row) => row.startsWith(' 3/1000') || row.includes('3/1000 ')))
  expect(wide.at(-2)).toMatch(/^epoch 12\/1000 \u2501*\u2500* {2}\d+\/250 {2}.*1m00s left$/)
  expect(wide.at(-1)).toMatch(
    /^loss -0\.412 {3}last train .* {3}memory 312\.4 MiB {3}run 2h14m left {3}budget 1h00m left$/,
  )
  for (const columns of [40, 80, 57, 120, 40, 100]) {
    tmux('resize-window', '-x', String(columns), '-y', '40')
    await sleep(600)
    const rows = screen()
    // Nothing of an earlier block is left anywhere.
    expect(
      rows.filter((row) => row.includes('epoch 12/1000')),
      rows.join('\n'),
    ).toHaveLength(1)
    expect(rows.join('\n').match(/budget/g), rows.join('\n')).toHaveLength(1)
    // And no row above it was erased, those included that have scrolled away.
    const all = tmux('capture-pane', '-p', '-J', '-S', '-').stdout
    const epochs = [...all.matchAll(/^ +(\d+)\/1000 /gm)].map(([, epoch]) => Number(epoch))
    expect(epochs).toEqual(epochs.map((_, index) => index + 1))
    expect(all).toMatch(/^started$/m)
  }
  expect(tmux('display', '-p', '#{cursor_flag}').stdout).toBe('0\n')
  tmux('send-keys', 'C-c')
  const rows = await until((shown) => shown.at(-1)?.startsWith('ready>') === true && shown.length > 3)
  expect(rows.slice(-3)).toEqual(['warning: ending', 'ended', 'ready>'])
  expect(rows.join('\n')).not.toContain('epoch 12/1000')
  expect(tmux('display', '-p', '#{cursor_flag}').stdout).toBe('1\n')
})
