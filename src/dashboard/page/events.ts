// What happened in the selected runs: checkpoints, new bests, warnings, advice; the newest first.
import { formatFixed } from '../../report/format.js'
import type { Note } from '../messages.js'
import { element, find } from './dom.js'
import { metricText, shortNames } from './names.js'
import type { Shown } from './store.js'

const kinds: { title: string; kinds: Note['kind'][] }[] = [
  { title: 'Warnings', kinds: ['warning'] },
  { title: 'Advice', kinds: ['advice', 'annealing'] },
  { title: 'Start and end', kinds: ['resume', 'stop'] },
  { title: 'New best', kinds: ['new_best'] },
  { title: 'Checkpoints', kinds: ['checkpoint'] },
]
const words: Record<Note['kind'], string> = {
  warning: 'warning',
  advice: 'advice',
  annealing: 'annealing',
  resume: 'resumed',
  stop: 'ended',
  new_best: 'new best',
  checkpoint: 'checkpoint',
}

/** More are one click away. */
const pageSize = 30

export class Events {
  readonly #root = find('events')
  readonly #list = element('ol', { class: 'events' })
  readonly #more = element(
    'button',
    { type: 'button', class: 'plain', on: { click: () => this.#showMore() } },
    'Show earlier events',
  )
  readonly #hidden = new Set<string>(['Checkpoints'])
  /** Long texts that are shown whole. */
  readonly #open = new Set<string>()
  #limit = pageSize
  #shown: Shown[] = []
  #drawn = ''

  constructor() {
    const choices = kinds.map(({ title }) => {
      const button = element(
        'button',
        {
          type: 'button',
          attributes: { 'aria-pressed': String(!this.#hidden.has(title)) },
          on: {
            click: () => {
              if (!this.#hidden.delete(title)) this.#hidden.add(title)
              button.setAttribute('aria-pressed', String(!this.#hidden.has(title)))
              this.draw(this.#shown)
            },
          },
        },
        title,
      )
      return button
    })
    this.#root.append(
      element(
        'div',
        { class: 'panel-head' },
        element('h2', { attributes: { id: 'events-title' } }, 'Events'),
        element('div', { class: 'choice', attributes: { role: 'group', 'aria-label': 'Kinds of events' } }, ...choices),
      ),
      this.#list,
      this.#more,
    )
  }

  draw(shown: Shown[]): void {
    this.#shown = shown
    this.#root.hidden = shown.length === 0
    const wanted = new Set(kinds.filter(({ title }) => !this.#hidden.has(title)).flatMap((one) => one.kinds))
    const names = shortNames(shown.map(({ state }) => state))
    const rows = shown.flatMap(({ data, color }, index) =>
      inARow(
        data.notes
          .map((note, place) => ({ note, place, color, name: names[index] ?? '' }))
          .filter(({ note }) => wanted.has(note.kind)),
      ),
    )
    const state = `${shown.map(({ state, data }) => `${state.id} ${data.sequence}`)} ${[...wanted]} ${this.#limit}`
    if (state === this.#drawn) return
    this.#drawn = state
    rows.sort((a, b) => (b.note.step ?? placeOf(b)) - (a.note.step ?? placeOf(a)) || b.place - a.place)
    this.#more.hidden = rows.length <= this.#limit
    const items = rows
      .slice(0, this.#limit)
      .map(({ note, place, color, name, since }) =>
        element(
          'li',
          { attributes: { 'data-kind': note.kind } },
          element('span', { class: 'when' }, whenText(note, since)),
          element('span', { class: 'kind' }, words[note.kind]),
          element(
            'span',
            { class: 'what' },
            ...this.#textOf(note, `${name} ${place}`, [
              shown.length > 1 &&
                element('span', { class: 'swatch swatch-before', style: { '--key': `var(--line-${color})` } }),
              shown.length > 1 && element('span', { class: 'whose' }, name),
            ]),
          ),
        ),
      )
    this.#list.replaceChildren(
      ...(items.length > 0 ? items : [element('li', { class: 'none' }, 'Nothing of this kind so far.')]),
    )
  }

  /** Of a text of many lines the first one; the others are one click away, and stay open while the run goes on. */
  #textOf(note: Note, key: string, whose: (Node | false)[]): (Node | string | false)[] {
    if (note.kind === 'new_best') return [...whose, `${metricText(note.text)} ${formatFixed(note.value, 4)}`]
    const [first = '', ...others] = note.text.split('\n')
    if (others.length === 0) return [...whose, first]
    const details = element(
      'details',
      { on: { toggle: () => (details.open ? this.#open.add(key) : this.#open.delete(key)) } },
      element('summary', {}, ...whose, first),
      element('p', { class: 'further' }, others.join('\n')),
    )
    details.open = this.#open.has(key)
    return [details]
  }

  #showMore(): void {
    this.#limit += 10 * pageSize
    this.draw(this.#shown)
  }
}

interface Entry {
  note: Note
  place: number
  color: number
  name: string
}

/** Where the same happens often in a run, one line stands for all in a row: the last of them, and since when. */
function inARow(entries: readonly Entry[]): (Entry & { since: Note })[] {
  const rows: (Entry & { since: Note })[] = []
  for (const entry of entries) {
    const above = rows.at(-1)
    const isSame = above?.note.kind === entry.note.kind && repeated.has(entry.note.kind)
    if (above && isSame) rows[rows.length - 1] = { ...entry, since: above.since }
    else rows.push({ ...entry, since: entry.note })
  }
  return rows
}

const repeated = new Set<Note['kind']>(['new_best', 'checkpoint'])

function whenText(note: Note, since: Note): string {
  // A new best is found at the end of its epoch; everything else tells how many are done.
  const epochs = [since, note].flatMap(({ kind, epoch }) =>
    epoch === null ? [] : [epoch + (kind === 'new_best' ? 1 : 0)],
  )
  const [first, last] = epochs
  if (first === undefined) return ''
  return first === last ? `epoch ${first}` : `epoch ${first}\u2013${last}`
}

/** What came before the first epoch goes where it stands in the file. */
const placeOf = (entry: { place: number }): number => entry.place / 1e6
