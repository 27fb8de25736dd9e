// report.html: its numbers are those of summary.json and metrics.jsonl, it asks nothing of anyone, and hostile names stay text.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { formatFixed } from '../../src/report/format.js'
import { boxNumbers, thinned } from '../../src/report/page/statistics.js'
import { writeReport } from '../../src/report/write-report.js'
import { epochLine, type FixtureOptions, noiseAt, writeRunFixture } from './run-fixture.js'

const root = mkdtempSync(path.join(tmpdir(), 'voxgrad-report-'))
afterAll(() => rmSync(root, { recursive: true }))

let runs = 0
async function report(fixture: FixtureOptions = {}): Promise<string> {
  runs++
  const run = writeRunFixture(path.join(root, `model_${runs}`), fixture)
  const bytes = await writeReport(run)
  const text = readFileSync(path.join(run, 'report.html'), 'utf8')
  expect(Buffer.byteLength(text)).toBe(bytes)
  expectSelfContained(text)
  return text
}

/** No script, no address of another place, and tags that close each other. */
function expectSelfContained(page: string): void {
  expect(page).toContain(`Content-Security-Policy" content="default-src &#39;none&#39;; style-src &#39;sha256-`)
  const tags = [
    ...page.replace(/<style>[\s\S]*?<\/style>/, '').matchAll(/<(\/?)([a-z][a-z0-9]*)\b((?:"[^"]*"|[^">])*?)(\/?)>/gi),
  ]
  for (const [tag, , name, attributes] of tags) {
    expect(['script', 'link', 'iframe', 'object', 'embed', 'form', 'base', 'img', 'b']).not.toContain(name)
    for (const [, attribute, value] of (attributes as string).matchAll(/([^\s=]+)(?:="([^"]*)")?/g)) {
      expect(attribute, tag).not.toMatch(/^on|^style$|^srcdoc$/)
      if (['href', 'src', 'action'].includes(attribute as string))
        expect(value).toMatch(/^#[\w-]+$|^data:image\/png;base64,[A-Za-z0-9+/=]+$/)
    }
  }
  expect(page).not.toMatch(/@import|url\(/)
  const open: string[] = []
  for (const [, closing, name, , empty] of tags) {
    if (empty || ['meta', 'br'].includes(name as string)) continue
    if (closing) expect(open.pop()).toBe(name)
    else open.push(name as string)
  }
  expect(open).toEqual([])
}

/** The page's text without tags, entities resolved. */
const textOf = (page: string) =>
  page
    .replace(/<style>[\s\S]*?<\/style>/, '')
    .replace(/<[^>]*>/g, ' ')
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&amp;', '&')
    .replace(/\s+/g, ' ')

const validation = {
  box_0: { '1': 0.91, '2': 0.8 },
  box_1: { '1': 0.312, '2': 0.4 },
  box_2: { '1': Number.NaN, '2': 0.953 },
}

test('shows the numbers of summary.json and metrics.jsonl', async () => {
  const page = await report({ validation })
  const text = textOf(page)
  expect(text).toContain(`mean foreground ${formatFixed(((0.91 + 0.312) / 2 + (0.8 + 0.4 + 0.953) / 3) / 2, 4)}`)
  expect(text).toContain(`front ${formatFixed((0.91 + 0.312) / 2, 4)} back ${formatFixed((0.8 + 0.4 + 0.953) / 3, 4)}`)
  // The worst first; a label that is in neither reference nor prediction does not count.
  expect(text).toContain('box_1 0.3560 0.3120 0.4000 box_0 0.8550 0.9100 0.8000 box_2 0.9530 - 0.9530')
  const lines = Array.from({ length: 30 }, (_, epoch) => epochLine(epoch, 2))
  const best = Math.max(...lines.map((line) => line.ema_fg_dice))
  const bestEpoch = lines.findIndex((line) => line.ema_fg_dice === best)
  expect(text).toContain(`Best pseudo-Dice ${formatFixed(best, 4)} moving average, epoch ${bestEpoch + 1}`)
  expect(text).toContain('30 of 1000 300 of 10,000 steps')
  const seconds = lines.reduce((sum, line) => sum + line.seconds, 0)
  expect(text).toContain(
    `Training time ${Math.floor(seconds / 60)}m${String(Math.round(seconds % 60)).padStart(2, '0')}s`,
  )
  expect(text).toContain('Peak memory of the process 3.5 GiB')
})

test('box plots have the quartiles of NumPy', () => {
  // numpy.percentile([0.1, 0.4, 0.5, 0.7, 0.71, 0.72, 0.95], [25, 50, 75])
  const numbers = boxNumbers([0.7, 0.1, 0.95, null, 0.4, Number.NaN, 0.72, 0.5, 0.71])
  expect(numbers).toMatchObject({ count: 7, minimum: 0.1, maximum: 0.95, median: 0.7 })
  expect(numbers?.lowerQuartile).toBeCloseTo(0.45, 12)
  expect(numbers?.upperQuartile).toBeCloseTo(0.715, 12)
  // 1.5 boxes reach from 0.0525 to 1.1125.
  expect(numbers).toMatchObject({ lowerWhisker: 0.1, upperWhisker: 0.95 })
  expect(boxNumbers([0.1, 0.8, 0.81, 0.82, 0.83])).toMatchObject({ lowerWhisker: 0.8 })
  expect(boxNumbers([null])).toBeNull()
})

test('a long curve keeps its mean when it is thinned', () => {
  const points = Array.from({ length: 1000 }, (_, x) => ({ x, y: x % 10 === 0 ? null : noiseAt(x) }))
  const few = thinned(points, 400)
  expect(few).toHaveLength(334)
  const third = points.slice(3, 6).map(({ y }) => y as number)
  expect(few[1]?.y).toBeCloseTo(third.reduce((sum, y) => sum + y, 0) / 3, 12)
  expect(thinned(points.slice(0, 400), 400)).toEqual(points.slice(0, 400))
})

describe('every kind of run gets a page', () => {
  test('two validations stand side by side with their difference', async () => {
    const better = { box_0: { '1': 0.95, '2': 0.85 }, box_1: { '1': 0.4, '2': 0.5 }, box_2: { '1': 0.2, '2': 0.96 } }
    const text = textOf(await report({ validation, validationBest: better }))
    expect(text).toContain('mean Dice final best difference')
    expect(text).toContain(`front 0.6110 ${formatFixed((0.95 + 0.4 + 0.2) / 3, 4)} -0.0943`)
  })

  test('fold all without a validation says why', async () => {
    const text = textOf(await report({ options: { fold: 'all' } }))
    expect(text).toContain('Fold all trains on every case')
    expect(text).not.toContain('the worst first')
  })

  test('a failed run shows its error; one without an epoch says so', async () => {
    const record = { status: 'failed', reason: 'error', error: 'Out of memory in step 12 of <patch>' }
    const text = textOf(await report({ record, epochs: 0 }))
    expect(text).toContain('failed: error')
    expect(text).toContain('Out of memory in step 12 of <patch>')
    expect(text).toContain('No epoch is finished yet.')
  })

  test('warnings and resumes are listed with their epoch', async () => {
    const lines = [
      { type: 'resume', from: 'checkpoint_latest.pth', epoch: 30, step: 300, text: 'Going on from the latest.' },
      { ...epochLine(30, 2) },
      { type: 'warning', text: 'The validation loss rises.' },
    ]
    const text = textOf(await report({ lines }))
    expect(text).toContain('30 resumed Going on from the latest. 31 warning The validation loss rises.')
  })

  test('what differs from the defaults comes first, with the default', async () => {
    const options = { optimizer: { initialLr: 0.02 }, augmentation: { preset: 'da5', blurProbability: 0.4 } } as const
    const text = textOf(await report({ options }))
    const changed = text.slice(text.indexOf('What differs'), text.indexOf('What came of it'))
    expect(changed).toContain('optimizer.initialLr 0.02 0.01')
    expect(changed).toContain('augmentation.preset da5 default')
    expect(changed).toContain('augmentation.blurProbability 0.4')
    expect(changed).not.toContain('momentum')
    // The preset stands for its own numbers.
    expect(changed.match(/augmentation\./g)).toHaveLength(2)
  })

  test('1000 epochs of 120 labels and 200 cases stay below 3 MB', async () => {
    const names = Array.from({ length: 120 }, (_, index) => [`organ ${index + 1}`, index + 1] as const)
    const cases = Array.from({ length: 200 }, (_, index) => [
      `case_${index}`,
      Object.fromEntries(names.map(([, value]) => [value, noiseAt(index * 131 + value)])),
    ])
    const page = await report({
      epochs: 1000,
      labels: { background: 0, ...Object.fromEntries(names) },
      validation: Object.fromEntries(cases),
    })
    expect(page.length).toBeLessThan(3_000_000)
    expect(textOf(page)).toContain('Each point is the mean of 3 epochs')
  })
})

test('hostile names are text', async () => {
  const name = `<script>alert("1")</script><img src=x onerror='alert(2)'>`
  const page = await report({
    dataset: `Dataset009_${name.replaceAll('/', '')}`,
    labels: { background: 0, [name]: 1, '</style><b>': 2 },
    validation: { [name.replaceAll('/', '')]: { '1': 0.5, '2': 0.25 } },
    record: { error: `</pre>${name}`, status: 'failed', versions: { [name]: name } },
    lines: [{ type: 'warning', text: `\u0007${name} & "quoted"` }],
  })
  // What is left of the name is escaped everywhere.
  expect(page).not.toContain('<img src=x')
  expect(textOf(page)).toContain(`${name} & "quoted"`)
})
