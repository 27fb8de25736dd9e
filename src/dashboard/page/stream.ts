// The stream of events from the server. The browser connects again by itself and says how far it had come.
import type { Lines, RunState } from '../messages.js'
import type { Store } from './store.js'

export type LinkState = 'connecting' | 'live' | 'lost' | 'refused'

/** A browser keeps six connections to a server, and each page takes one: pages that nobody looks at give theirs back. */
const hiddenMs = 60_000

/** Fills the store, for as long as the page is open. */
export function followRuns(store: Store, report: (link: LinkState) => void): void {
  let source: EventSource | undefined = connect(store, report)
  let closing: ReturnType<typeof setTimeout> | undefined
  document.addEventListener('visibilitychange', () => {
    clearTimeout(closing)
    if (document.visibilityState === 'visible') source ??= connect(store, report)
    else
      closing = setTimeout(() => {
        source?.close()
        source = undefined
      }, hiddenMs)
  })
}

function connect(store: Store, report: (link: LinkState) => void): EventSource {
  const source = new EventSource('/api/events')
  const on = <Message>(name: string, take: (message: Message) => void) =>
    source.addEventListener(name, (event) => take(JSON.parse((event as MessageEvent<string>).data) as Message))
  on<{ ids: string[]; isContinued: boolean }>('hello', ({ ids, isContinued }) => store.reset(ids, isContinued))
  on<RunState>('run', (state) => store.setState(state))
  on<{ id: string }>('gone', ({ id }) => store.remove(id))
  on<Lines>('lines', (lines) => store.takeLines(lines))
  on('ready', () => report('live'))
  source.addEventListener('error', () => {
    // Refused: another dashboard with another token listens at this port now.
    report(source.readyState === EventSource.CLOSED ? 'refused' : 'lost')
  })
  return source
}
