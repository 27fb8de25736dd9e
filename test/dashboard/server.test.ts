// The dashboard's server: who is let in, what is served, and what the stream of events tells.
import { mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { type IncomingHttpHeaders, request } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Lines, RunState, ValidationCases } from '../../src/dashboard/messages.js'
import { type Dashboard, startDashboard } from '../../src/dashboard/server.js'
import { writeNaturalImage } from '../../src/dataset/natural-image.js'
import { decodeNifti, scaledVoxels } from '../../src/dataset/nifti.js'
import { nibabelAffine } from '../../src/dataset/nifti-geometry.js'
import { appendEpochs, fakeLabels, fakeLines, writeFakeRun, writeFakeValidation } from './fake-runs.js'

const run = { name: 'Dataset004_Hippocampus/voxgrad__nnUNetPlans__3d_fullres/fold_0', epochs: 8, totalEpochs: 40 }
const secretText = 'the text of a file outside of the runs'

let folder: string
let runsFolder: string
let roots: { raw: string; preprocessed: string }
let dashboard: Dashboard
let port: number
let token: string

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'voxgrad-dashboard-'))
  runsFolder = path.join(folder, 'runs')
  await writeFile(path.join(folder, 'secret.txt'), secretText)
  await writeFakeRun(runsFolder, run)
  roots = { raw: path.join(folder, 'raw'), preprocessed: path.join(folder, 'preprocessed') }
  dashboard = await startDashboard({ folder: runsFolder, port: 0, roots })
  const url = new URL(dashboard.url)
  port = Number(url.port)
  token = url.searchParams.get('token') ?? ''
})
afterAll(async () => {
  await dashboard.close()
  await rm(folder, { recursive: true })
})

interface Answer {
  status: number
  headers: IncomingHttpHeaders
  text: string
}

/** Sends exactly this target and these headers, which fetch() would tidy up. */
function ask(target: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, path: target, method, headers, setHost: false }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (part) => {
        text += part
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }))
    })
    asked.on('error', reject)
    asked.end()
  })
}

const own = () => ({ Host: `127.0.0.1:${port}`, Cookie: `voxgrad_${port}=${token}` })
const states = async (): Promise<RunState[]> =>
  (await listen(300)).filter(({ event }) => event === 'run').map(({ data }) => data as RunState)

/** The state of a run, once it is what is waited for: other programs may keep this machine busy. */
async function stateOf(name: string, isReached = (_: RunState) => true): Promise<RunState> {
  for (const begin = performance.now(); performance.now() - begin < 30_000; ) {
    const found = (await states()).find((state) => state.name === name && isReached(state))
    if (found) return found
  }
  throw new Error(`${name} did not show up`)
}

interface Told {
  event: string
  id: string
  data: unknown
  at: number
}

/** What the stream tells within some time. */
function listen(ms: number, lastId?: string): Promise<Told[]> {
  return new Promise((resolve, reject) => {
    const headers = { ...own(), ...(lastId === undefined ? {} : { 'Last-Event-ID': lastId }) }
    let text = ''
    const told: Told[] = []
    const asked = request({ host: '127.0.0.1', port, path: '/api/events', headers, setHost: false }, (response) => {
      response.setEncoding('utf8')
      response.on('error', () => {})
      response.on('data', (part: string) => {
        text += part
        for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
          const fields = Object.fromEntries(
            text
              .slice(0, end)
              .split('\n')
              .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
          )
          text = text.slice(end + 2)
          if (fields.event)
            told.push({
              event: fields.event,
              id: fields.id ?? '',
              data: JSON.parse(fields.data ?? 'null'),
              at: performance.now(),
            })
        }
      })
    })
    asked.on('error', reject)
    asked.end()
    setTimeout(() => {
      asked.off('error', reject)
      asked.on('error', () => {})
      asked.destroy()
      resolve(told)
    }, ms)
  })
}

describe('who is let in', () => {
  const paths = () => [
    '/',
    '/api/events',
    '/api/runs/AAAAAAAAAAAAAAAA/lines',
    '/assets/dashboard/page/main.js',
    '/../secret.txt',
    '/assets/../../secret.txt',
    '/assets/%2e%2e/%2e%2e/secret.txt',
    `/api/runs/..%2f..%2fsecret.txt/lines`,
    `/api/runs/${encodeURIComponent(run.name)}/lines`,
    `//127.0.0.1:${port}/`,
  ]
  const hosts = () => [
    `127.0.0.1:${port}`,
    `localhost:${port}`,
    `[::1]:${port}`,
    `attacker.example:${port}`,
    `127.0.0.1:${port + 1}`,
    `127.0.0.1.attacker.example:${port}`,
    'localhost',
    '',
  ]
  const origins = () => [undefined, 'own', 'http://attacker.example', 'null', `https://127.0.0.1:${port}`]
  const cookies = () => [
    `voxgrad_${port}=${token}`,
    `voxgrad_${port}=${token.slice(0, -1)}x`,
    `voxgrad_1=${token}`,
    undefined,
  ]
  const methods = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']

  it('answers nobody without the right host, origin and token, and never a file outside of the runs', async () => {
    let asked = 0
    const counts = new Map<number, number>()
    const wrong: string[] = []
    for (const method of methods)
      for (const target of paths())
        for (const host of hosts())
          for (const origin of origins())
            for (const cookie of cookies()) {
              // All of GET, and every seventh of the others.
              asked++
              if (method !== 'GET' && asked % 7 !== 0) continue
              const isOwnHost = hosts().indexOf(host) < 3
              const isOwn = isOwnHost && (origin === undefined || origin === 'own') && cookie === cookies()[0]
              // An endless answer; it is listened to below.
              if (isOwn && target === '/api/events') continue
              const headers = {
                ...(host === '' ? {} : { Host: host }),
                ...(origin === undefined ? {} : { Origin: origin === 'own' ? `http://${host}` : origin }),
                ...(cookie === undefined ? {} : { Cookie: cookie }),
              }
              const { status, text } = await ask(target, headers, method)
              counts.set(status, (counts.get(status) ?? 0) + 1)
              // Without a Host header the server itself says that the request is bad.
              const refused = host === '' ? status === 400 || status === 403 : status === 403
              const expected = !isOwn || target.startsWith('//') ? refused : status !== 403
              if (!expected || text.includes(secretText))
                wrong.push(`${method} ${target} ${JSON.stringify(headers)}: ${status}`)
            }
    console.log(`requests by status: ${JSON.stringify(Object.fromEntries(counts))}`)
    expect(wrong).toEqual([])
    expect(counts.get(403)).toBeGreaterThan(1000)
    expect(counts.get(200)).toBeGreaterThan(10)
    expect(counts.get(404)).toBeGreaterThan(10)
    expect(counts.get(405)).toBeGreaterThan(3)
  })

  it('gives the cookie for the token in the address, to that alone', async () => {
    const host = { Host: `localhost:${port}` }
    const entered = await ask(`/?token=${token}`, host)
    expect(entered.status).toBe(200)
    expect(entered.headers['set-cookie']).toEqual([`voxgrad_${port}=${token}; Path=/; HttpOnly; SameSite=Strict`])
    expect(Buffer.from(token, 'base64url')).toHaveLength(16)
    for (const target of [
      '/?token=',
      '/?token=x',
      `/?token=${token}x`,
      `/?x=1&token=${token}`,
      `/api/events?token=${token}`,
    ]) {
      const { status, headers } = await ask(target, host)
      expect([status, headers['set-cookie']], target).toEqual([403, undefined])
    }
    expect((await ask(`/?token=${token}`, host, 'POST')).status).toBe(403)
    expect((await ask(`/?token=${token}`, { ...host, Origin: 'http://attacker.example' })).status).toBe(403)
  })

  it('keeps pages of other sites out, other ports of this machine included', async () => {
    for (const site of ['cross-site', 'same-site'])
      expect((await ask('/', { ...own(), 'Sec-Fetch-Site': site })).status).toBe(403)
    for (const site of ['same-origin', 'none'])
      expect((await ask('/', { ...own(), 'Sec-Fetch-Site': site })).status).toBe(200)
  })

  it('allows scripts of its own alone, with a strict policy on every answer', async () => {
    for (const [target, headers] of [
      ['/', own()],
      ['/nothing', own()],
      ['/', {}],
    ] as const) {
      const answer = await ask(target, { Host: `127.0.0.1:${port}`, ...headers })
      const policy = String(answer.headers['content-security-policy'])
      expect(policy).toContain("default-src 'none'")
      expect(policy).not.toMatch(/unsafe|\*|https?:/)
      expect(answer.headers['x-content-type-options']).toBe('nosniff')
      expect(answer.headers['access-control-allow-origin']).toBeUndefined()
    }
  })

  it('listens on the loopback interface alone', async () => {
    const { networkInterfaces } = await import('node:os')
    const others = Object.values(networkInterfaces())
      .flatMap((list) => list ?? [])
      .filter(({ internal, family }) => !internal && family === 'IPv4')
    if (others.length === 0) console.log('skipped: this machine has no other interface than loopback')
    for (const { address } of others) await expect(fetch(`http://${address}:${port}/`)).rejects.toThrow()
  })
})

describe('validation cases', () => {
  const name = 'validated/fold_0'
  const dice = { easy: 0.95, hard: 0.31, middle: 0.7 }
  let id: string
  let runFolder: string

  beforeAll(async () => {
    runFolder = await writeFakeRun(runsFolder, { ...run, name })
    await writeFakeValidation(runFolder, roots, dice)
    id = (await stateOf(name, ({ validations }) => validations.length > 0)).id
  })

  const list = async () => JSON.parse((await ask(`/api/runs/${id}/cases/final`, own())).text) as ValidationCases
  const volume = async (caseId: string, kind: string) => {
    const response = await fetch(`http://127.0.0.1:${port}/api/runs/${id}/cases/final/${caseId}/${kind}`, {
      headers: { Cookie: own().Cookie },
    })
    return { status: response.status, bytes: Buffer.from(await response.arrayBuffer()) }
  }

  it('come with the worst first, classes without a value left out of the mean', async () => {
    const { cases, labels, withoutImages } = await list()
    expect(cases.map((one) => [one.name, one.dice])).toEqual([
      ['hard', dice.hard],
      ['middle', dice.middle],
      ['easy', dice.easy],
    ])
    expect(cases[0]?.dicePerClass).toEqual([dice.hard, dice.hard, null])
    expect(labels).toEqual(fakeLabels.map((label, index) => ({ name: label, value: index + 1 })))
    expect(withoutImages).toBeNull()
  })

  it('give image, truth and prediction as they are on the disk', async () => {
    const one = (await list()).cases[0]
    const files = {
      'image-0': path.join(roots.raw, 'Dataset004_Hippocampus/imagesTr/hard_0000.nii.gz'),
      truth: path.join(roots.preprocessed, 'Dataset004_Hippocampus/gt_segmentations/hard.nii.gz'),
      prediction: path.join(runFolder, 'validation/hard.nii.gz'),
    }
    for (const [kind, file] of Object.entries(files)) {
      const { status, bytes } = await volume(one?.id ?? '', kind)
      expect(status, kind).toBe(200)
      expect(bytes.equals(await readFile(file)), kind).toBe(true)
    }
    for (const [caseId, kind] of [
      ['AAAAAAAAAAAAAAAA', 'truth'],
      ['hard', 'truth'],
      ['..', 'truth'],
      [one?.id ?? '', 'labels'],
    ] as const)
      expect((await volume(caseId, kind)).status).toBe(404)
  })

  it('are refused where a link leads out or summary.json names other files', async () => {
    const prediction = path.join(runFolder, 'validation/middle.nii.gz')
    const truth = path.join(roots.preprocessed, 'Dataset004_Hippocampus/gt_segmentations/middle.nii.gz')
    for (const file of [prediction, truth]) {
      await rm(file)
      await symlink(path.join(folder, 'secret.txt'), file)
    }
    const middle = (await list()).cases.find((one) => one.name === 'middle')?.id ?? ''
    for (const kind of ['prediction', 'truth']) {
      const { status, bytes } = await volume(middle, kind)
      expect(status, kind).toBe(422)
      expect(bytes.toString()).toContain('no plain file below')
    }
    const outside = path.join(folder, 'secret.txt')
    const summary = {
      metric_per_case: [{ metrics: { 1: { Dice: 0.5 } }, prediction_file: outside, reference_file: outside }],
    }
    await writeFile(path.join(runFolder, 'validation/summary.json'), JSON.stringify(summary))
    const [other] = (await list()).cases
    for (const kind of ['prediction', 'truth', 'image-0']) {
      const { status, bytes } = await volume(other?.id ?? '', kind)
      expect(status, kind).toBe(422)
      expect(bytes.toString()).not.toContain(secretText)
    }
    await writeFile(path.join(runFolder, 'validation/summary.json'), '[]')
    const answer = await ask(`/api/runs/${id}/cases/final`, own())
    expect([answer.status, answer.text]).toEqual([422, expect.stringContaining("expected nnU-Net's summary.json")])
  })

  it('of pictures without a place in space are turned into NIfTI, the first row on top', async () => {
    const pictures = await writeFakeRun(runsFolder, { ...run, name: 'pictures' })
    await writeFakeValidation(pictures, roots, { picture: 0.5 })
    const label = Uint8Array.from([1, 0, 0, 0, 2, 0])
    const dataset = {
      channel_names: { 0: 'R', 1: 'G', 2: 'B' },
      labels: { background: 0, a: 1, b: 2 },
      numTraining: 1,
      file_ending: '.png',
    }
    await writeFile(path.join(pictures, 'dataset.json'), JSON.stringify(dataset))
    const summary = { metric_per_case: [{ metrics: { 1: { Dice: 0.5 } }, prediction_file: 'picture.png' }] }
    await writeFile(path.join(pictures, 'validation/summary.json'), JSON.stringify(summary))
    await writeNaturalImage(path.join(pictures, 'validation/picture.png'), label, [1, 2, 3])
    id = (await stateOf('pictures', ({ validations }) => validations.length > 0)).id
    const [one] = (await list()).cases
    const { status, bytes } = await volume(one?.id ?? '', 'prediction')
    expect(status).toBe(200)
    const image = await decodeNifti(bytes, 'the answer')
    expect(image.header.extents).toEqual([3, 2, 1])
    expect([...scaledVoxels(image)]).toEqual([...label])
    expect(nibabelAffine(image.header)[1]?.[1]).toBe(-1)
  })
})

describe('runs', () => {
  it('tells the state of every run and serves its lines', async () => {
    const [state] = await states()
    expect(state).toMatchObject({
      name: run.name,
      status: 'finished',
      epoch: 8,
      epochs: 40,
      step: 2000,
      totalSteps: 10_000,
    })
    expect(state?.labels).toEqual(['Anterior', 'Posterior', 'Vessel'])
    const lines = JSON.parse((await ask(`/api/runs/${state?.id}/lines`, own())).text) as Lines
    expect(lines.rows).toHaveLength(8)
    expect(lines.rows[7]?.slice(0, 3)).toEqual([7, 2000, expect.any(Number)])
    expect(lines.notes.some(({ kind }) => kind === 'new_best')).toBe(true)
  })

  it('tells new lines within a second, once, and goes on there after a lost connection', async () => {
    const name = 'live/fold_0'
    const live = await writeFakeRun(runsFolder, { ...run, name })
    const { id } = await stateOf(name)
    const telling = listen(3000)
    await sleep(300)
    const begin = performance.now()
    await appendEpochs(live, run, 8, 10)
    const told = (await telling).filter(({ event }) => event === 'lines')
    expect(told).toHaveLength(1)
    const [{ data, at, id: position }] = told as [Told]
    expect(data).toMatchObject({ run: id, rowsFrom: 8 })
    expect((data as Lines).rows.map(([epoch]) => epoch)).toEqual([8, 9])
    console.log(`new lines were told after ${(at - begin).toFixed(0)} ms`)

    // While nobody listens, epochs come, and then others in their place as a resume writes them.
    await appendEpochs(live, run, 10, 11)
    await stateOf(name, ({ epoch }) => epoch === 11)
    const missed = (await listen(300, position)).filter(({ event }) => event === 'lines')
    expect(missed.map(({ data: lines }) => [(lines as Lines).rowsFrom, (lines as Lines).rows.length])).toEqual([
      [10, 1],
    ])
    await writeFile(path.join(live, 'new'), fakeLines({ ...run, seed: 5 }, 0, 4))
    await rename(path.join(live, 'new'), path.join(live, 'metrics.jsonl'))
    await stateOf(name, ({ epoch }) => epoch === 4)
    const anew = (await listen(300, position)).filter(({ event }) => event === 'lines')
    expect(anew.map(({ data: lines }) => [(lines as Lines).rowsFrom, (lines as Lines).rows.length])).toEqual([[0, 4]])
    // A position of another server counts for nothing: all states come, and the page asks for lines itself.
    const other = await listen(300, 'other.5')
    expect(other.filter(({ event }) => event === 'lines')).toEqual([])
    expect(other[0]?.data).toMatchObject({ isContinued: false })

    await rm(path.dirname(live), { recursive: true })
    const gone = await listen(2500)
    expect(gone.some(({ event, data: one }) => event === 'gone' && (one as { id: string }).id === id)).toBe(true)
  })

  it('does not read through links that lead out, and says so', async () => {
    const linked = path.join(runsFolder, 'linked')
    await mkdir(linked, { recursive: true })
    await symlink(path.join(folder, 'secret.txt'), path.join(linked, 'run.json'))
    const other = await writeFakeRun(runsFolder, { ...run, name: 'half-linked' })
    await writeFile(path.join(folder, 'outside.jsonl'), fakeLines(run, 0, 3))
    await rm(path.join(other, 'metrics.jsonl'))
    await symlink(path.join(folder, 'outside.jsonl'), path.join(other, 'metrics.jsonl'))
    const elsewhere = await writeFakeRun(folder, { ...run, name: 'elsewhere' })
    await symlink(elsewhere, path.join(runsFolder, 'elsewhere'))
    await stateOf('half-linked', ({ status }) => status === 'unreadable')
    const found = await states()
    expect(found.map(({ name }) => name)).not.toContain('elsewhere')
    for (const name of ['linked', 'half-linked']) {
      const state = found.find((one) => one.name === name)
      expect(state).toMatchObject({ status: 'unreadable', reason: expect.stringContaining('is no plain file below') })
      const { text } = await ask(`/api/runs/${state?.id}/lines`, own())
      expect(JSON.parse(text).rows).toEqual([])
    }
  })

  it('survives broken files', async () => {
    const broken = await writeFakeRun(runsFolder, { ...run, name: 'broken' })
    await writeFile(path.join(broken, 'run.json'), '{"format": 1, "options": {"dataset": 3')
    const odd = await writeFakeRun(runsFolder, { ...run, name: 'odd' })
    await writeFile(
      path.join(odd, 'metrics.jsonl'),
      'x\n[]\nnull\n{"type":"epoch"}\n{"type":"epoch","epoch":0,"step":250,"lr":"x"}\n',
    )
    await stateOf('odd')
    const found = await states()
    expect(found.find(({ name }) => name === 'broken')).toMatchObject({
      status: 'unreadable',
      reason: expect.stringContaining('run.json'),
    })
    const id = found.find(({ name }) => name === 'odd')?.id
    const lines = JSON.parse((await ask(`/api/runs/${id}/lines`, own())).text) as Lines
    expect(lines.rows).toHaveLength(1)
    expect(lines.rows[0]?.slice(0, 4)).toEqual([0, 250, null, null])
  })

  it('waits for a folder that is not there yet, and names a port that is in use', async () => {
    const waiting = await startDashboard({ folder: path.join(folder, 'later'), port: 0 })
    await waiting.close()
    await expect(startDashboard({ folder, port })).rejects.toMatchObject({
      code: 'ERR_CONFIG',
      message: expect.stringContaining(String(port)),
    })
  })
})
