// The list of all runs, from which those to show are chosen.
import { formatFixed } from '../../report/format.js'
import type { RunState } from '../messages.js'
import { element, find, setText } from './dom.js'
import { leftText, progressText, statusWord, titleOf } from './names.js'
import { mostSelected, type Store } from './store.js'

interface Item {
  root: HTMLElement
  box: HTMLInputElement
  update(state: RunState, color: number | undefined): void
}

export class RunsList {
  readonly #store: Store
  readonly #items = new Map<string, Item>()
  readonly #list = find('runs')
  readonly #filter = find<HTMLInputElement>('filter')
  readonly #empty = find('no-runs')

  constructor(store: Store, changed: () => void) {
    this.#store = store
    this.#filter.addEventListener('input', changed)
    this.#list.addEventListener('keydown', (event) => this.#press(event))
  }

  /** @param isReady every run there is was told */
  draw(isReady: boolean): void {
    const states = [...this.#store.states.values()].sort(byNews)
    const wanted = this.#filter.value.trim().toLowerCase()
    for (const [id, item] of this.#items) {
      if (this.#store.states.has(id)) continue
      item.root.remove()
      this.#items.delete(id)
    }
    const full = this.#store.selected.length >= mostSelected
    let before: Element | null = null
    for (const state of states) {
      const item = this.#items.get(state.id) ?? this.#add(state.id)
      const color = this.#store.colorOf(state.id)
      item.update(state, color)
      item.box.disabled = full && color === undefined
      item.root.hidden = !matches(state, wanted)
      const place: Element | null = before ? before.nextElementSibling : this.#list.firstElementChild
      if (place !== item.root) this.#list.insertBefore(item.root, place)
      before = item.root
    }
    this.#empty.hidden = !isReady || states.length > 0
    setText(this.#empty, 'No run yet. The first one shows up here as soon as it begins.')
  }

  #add(id: string): Item {
    const box = element('input', {
      type: 'checkbox',
      on: { change: () => (box.checked ? this.#store.select(id) : this.#store.deselect(id)) },
    })
    const part = (className: string) => element('span', { class: className })
    const [title, detail, status, progress, dice, left] = ['title', 'detail', 'status', 'progress', 'dice', 'left'].map(
      part,
    ) as [HTMLElement, HTMLElement, HTMLElement, HTMLElement, HTMLElement, HTMLElement]
    const done = element('span', { class: 'done' })
    const label = element(
      'label',
      { class: 'run' },
      box,
      element('span', { class: 'names' }, title, detail),
      element('span', { class: 'facts' }, status, progress, dice, left),
      element('span', { class: 'bar-of-run' }, done),
    )
    const update = (state: RunState, color: number | undefined) => {
      const names = titleOf(state)
      setText(title, names.title)
      setText(detail, names.detail)
      setText(status, statusWord(state))
      status.dataset.status = state.status
      setText(progress, progressText(state))
      setText(dice, state.emaDice === null ? '' : `Dice ${formatFixed(state.emaDice, 3)}`)
      setText(left, leftText(state))
      done.style.setProperty('inline-size', `${shareDone(state) * 100}%`)
      label.title = state.name
      box.checked = color !== undefined
      label.classList.toggle('selected', color !== undefined)
      label.style.setProperty('--key', color === undefined ? 'transparent' : `var(--line-${color})`)
    }
    const item = { root: element('li', {}, label), box, update }
    this.#items.set(id, item)
    return item
  }

  /** Arrow keys go from run to run; Enter shows one alone. */
  #press(event: KeyboardEvent): void {
    const boxes = [...this.#list.querySelectorAll<HTMLInputElement>('li:not([hidden]) input')]
    const at = boxes.indexOf(event.target as HTMLInputElement)
    if (at < 0) return
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      boxes[at + (event.key === 'ArrowDown' ? 1 : -1)]?.focus()
    } else if (event.key === 'Enter') {
      const alone = [...this.#items].find(([, { box }]) => box === event.target)?.[0]
      if (alone === undefined) return
      for (const id of this.#store.selected) if (id !== alone) this.#store.deselect(id)
      this.#store.select(alone)
    } else return
    event.preventDefault()
  }
}

export const shareDone = (state: RunState): number =>
  state.totalSteps === 0 ? 0 : Math.min(1, state.step / state.totalSteps)

/** Running ones first, then the newest. */
export function byNews(a: RunState, b: RunState): number {
  const running = Number(b.status === 'running') - Number(a.status === 'running')
  if (running !== 0) return running
  if (a.status === 'running') return a.name < b.name ? -1 : 1
  return a.updatedAt < b.updatedAt ? 1 : a.updatedAt > b.updatedAt ? -1 : a.name < b.name ? -1 : 1
}

function matches(state: RunState, wanted: string): boolean {
  const text = `${state.name} ${state.dataset} ${state.status}`.toLowerCase()
  return wanted.split(/\s+/).every((word) => text.includes(word))
}
