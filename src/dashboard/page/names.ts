// How runs are called on the page.
import { formatDuration } from '../../report/format.js'
import type { RunState } from '../messages.js'

/** Where `voxgrad train` puts a run unless it is told a place. */
const isUsualPlace = ({ name, plans, configuration, fold }: RunState): boolean =>
  name.endsWith(`voxgrad__${plans}__${configuration}/fold_${fold}`)

const withoutNumber = (dataset: string): string => dataset.replace(/^Dataset\d{3}_/, '')

/** What a run is, in two lines. */
export function titleOf(state: RunState): { title: string; detail: string } {
  const { name, dataset, configuration, plans, fold } = state
  if (dataset === '') return { title: name, detail: '' }
  if (isUsualPlace(state) || name === '.')
    return { title: `${withoutNumber(dataset)} ${configuration}, fold ${fold}`, detail: `${dataset}, ${plans}` }
  return { title: name, detail: `${dataset}, ${configuration}, fold ${fold}, ${plans}` }
}

/** Names as short as tells the runs apart. */
export function shortNames(states: readonly RunState[]): string[] {
  if (states.length === 1) return states.map((state) => titleOf(state).title)
  const parts = states.map((state) => {
    const { dataset, configuration, plans, fold } = state
    return isUsualPlace(state) ? [withoutNumber(dataset), configuration, plans, `fold ${fold}`] : null
  })
  const usual = parts.filter((one) => one !== null)
  const names = parts.map((one, index) => {
    if (one === null) return states[index]?.name ?? ''
    const telling = one.filter((part, place) => usual.some((other) => other[place] !== part))
    return telling.length > 0 ? telling.join(' ') : one.join(' ')
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
