// The page: puts its parts together and draws them when something has changed.
import { Cases } from './cases.js'
import { type Axis, axes, Charts } from './charts.js'
import { element, find, setText } from './dom.js'
import { Events } from './events.js'
import { byNews, RunsList } from './runs-list.js'
import { mostSelected, Store } from './store.js'
import { followRuns, type LinkState } from './stream.js'
import { Summary } from './summary.js'
import { setUpTheme } from './theme.js'

const linkTexts: Record<LinkState, string> = {
  connecting: 'connecting',
  live: 'live',
  lost: 'not connected, trying again',
  refused: 'this address is no longer valid: open the one that voxgrad prints now',
}

/** The address keeps what is shown, so that it survives a reload. */
const fromAddress = new URLSearchParams(location.hash.slice(1))
const wantedRuns = new Set((fromAddress.get('runs') ?? '').split(',').filter((id) => id !== ''))
let axis: Axis = axes.find(({ value }) => value === fromAddress.get('axis'))?.value ?? 'epoch'
let isReady = false
let isDrawing = false

const store = new Store(changed)
const list = new RunsList(store, changed)
const summary = new Summary()
const charts = new Charts(find('charts'))
const events = new Events()
const cases = new Cases()

function changed(): void {
  if (isDrawing) return
  isDrawing = true
  requestAnimationFrame(() => {
    isDrawing = false
    draw()
  })
}

function draw(): void {
  for (const id of wantedRuns) {
    if (!store.states.has(id)) continue
    store.select(id)
    wantedRuns.delete(id)
  }
  if (isReady && !hasChosen && store.selected.length === 0) chooseFirst()
  const shown = store.shown()
  list.draw(isReady)
  summary.draw(shown, store.states.size > 0 || !isReady)
  find('charts').hidden = shown.length === 0
  charts.show(shown, axis)
  events.draw(shown)
  cases.draw(shown)
  const hash = new URLSearchParams()
  if (shown.length > 0) hash.set('runs', shown.map(({ state }) => state.id).join(','))
  if (axis !== 'epoch') hash.set('axis', axis)
  const address = `#${hash.toString().replaceAll('%2C', ',')}`
  if (isReady && location.hash !== address) history.replaceState(null, '', address)
  const running = [...store.states.values()].filter(({ status }) => status === 'running').length
  document.title = running > 0 ? `${running} running - voxgrad` : 'voxgrad'
}

/** Those that run, else the newest. */
let hasChosen = wantedRuns.size > 0
function chooseFirst(): void {
  const states = [...store.states.values()].sort(byNews)
  const running = states.filter(({ status }) => status === 'running')
  const [newest] = states
  const chosen = running.length > 0 ? running.slice(0, mostSelected) : newest ? [newest] : []
  if (chosen.length > 0) hasChosen = true
  for (const { id } of chosen) store.select(id)
}

function setUpAxis(): void {
  const buttons = axes.map(({ value, label }) => {
    const button = element(
      'button',
      {
        type: 'button',
        attributes: { role: 'radio' },
        on: {
          click: () => {
            axis = value
            mark()
            changed()
          },
        },
      },
      label,
    )
    return { value, button }
  })
  const mark = () => {
    for (const { value, button } of buttons) button.setAttribute('aria-checked', String(value === axis))
  }
  mark()
  find('axis').append(...buttons.map(({ button }) => button))
}

function setUpZoom(): void {
  const button = (label: string, name: string, act: () => void) =>
    element('button', { type: 'button', title: name, attributes: { 'aria-label': name }, on: { click: act } }, label)
  find('zoom').append(
    button('+', 'Zoom in', () => charts.zoomBy(0.5)),
    button('\u2212', 'Zoom out', () => charts.zoomBy(2)),
    button('All', 'Show all', () => charts.zoomTo(null)),
  )
}

setUpAxis()
setUpZoom()
setUpTheme(find<HTMLButtonElement>('theme'), () => charts.repaint())
followRuns(store, (link) => {
  isReady ||= link === 'live'
  setText(find('link'), linkTexts[link])
  find('link').dataset.link = link
  changed()
})
