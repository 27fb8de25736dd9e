// Who may ask the dashboard: this machine's user, who has the address with the token. Pure, so that it can be tested as a table.
import { createHash, timingSafeEqual } from 'node:crypto'

/** What is looked at of a request. */
export interface Asked {
  method: string | undefined
  /** The request's target: path and query. */
  target: string | undefined
  host: string | undefined
  origin: string | undefined
  /** Sec-Fetch-Site: who made the browser ask. */
  site: string | undefined
  cookie: string | undefined
}

export interface Secret {
  port: number
  token: string
}

/** ok: may be answered. enter: has the token in its address, and gets the cookie. */
export type Verdict = 'ok' | 'enter' | 'foreign'

/** Cookies do not tell ports apart, so the name does. */
export const cookieName = (port: number): string => `voxgrad_${port}`

const loopbackNames = ['127.0.0.1', 'localhost', '[::1]']

/**
 * Judges a request.
 * Host must be a loopback name with this port: pages of other names that resolve to this machine (DNS rebinding) stay out.
 * Origin, where a browser sends it, must be the dashboard's own; the token must be in the cookie, or, for the first request,
 * in the address.
 */
export function judge(asked: Asked, secret: Secret): Verdict {
  const hosts = loopbackNames.map((name) => `${name}:${secret.port}`)
  const { method, target, host, origin, site, cookie } = asked
  if (host === undefined || !hosts.includes(host.toLowerCase())) return 'foreign'
  if (origin !== undefined && origin !== `http://${host.toLowerCase()}`) return 'foreign'
  if (target === undefined || !target.startsWith('/') || target.startsWith('//')) return 'foreign'
  const entering = /^\/\?token=([^&]*)$/.exec(target)
  if (entering && (method === 'GET' || method === 'HEAD'))
    return isSame(entering[1] ?? '', secret.token) ? 'enter' : 'foreign'
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return 'foreign'
  return isSame(cookieOf(cookie ?? '', cookieName(secret.port)), secret.token) ? 'ok' : 'foreign'
}

function cookieOf(header: string, name: string): string {
  const found = header.split(';').find((part) => part.trim().startsWith(`${name}=`))
  return found?.trim().slice(name.length + 1) ?? ''
}

/** In a time that does not depend on where they differ. */
function isSame(found: string, expected: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(found), digest(expected))
}
