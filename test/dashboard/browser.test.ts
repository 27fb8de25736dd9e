/// <reference lib="dom" />
// The dashboard's page in a real Chromium: what is drawn, with which requests, by keyboard, on a phone, and with many points.
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { decode } from 'fast-png'
import { type Browser, type BrowserContextOptions, chromium, type Locator, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Dashboard, startDashboard } from '../../src/dashboard/server.js'
import { appendEpochs, fakeLabels, writeFakeRun, writeFakeValidation } from './fake-runs.js'

const program = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
  (file) => file && existsSync(file),
)
if (!program) console.log('skipped: no Chromium (apt-get install chromium, or name one by CHROMIUM)')

const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking']
const more = ['--disable-component-update', '--disable-sync', '--use-angle=swiftshader', '--enable-unsafe-swiftshader']

const model = 'Dataset004_Hippocampus/voxgrad__nnUNetPlans__3d_fullres'
const many = 100_000

describe.skipIf(!program)('the page in Chromium', { timeout: 240_000 }, () => {
  let folder: string
  let browser: Browser
  const open: Dashboard[] = []

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'voxgrad-browser-'))
    browser = await chromium.launch({ executablePath: program as string, args: [...flags, ...more] })
  })
  afterAll(async () => {
    await browser.close()
    for (const dashboard of open) await dashboard.close()
    await rm(folder, { recursive: true })
  })

  /** A page of all runs in a folder below the test's; with what it asked for, and what went wrong. */
  async function visit(name: string, options: BrowserContextOptions = {}) {
    const roots = { raw: path.join(folder, 'raw'), preprocessed: path.join(folder, 'preprocessed') }
    const dashboard = await startDashboard({ folder: path.join(folder, name), port: 0, roots })
    open.push(dashboard)
    const context = await browser.newContext({ viewport: { width: 1360, height: 900 }, ...options })
    const page = await context.newPage()
    page.setDefaultTimeout(120_000)
    const requests: string[] = []
    const faults: string[] = []
    page.on('request', (request) => requests.push(request.url()))
    page.on('pageerror', (error) => faults.push(error.message))
    page.on('console', (message) => message.type() === 'error' && faults.push(message.text()))
    await page.goto(dashboard.url)
    await page.locator('#link[data-link="live"]').waitFor()
    return { page, dashboard, requests, faults }
  }

  const fact = (page: Page, name: string): Locator => page.locator('.fact', { hasText: name }).locator('dd')
  const points = (page: Page): Promise<number[]> =>
    page
      .locator('.plot')
      .evaluateAll((plots) =>
        plots.filter((plot) => plot.clientWidth > 0).map((plot) => Number((plot as HTMLElement).dataset.points)),
      )

  it('waits for the first run and shows it with every new epoch, asking nobody but its own server', async () => {
    const { page, dashboard, requests, faults } = await visit('live')
    await page.getByText('Waiting for the first run').waitFor()
    const run = { name: `live/${model}/fold_0`, epochs: 3, totalEpochs: 20 }
    const live = await writeFakeRun(folder, run)
    await expect.poll(() => fact(page, 'Epoch').first().textContent(), { timeout: 60_000 }).toContain('3of 20')
    await appendEpochs(live, run, 3, 6)
    await expect.poll(() => fact(page, 'Epoch').first().textContent(), { timeout: 60_000 }).toContain('6of 20')
    await expect.poll(() => points(page)).toEqual([12, 18, 18, 6, 18, 6])
    const own = new URL(dashboard.url).origin
    expect(requests.filter((url) => !url.startsWith(`${own}/`) && !url.startsWith('data:'))).toEqual([])
    expect(faults).toEqual([])
    await page.close()
  })

  it('lays runs over each other, chosen by keyboard, and keeps the choice through a reload', async () => {
    for (const fold of [0, 1, 2])
      await writeFakeRun(folder, { name: `several/${model}/fold_${fold}`, epochs: 60, seed: fold + 1 })
    const { page, faults } = await visit('several')
    await page.locator('.runs input').first().focus()
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('Space')
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('Space')
    await page.getByRole('heading', { name: '3 runs' }).waitFor()
    const legend = page.locator('.chart', { has: page.getByRole('heading', { name: 'Loss' }) }).locator('.key .name')
    expect((await legend.allTextContents()).sort()).toEqual(['fold 0', 'fold 1', 'fold 2'])
    const colors = await page
      .locator('#summary .swatch')
      .evaluateAll((nodes) => nodes.map((node) => getComputedStyle(node).backgroundColor))
    expect(new Set(colors).size).toBe(3)
    await page.reload()
    await page.getByRole('heading', { name: '3 runs' }).waitFor()

    // In a chart: the cursor, the zoom of all charts, and all again.
    const plot = page.locator('.plot').first()
    await plot.focus()
    expect(await plot.evaluate((node) => getComputedStyle(node).outlineStyle)).toBe('solid')
    const before = await points(page)
    await page.keyboard.press('Home')
    await page.keyboard.press('ArrowRight')
    await expect.poll(() => page.locator('.chart .unseen').first().textContent()).toMatch(/^epoch 2: fold/)
    await page.keyboard.press('+')
    await expect.poll(async () => (await points(page)).every((count, index) => count < (before[index] ?? 0))).toBe(true)
    await page.keyboard.press('0')
    await expect.poll(() => points(page)).toEqual(before)

    // A click on a name hides its line.
    await legend.first().click()
    await expect.poll(async () => (await points(page))[0]).toBe(((before[0] ?? 0) * 2) / 3)
    expect(faults).toEqual([])
    await page.close()
  })

  it('draws few of many points, and asks for nothing while one zooms', async () => {
    await writeFakeRun(folder, { name: `many/${model}/fold_0`, epochs: many })
    const begin = performance.now()
    const { page, requests, faults } = await visit('many')
    await expect.poll(async () => (await points(page)).length, { timeout: 120_000 }).toBe(6)
    console.log(`${many} epochs: first picture ${(performance.now() - begin).toFixed(0)} ms after the server's start`)
    // A chart without lines is hidden.
    const widths = await page
      .locator('.chart:not([hidden]) .plot')
      .evaluateAll((plots) => plots.map((plot) => plot.clientWidth))
    // Of n lines in a chart at most 2n + 2 points of each line in a pixel column.
    const lines = [2, 3, 3, 1, 3, 1]
    const most = (await points(page)).map(
      (count, index) => count / ((lines[index] ?? 0) * (2 * (lines[index] ?? 0) + 2) * ((widths[index] ?? 0) + 2)),
    )
    expect(
      most.every((share) => share > 0 && share <= 1),
      most.join(),
    ).toBe(true)

    const asked = requests.length
    const times = await page
      .locator('.plot')
      .first()
      .evaluate(async (plot) => {
        const shown = async (act: () => void) => {
          const start = performance.now()
          act()
          await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)))
          return performance.now() - start
        }
        const press = (key: string) => () => plot.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }))
        const found: Record<string, number[]> = { cursor: [], zoom: [] }
        for (let time = 0; time < 8; time++) found.cursor?.push(await shown(press('ArrowLeft')))
        for (const key of ['+', '+', '+', '+', '-', '-', '-', '0']) found.zoom?.push(await shown(press(key)))
        return found
      })
    for (const [name, values] of Object.entries(times)) {
      const sorted = values.sort((a, b) => a - b)
      console.log(
        `${many} epochs: ${name} to next picture ${sorted[4]?.toFixed(0)} ms (median), ${sorted.at(-1)?.toFixed(0)} ms (longest), six charts`,
      )
    }
    expect(requests.length).toBe(asked)
    expect(faults).toEqual([])
    await page.close()
  })

  it('fits a phone and has colors that can be told from their background, light and dark', async () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      const { page, faults } = await visit('several', { colorScheme, viewport: { width: 375, height: 812 } })
      for (const box of await page.locator('.runs input').all()) await box.check()
      await page.getByRole('heading', { name: '3 runs' }).waitFor()
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(375)
      const contrasts = await page.evaluate(() => {
        const style = getComputedStyle(document.documentElement)
        const luminance = (name: string) => {
          const hex = style.getPropertyValue(name).trim()
          const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
            const value = Number.parseInt(hex.slice(at, at + 2), 16) / 255
            return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
          })
          return 0.2126 * red + 0.7152 * green + 0.0722 * blue
        }
        // WCAG 2.2, contrast ratio.
        const ratio = (name: string) => {
          const [a, b] = [luminance(name), luminance('--panel')]
          return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
        }
        const lines = Array.from({ length: 8 }, (_, index) => `--line-${index}`)
        return {
          text: ['--ink', '--muted', '--accent', '--good', '--bad', '--warn'].map(ratio),
          lines: lines.map(ratio),
        }
      })
      expect(Math.min(...contrasts.text), colorScheme).toBeGreaterThanOrEqual(4.5)
      expect(Math.min(...contrasts.lines), colorScheme).toBeGreaterThanOrEqual(3)
      expect(faults).toEqual([])
      await page.close()
    }
  })

  it('shows validation cases in three planes, the worst first', async () => {
    const run = await writeFakeRun(folder, { name: `validated/${model}/fold_0`, epochs: 10 })
    const roots = { raw: path.join(folder, 'raw'), preprocessed: path.join(folder, 'preprocessed') }
    await writeFakeValidation(run, roots, { easy: 0.93, hard: 0.21, middle: 0.6 })
    const { page, faults, requests, dashboard } = await visit('validated')
    const cases = page.locator('.open-case')
    await expect.poll(() => cases.allTextContents()).toEqual(['hard', 'middle', 'easy'])
    await cases.first().click()
    const place = page.locator('.place')
    await expect.poll(() => place.textContent(), { timeout: 120_000 }).toBe('voxel (6, 6, 6), value 104')
    const colors = async () => {
      const { data, channels } = decode(await page.locator('.canvas-frame canvas').screenshot())
      const counts = new Map<string, number>()
      for (let at = 0; at < data.length; at += channels) {
        const color = `${data[at]},${data[at + 1]},${data[at + 2]}`
        counts.set(color, (counts.get(color) ?? 0) + 1)
      }
      return counts
    }
    // The truth's outline has the color of the first class; without it only mixtures with the image are left.
    const outline = '110,160,255'
    await expect.poll(async () => (await colors()).get(outline) ?? 0).toBeGreaterThan(200)
    await page.getByRole('button', { name: 'Truth (outline)' }).click()
    await expect.poll(async () => (await colors()).get(outline) ?? 0).toBe(0)
    await page.getByRole('button', { name: 'Differences' }).click()
    await page.getByText('missed').waitFor()
    await page.locator('.canvas-frame canvas').focus()
    await page.keyboard.press('ArrowRight')
    await expect.poll(() => place.textContent()).toContain('voxel (7, 6, 6)')
    await page.getByRole('button', { name: 'Next case' }).click()
    await page.getByRole('heading', { name: 'middle, Dice 0.6000' }).waitFor()
    const own = new URL(dashboard.url).origin
    expect(requests.filter((url) => !url.startsWith(`${own}/`) && !/^(data|blob):/.test(url))).toEqual([])
    expect(faults).toEqual([])
    await page.close()
  })

  it('says so when its server is gone, and when another one has taken its place', async () => {
    await mkdir(path.join(folder, 'gone'), { recursive: true })
    const { page, dashboard } = await visit('gone')
    await dashboard.close()
    await page.getByText('not connected, trying again').waitFor()
    const port = Number(new URL(dashboard.url).port)
    open.push(await startDashboard({ folder: path.join(folder, 'gone'), port }))
    await page.getByText('this address is no longer valid').waitFor()
    await page.close()
  })

  it('names the classes of a single run', async () => {
    const { page } = await visit('live')
    const names = page
      .locator('.chart', { has: page.getByRole('heading', { name: 'each class' }) })
      .locator('.key .name')
    await expect.poll(() => names.allTextContents()).toEqual(fakeLabels)
    await page.close()
  })
})
