// The stream of events from the server. The browser connects again by itself and says how far it had come.
import type { Lines, RunState } from '../messages.js'
import type { Store } from './store.js'

export type LinkState = 'connecting' | 'live' | 'lost' | 'refused'

/** Fills the store, for as long as the page is open. */
export function followRuns(store: Store, report: (link: LinkState) => void): void {
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
}
