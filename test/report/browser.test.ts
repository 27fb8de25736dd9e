/// <reference lib="dom" />
// The report in a real Chromium, opened from the disk: it asks for nothing, breaks no rule of its own, and fits a phone.
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type Browser, type BrowserContextOptions, chromium } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { writeReport } from '../../src/report/write-report.js'
import { writeRunFixture } from './run-fixture.js'

const program = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
  (file) => file && existsSync(file),
)
if (!program) console.log('skipped: no Chromium (apt-get install chromium, or name one by CHROMIUM)')

const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking']
const hostile = `<img src="http://example.org/x.png"><script>document.title = 'taken'</script>`

describe.skipIf(!program)('the report in Chromium', { timeout: 240_000 }, () => {
  const root = mkdtempSync(path.join(tmpdir(), 'voxgrad-report-browser-'))
  const file = path.join(root, 'report.html')
  let browser: Browser

  beforeAll(async () => {
    const run = writeRunFixture(path.join(root, 'model'), {
      labels: { background: 0, front: 1, [hostile]: 2 },
      validation: { a_case_with_quite_a_long_name_that_has_no_blank_in_it_at_all: { '1': 0.5, '2': 0.25 } },
      lines: [{ type: 'warning', text: `${hostile} ${'/very/long/path'.repeat(12)}` }],
    })
    await writeReport(run, { file })
    browser = await chromium.launch({
      executablePath: program as string,
      args: [...flags, '--disable-component-update', '--disable-sync'],
    })
  }, 240_000)
  afterAll(async () => {
    await browser.close()
    rmSync(root, { recursive: true })
  })

  async function visit(options: BrowserContextOptions) {
    const page = await (await browser.newContext(options)).newPage()
    const requests: string[] = []
    const faults: string[] = []
    page.on('request', (request) => requests.push(request.url()))
    page.on('pageerror', (error) => faults.push(error.message))
    // What its Content-Security-Policy refuses is an error of the console.
    page.on('console', (message) => faults.push(message.text()))
    await page.goto(`file://${file}`)
    return { page, requests, faults }
  }

  test.each([
    [1280, 'light'],
    [1280, 'dark'],
    [375, 'light'],
    [375, 'dark'],
  ] as const)('%s pixels wide, %s', async (width, colorScheme) => {
    const { page, requests, faults } = await visit({ viewport: { width, height: 800 }, colorScheme })
    expect(requests).toEqual([`file://${file}`])
    expect(faults).toEqual([])
    expect(await page.title()).toContain('voxgrad report')
    expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0)
    const colors = await page.evaluate(() => {
      const { color, backgroundColor } = getComputedStyle(document.body)
      return [color, backgroundColor].map((text) => (text.match(/\d+/g) ?? []).slice(0, 3).map(Number))
    })
    // The style sheet counts: its hash is the one that the policy allows.
    const [ink, ground] = colors.map((channels) => channels.reduce((sum, value) => sum + value, 0)) as [number, number]
    expect(Math.abs(ink - ground)).toBeGreaterThan(450)
    expect(ink < ground).toBe(colorScheme === 'light')
    // Every chart has a line that is drawn, as wide as its frame or nearly so.
    const lines = await page.evaluate(() =>
      Array.from(document.querySelectorAll('.chart')).map((chart) => {
        const [frame, line] = [chart.querySelector('.lines'), chart.querySelector('.lines path.line')]
        return (line?.getBoundingClientRect().width ?? 0) / (frame?.getBoundingClientRect().width ?? 1)
      }),
    )
    expect(lines).toHaveLength(6)
    for (const share of lines) expect(share).toBeGreaterThan(0.9)
    await page.context().close()
  })
})
