// The validation cases of a run, the worst first, with the viewer beside them.
import { formatFixed } from '../../report/format.js'
import type { ValidationCase, ValidationCases, Weights } from '../messages.js'
import { element, find, setText } from './dom.js'
import { shortNames } from './names.js'
import type { Shown } from './store.js'
import { Viewer } from './viewer.js'

const weightNames: Record<Weights, string> = { final: 'final weights', best: 'best weights', latest: 'latest weights' }

export class Cases {
  readonly #root = find('cases')
  readonly #choice = element('select', {
    class: 'pick',
    attributes: { 'aria-label': 'Run and weights' },
    on: { change: () => void this.#load() },
  })
  readonly #table = element('table')
  readonly #message = element('p', { class: 'hint' })
  readonly #viewer = new Viewer((by) => this.#move(by))
  #options = ''
  #loaded: { run: string; weights: Weights; labels: string[]; of: ValidationCases } | undefined
  #opened: string | undefined
  /** Only the latest request counts. */
  #turn = 0

  constructor() {
    this.#root.append(
      element(
        'div',
        { class: 'panel-head' },
        element('h2', { attributes: { id: 'cases-title' } }, 'Validation cases'),
        this.#choice,
      ),
      this.#message,
      element(
        'div',
        { class: 'cases' },
        element(
          'div',
          { class: 'scroll', attributes: { tabindex: '0', role: 'region', 'aria-label': 'Cases, the worst first' } },
          this.#table,
        ),
        this.#viewer.root,
      ),
    )
  }

  draw(shown: Shown[]): void {
    const names = shortNames(shown.map(({ state }) => state))
    const options = shown.flatMap(({ state }, index) =>
      state.validations.map((weights) => ({
        value: `${state.id} ${weights}`,
        label: [shown.length > 1 && names[index], weightNames[weights]].filter(Boolean).join(', '),
      })),
    )
    this.#root.hidden = options.length === 0
    const text = JSON.stringify(options)
    if (text === this.#options) return
    this.#options = text
    const before = this.#choice.value
    this.#choice.replaceChildren(...options.map(({ value, label }) => element('option', { value }, label)))
    if (options.some(({ value }) => value === before)) this.#choice.value = before
    this.#choice.hidden = options.length < 2
    this.#labels = new Map(shown.map(({ state }) => [state.id, state.labels]))
    void this.#load()
  }

  #labels = new Map<string, string[]>()

  async #load(): Promise<void> {
    const [run, weights] = this.#choice.value.split(' ') as [string, Weights]
    if (!run || !weights) return
    if (this.#loaded?.run === run && this.#loaded.weights === weights) return
    const turn = ++this.#turn
    this.#viewer.close()
    this.#opened = undefined
    this.#loaded = undefined
    this.#table.replaceChildren()
    setText(this.#message, 'Loading')
    try {
      const response = await fetch(`/api/runs/${run}/cases/${weights}`)
      if (!response.ok) throw new Error((await response.text()).trim())
      const of = (await response.json()) as ValidationCases
      if (turn !== this.#turn) return
      this.#loaded = { run, weights, labels: this.#labels.get(run) ?? [], of }
      setText(this.#message, 'The worst come first. Choose a case to see it.')
      this.#drawTable()
    } catch (error) {
      if (turn === this.#turn) setText(this.#message, (error as Error).message)
    }
  }

  #drawTable(): void {
    const loaded = this.#loaded
    if (!loaded) return
    const { labels, of } = loaded
    const heads = ['Case', 'Mean', ...labels].map((text, index) =>
      element('th', { class: index > 0 ? 'number' : '', attributes: { scope: 'col' } }, text),
    )
    const rows = of.cases.map((one) => {
      const button = element(
        'button',
        { type: 'button', class: 'open-case', on: { click: () => this.#open(one) } },
        one.name,
      )
      return element(
        'tr',
        { attributes: { 'data-case': one.id } },
        element('th', { attributes: { scope: 'row' } }, button),
        element(
          'td',
          { class: 'number dice-bar', style: { '--share': String(one.dice ?? 0) } },
          formatFixed(one.dice, 4),
        ),
        ...one.dicePerClass.map((dice) => element('td', { class: 'number' }, formatFixed(dice, 4))),
      )
    })
    this.#table.replaceChildren(element('thead', {}, element('tr', {}, ...heads)), element('tbody', {}, ...rows))
  }

  #open(one: ValidationCase): void {
    const loaded = this.#loaded
    if (!loaded) return
    this.#opened = one.id
    for (const row of this.#table.querySelectorAll('tbody tr'))
      row.classList.toggle('opened', row.getAttribute('data-case') === one.id)
    this.#root.querySelector('.cases')?.classList.add('with-viewer')
    void this.#viewer.open({ run: loaded.run, weights: loaded.weights, of: loaded.of, case: one })
  }

  #move(by: number): void {
    const cases = this.#loaded?.of.cases ?? []
    const next = cases[cases.findIndex(({ id }) => id === this.#opened) + by]
    if (next) this.#open(next)
  }
}
