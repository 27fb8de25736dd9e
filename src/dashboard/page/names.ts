// How runs are called on the page.
import { formatDuration } from '../../report/format.js'
import type { RunState } from '../messages.js'

/** What a run is, in two lines. */
export function titleOf(state: RunState): { title: string; detail: string } {
  const { name, dataset, configuration, plans, fold } = state
  if (dataset === '') return { title: name, detail: '' }
  const isUsual = name.endsWith(`voxgrad__${plans}__${configuration}/fold_${fold}`)
  const what = `${configuration}, fold ${fold}`
  if (isUsual) return { title: `${dataset}`, detail: `${what}, ${plans}` }
  return { title: name === '.' ? dataset : name, detail: `${dataset}, ${what}, ${plans}` }
}

/** Names as short as tells the runs apart: their places without what all have in common at both ends. */
export function shortNames(states: readonly RunState[]): string[] {
  if (states.length === 1) return states.map((state) => titleOf(state).title)
  const parts = states.map(({ name }) => name.replaceAll('__', '/').split('/'))
  const shortest = Math.min(...parts.map((one) => one.length))
  const common = (at: (one: string[], index: number) => string | undefined, most: number) => {
    let count = 0
    while (count < most && parts.every((one) => at(one, count) === at(parts[0] as string[], count))) count++
    return count
  }
  const front = common((one, index) => one[index], shortest - 1)
  const back = common((one, index) => one.at(-1 - index), shortest - 1 - front)
  return parts.map((one) => one.slice(front, one.length - back).join(' '))
}

const words: Record<RunState['status'], string> = {
  running: 'running',
  finished: 'finished',
  stopped: 'stopped',
  failed: 'failed',
  killed: 'killed',
  unreadable: 'unreadable',
}

export const statusWord = (state: RunState): string => words[state.status]

/** "epoch 12 of 50", with what is done of the present one where that is known. */
export function progressText(state: RunState): string {
  const { epoch, epochs, status, progress } = state
  if (status === 'unreadable') return ''
  const within = progress
    ? `, ${progress.job === 'training' ? 'step' : 'validation'} ${progress.done}/${progress.total}`
    : ''
  return `epoch ${epoch} of ${epochs}${within}`
}

export const leftText = (state: RunState): string =>
  state.secondsLeft === null ? '' : `${formatDuration(state.secondsLeft)} left`
