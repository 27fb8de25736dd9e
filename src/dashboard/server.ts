// The dashboard's server: pages, data and live events for the browser of this machine's user, and for nobody else.
import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { getRequestListener } from '@hono/node-server'
import { Hono } from 'hono'
import { type SSEStreamingApi, streamSSE } from 'hono/streaming'
import { VoxgradError } from '../errors.js'
import { type Assets, loadAssets } from './assets.js'
import { Cases, type DataRoots, type VolumeKind } from './cases.js'
import { cookieName, judge } from './guard.js'
import type { Progress } from './messages.js'
import { type Change, RunsWatch } from './runs.js'

export interface DashboardOptions {
  /** All runs below it are shown. */
  folder: string
  /** 0 takes a free one. */
  port: number
  /** What names the port, for the message that it is in use. */
  portFlag?: string
  /** Where images and truth of validation cases lie; those that a run's options name come after them. */
  roots?: DataRoots
}

export interface Dashboard {
  /** With the token: whoever has it may look. */
  url: string
  /** How far the present epoch of a run is, which its files do not say. */
  setProgress(folder: string, progress: Progress | null): void
  close(): Promise<void>
}

const tokenBytes = 16

/**
 * Serves the runs below a folder on the loopback interface.
 * @throws VoxgradError ERR_CONFIG if the port is in use, ERR_INTERNAL if the page was not built
 */
export async function startDashboard({
  folder,
  port,
  portFlag = '--port',
  roots = {},
}: DashboardOptions): Promise<Dashboard> {
  const assets = await loadAssets()
  const runs = new RunsWatch(folder)
  const token = randomBytes(tokenBytes).toString('base64url')
  const answer = getRequestListener(makeApp(runs, assets, roots).fetch)
  const headers = securityHeaders(assets)
  const secret = { port, token }
  const server = createServer((request, response) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
    const verdict = judge(askedOf(request), secret)
    if (verdict === 'ok') {
      void answer(request, response)
    } else if (verdict === 'enter') {
      const cookie = `${cookieName(secret.port)}=${token}; Path=/; HttpOnly; SameSite=Strict`
      response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8', 'Set-Cookie': cookie }).end(entrance)
    } else {
      response.writeHead(403, { 'Content-Type': 'text/plain; charset=utf-8' }).end(refusal)
    }
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(portFault(error, port, portFlag)))
    server.listen({ port, host: '127.0.0.1', exclusive: true }, resolve)
  })
  secret.port = (server.address() as AddressInfo).port
  await runs.start()
  return {
    url: `http://127.0.0.1:${secret.port}/?token=${token}`,
    setProgress: (run, progress) => runs.setProgress(run, progress),
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await Promise.all([closed, runs.stop()])
    },
  }
}

/**
 * A page that goes on to the dashboard by itself. A redirection would not do: where the address was opened from another page,
 * browsers keep a SameSite=Strict cookie back until a page of the same site asks.
 */
const entrance =
  '<!doctype html><meta http-equiv="refresh" content="0;url=/"><link rel="icon" href="data:,"><title>voxgrad</title>'

const refusal =
  'Refused. Open the address with its token as `voxgrad dashboard` prints it; through a tunnel, with the same port at both ends.\n'

function askedOf({ method, url, headers }: IncomingMessage) {
  const site = headers['sec-fetch-site']
  return {
    ...{ method, target: url, host: headers.host, origin: headers.origin, cookie: headers.cookie },
    site: Array.isArray(site) ? site[0] : site,
  }
}

function portFault(error: NodeJS.ErrnoException, port: number, flag: string): VoxgradError {
  const why = error.code === 'EADDRINUSE' ? 'another program (perhaps a dashboard) listens there' : error.message
  return new VoxgradError(
    'ERR_CONFIG',
    `${flag}: expected a port that is free, but ${why}: ${port}. Give another one, or ${flag} 0 for any that is free.`,
  )
}

function securityHeaders({ importMapHash }: Assets): Record<string, string> {
  const policy = [
    "default-src 'none'",
    `script-src 'self' '${importMapHash}'`,
    "style-src 'self'",
    "img-src 'self' data: blob:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ]
  return {
    'Content-Security-Policy': policy.join('; '),
    'Cache-Control': 'no-store',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Referrer-Policy': 'no-referrer',
    'X-Content-Type-Options': 'nosniff',
    'X-Frame-Options': 'DENY',
  }
}

function makeApp(runs: RunsWatch, assets: Assets, roots: DataRoots): Hono {
  const app = new Hono()
  // Positions in the stream of events hold for one server alone.
  const session = randomBytes(6).toString('base64url')
  app.use(async (context, next) => {
    if (context.req.method !== 'GET' && context.req.method !== 'HEAD')
      return context.text('Only GET is answered.\n', 405)
    return next()
  })
  app.get('/', (context) => context.html(assets.html))
  app.get('/assets/*', (context) => {
    const asset = assets.files.get(context.req.path)
    if (!asset) return context.notFound()
    const stream = Readable.toWeb(createReadStream(asset.file)) as ReadableStream
    return context.body(stream, 200, { 'Content-Type': asset.type })
  })
  app.get('/api/events', (context) => {
    const [before, after] = (context.req.header('last-event-id') ?? '').split('.')
    const from = before === session && /^\d+$/.test(after ?? '') ? Number(after) : -1
    return streamSSE(context, (stream) => sendEvents(stream, runs, session, from))
  })
  app.get('/api/runs/:run/lines', (context) => {
    const run = runs.get(context.req.param('run'))
    if (!run) return context.notFound()
    const { id } = run.state
    return context.json(
      run.lines.since(id, -1) ?? { run: id, sequence: 0, rowsFrom: 0, rows: [], notesFrom: 0, notes: [] },
    )
  })
  const casesOf = (id: string, checkpoint: string): Cases | undefined => {
    const run = runs.get(id)
    const found = run?.state.validations.find((one) => one === checkpoint)
    return run && found && new Cases(runs.root, run, found, roots)
  }
  app.get('/api/runs/:run/cases/:weights', async (context) => {
    const cases = casesOf(context.req.param('run'), context.req.param('weights'))
    return cases ? context.json(await cases.list()) : context.notFound()
  })
  app.get('/api/runs/:run/cases/:weights/:case/:kind', async (context) => {
    const { run, weights, case: id, kind } = context.req.param()
    const wanted = kindOf(kind)
    const volume = wanted && (await casesOf(run, weights)?.volume(id, wanted))
    if (!volume) return context.notFound()
    const headers = { 'Content-Type': 'application/octet-stream', 'X-Volume-Name': volume.name }
    return context.body(volume.bytes as Uint8Array<ArrayBuffer>, 200, headers)
  })
  app.notFound((context) => context.text('There is nothing here.\n', 404))
  // What is wrong with a run's files is told to its user, who sees it on the page.
  app.onError((error, context) => context.text(`${error.message}\n`, 422))
  return app
}

/** truth, prediction, or image-0, image-1, ... */
function kindOf(text: string): VolumeKind | undefined {
  if (text === 'truth' || text === 'prediction') return text
  const channel = /^image-(\d{1,3})$/.exec(text)?.[1]
  return channel === undefined ? undefined : { channel: Number(channel) }
}

/** A comment that often finds out that the other side is gone. */
const heartbeatMs = 15_000

/**
 * Sends every change until the other side is gone.
 * @param after the sequence number that the page has seen; -1 for a page that has seen nothing, which gets every run's state
 *   and fetches lines itself
 */
async function sendEvents(stream: SSEStreamingApi, runs: RunsWatch, session: string, after: number): Promise<void> {
  const waiting: Change[] = []
  let wake = () => {}
  const release = runs.listen((change) => {
    waiting.push(change)
    wake()
  })
  const begin = runs.sequence
  stream.onAbort(() => wake())
  try {
    const hello = { session, isContinued: after >= 0, ids: runs.all().map(({ state }) => state.id) }
    await stream.writeSSE({ event: 'hello', data: JSON.stringify(hello), retry: 500 })
    for (const run of runs.all()) {
      if (run.stateSequence > after) await stream.writeSSE({ event: 'run', data: JSON.stringify(run.state) })
      const lines = after < 0 ? null : run.lines.since(run.state.id, after)
      if (lines) await stream.writeSSE({ event: 'lines', data: JSON.stringify(lines) })
    }
    await stream.writeSSE({ event: 'ready', data: '{}', id: `${session}.${begin}` })
    while (!stream.aborted && !stream.closed) {
      const change = waiting.shift()
      if (change) {
        const data = change.type === 'run' ? change.run : change.type === 'lines' ? change.lines : { id: change.id }
        const id = `${session}.${change.sequence}`
        await stream.writeSSE({ event: change.type, data: JSON.stringify(data), id })
        continue
      }
      const timer = setTimeout(() => wake(), heartbeatMs)
      await new Promise<void>((resolve) => {
        wake = resolve
      })
      clearTimeout(timer)
      if (waiting.length === 0) await stream.write(': still here\n\n')
    }
  } finally {
    release()
  }
}
