// The numbers of the selected runs: large ones for a single run, a table for several.
import { formatDuration, formatFixed, formatRate } from '../../report/format.js'
import { element, find } from './dom.js'
import { metricText, progressText, shortNames, statusWord, titleOf } from './names.js'
import type { RunData, Shown } from './store.js'

const last = (values: readonly (number | null)[]): number | null => values.at(-1) ?? null
const grouped = (value: number): string => String(value).replace(/\B(?=(\d{3})+(?!\d))/g, ',')

export class Summary {
  readonly #root = find('summary')
  #drawn = ''

  draw(shown: Shown[], hasRuns: boolean): void {
    const only = shown.length === 1 ? shown[0] : undefined
    const made = only ? facts(only) : shown.length > 1 ? table(shown) : waiting(hasRuns)
    const text = made.map((node) => node.outerHTML).join('')
    if (text === this.#drawn) return
    this.#drawn = text
    this.#root.replaceChildren(...made)
  }
}

function waiting(hasRuns: boolean): HTMLElement[] {
  if (hasRuns) return [element('p', { class: 'invitation' }, 'Choose runs from the list to see their curves.')]
  return [
    element(
      'div',
      { class: 'invitation' },
      element('h2', {}, 'Waiting for the first run'),
      element(
        'p',
        {},
        'No run was found below the folder that this dashboard watches. Start one, and it appears here:',
      ),
      element('pre', {}, element('code', {}, 'voxgrad train DATASET 3d_fullres 0')),
    ),
  ]
}

function facts({ state, data }: Shown): HTMLElement[] {
  const { title, detail } = titleOf(state)
  const fact = (name: string, value: string, more = '') =>
    element(
      'div',
      { class: 'fact' },
      element('dt', {}, name),
      element('dd', {}, value, more !== '' && element('span', { class: 'more' }, more)),
    )
  const reason = state.reason?.replaceAll('_', ' ')
  const isEarly = state.status === 'finished' && reason && reason !== 'completed'
  const status = isEarly ? `${statusWord(state)} by ${reason}` : statusWord(state)
  const best = state.best
  const lr = last(data.column('lr'))
  return [
    element(
      'div',
      { class: 'heading' },
      element('h2', {}, title),
      element('span', { class: 'status', attributes: { 'data-status': state.status } }, status),
      element(
        'p',
        { class: 'detail' },
        [detail, state.device, state.seed && `seed ${state.seed}`].filter(Boolean).join(', '),
      ),
    ),
    ...(reason && state.status !== 'running' && state.status !== 'finished'
      ? [element('p', { class: 'reason' }, reason)]
      : []),
    element(
      'dl',
      { class: 'facts-of-run' },
      fact('Epoch', grouped(state.epoch), `of ${grouped(state.epochs)}`),
      fact(
        'Step',
        grouped(state.step + (state.progress?.job === 'training' ? state.progress.done : 0)),
        `of ${grouped(state.totalSteps)}`,
      ),
      fact('Pseudo-Dice', formatFixed(state.emaDice, 4), 'moving average'),
      fact(
        'Best',
        formatFixed(best?.value, 4),
        best ? `epoch ${best.epoch + 1}, ${metricText(best.metric)}` : 'none yet',
      ),
      fact('Learning rate', lr === null ? '-' : formatRate(lr)),
      fact('Epoch takes', formatDuration(last(data.column('seconds')))),
      ...(state.secondsLeft === null && !state.progress
        ? []
        : [
            fact(
              'Time left',
              formatDuration(state.secondsLeft),
              state.progress ? progressText(state).replace(/^[^,]*, /, '') : '',
            ),
          ]),
    ),
  ]
}

interface Column {
  title: string
  isNumber?: boolean
  value(run: Shown): string
}

const number = (name: Parameters<RunData['column']>[0], decimals: number) => (run: Shown) =>
  formatFixed(last(run.data.column(name)), decimals)

const tableColumns: Column[] = [
  { title: 'State', value: ({ state }) => statusWord(state) },
  { title: 'Epoch', isNumber: true, value: ({ state }) => `${grouped(state.epoch)} / ${grouped(state.epochs)}` },
  { title: 'Dice, moving average', isNumber: true, value: ({ state }) => formatFixed(state.emaDice, 4) },
  { title: 'Best', isNumber: true, value: ({ state }) => formatFixed(state.best?.value, 4) },
  { title: 'Training loss', isNumber: true, value: number('trainLoss', 4) },
  { title: 'Validation loss', isNumber: true, value: number('valLoss', 4) },
  { title: 'Epoch takes', isNumber: true, value: ({ data }) => formatDuration(last(data.column('seconds'))) },
  { title: 'Left', isNumber: true, value: ({ state }) => formatDuration(state.secondsLeft) },
]

function table(shown: Shown[]): HTMLElement[] {
  const names = shortNames(shown.map(({ state }) => state))
  const isAnyLeft = shown.some(({ state }) => state.secondsLeft !== null)
  const columns = tableColumns.filter(({ title }) => title !== 'Left' || isAnyLeft)
  const head = columns.map(({ title, isNumber }) =>
    element('th', { class: isNumber ? 'number' : '', attributes: { scope: 'col' } }, title),
  )
  const rows = shown.map((run, index) =>
    element(
      'tr',
      {},
      element(
        'th',
        { attributes: { scope: 'row' }, title: run.state.name },
        element('span', { class: 'swatch swatch-before', style: { '--key': `var(--line-${run.color})` } }),
        names[index] ?? '',
      ),
      ...columns.map(({ value, isNumber }) => element('td', { class: isNumber ? 'number' : '' }, value(run))),
    ),
  )
  return [
    element('div', { class: 'heading' }, element('h2', {}, `${shown.length} runs`)),
    element(
      'div',
      { class: 'scroll', attributes: { tabindex: '0', role: 'region', 'aria-label': 'Selected runs in numbers' } },
      element(
        'table',
        {},
        element('thead', {}, element('tr', {}, element('th', { attributes: { scope: 'col' } }, 'Run'), ...head)),
        element('tbody', {}, ...rows),
      ),
    ),
  ]
}
