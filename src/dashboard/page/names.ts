// How runs are called on the page.
import { formatDuration } from '../../report/format.js'
import type { RunState } from '../messages.js'

/** The first part of a run's folder where it lies as `voxgrad train` and nnU-Net put it; undefined elsewhere. */
function trainerOf({ name, plans, configuration, fold }: RunState): string | undefined {
  const end = `__${plans}__${configuration}/fold_${fold}`
  return name.endsWith(end) ? name.slice(0, -end.length).split('/').at(-1) : undefined
}

const withoutNumber = (dataset: string): string => dataset.replace(/^Dataset\d{3}_/, '')

/** What a run is, in two lines. */
export function titleOf(state: RunState): { title: string; detail: string } {
  const { name, dataset, configuration, plans, fold } = state
  if (dataset === '') return { title: name, detail: '' }
  const trainer = trainerOf(state)
  if (trainer !== undefined || name === '.') {
    const title = `${withoutNumber(dataset)} ${configuration}, fold ${fold}`
    return { title, detail: [dataset, plans, trainer !== 'voxgrad' && trainer].filter(Boolean).join(', ') }
  }
  return { title: name, detail: `${dataset}, ${configuration}, fold ${fold}, ${plans}` }
}

/** Names as short as tells the runs apart. */
export function shortNames(states: readonly RunState[]): string[] {
  if (states.length === 1) return states.map((state) => titleOf(state).title)
  const parts = states.map((state) => {
    const { dataset, configuration, plans, fold } = state
    const trainer = trainerOf(state)
    return trainer === undefined ? null : [withoutNumber(dataset), trainer, configuration, plans, `fold ${fold}`]
  })
  const usual = parts.filter((one) => one !== null)
  const names = parts.map((one, index) => {
    if (one === null) return states[index]?.name ?? ''
    const telling = one.filter((part, place) => usual.some((other) => other[place] !== part))
    const all = one.filter((part) => part !== 'voxgrad')
    return (telling.length > 0 ? telling : all).join(' ')
  })
  const isClear = new Set(names).size === names.length
  return isClear ? names : states.map(({ name }) => name)
}

export const statusWord = (state: RunState): string => state.status

const jobs = { training: 'step', validation: 'validation', cases: 'case' }

/** "epoch 12 of 50", with what is done of the present one where that is known. */
export function progressText(state: RunState): string {
  const { epoch, epochs, status, progress } = state
  if (status === 'unreadable') return ''
  const within = progress ? `, ${jobs[progress.job]} ${progress.done}/${progress.total}` : ''
  return `epoch ${epoch} of ${epochs}${within}`
}

export const leftText = (state: RunState): string =>
  state.secondsLeft === null ? '' : `${formatDuration(state.secondsLeft)} left`

/** A metric of bestModel in words. */
export function metricText(metric: string): string {
  const words: Record<string, string> = {
    ema_fg_dice: 'moving average',
    mean_fg_dice: 'Dice of the epoch',
    val_loss: 'validation loss',
  }
  return words[metric] ?? metric.replace(/^label:/, '')
}
