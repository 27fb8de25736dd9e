// Takes the pictures of docs/dashboard.md from real runs, in Chromium.
//   node scripts/dashboard-pictures.mjs RUNS_FOLDER      (nnUNet_raw and nnUNet_preprocessed name their data)
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'
import { startDashboard } from '../dist/dashboard/server.js'

const images = path.join(path.dirname(fileURLToPath(import.meta.url)), '../docs/images')
const folder = path.resolve(process.argv[2] ?? '')
const roots = { raw: process.env.nnUNet_raw, preprocessed: process.env.nnUNet_preprocessed }

const dashboard = await startDashboard({ folder, port: 0, roots })
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--use-angle=swiftshader', '--enable-unsafe-swiftshader'],
})
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 940 } })
  await page.goto(dashboard.url)
  const boxes = page.locator('.runs input')
  await boxes.first().waitFor()
  for (const box of await boxes.all()) await box.check()
  await page.locator('.chart canvas').first().waitFor()
  await page.waitForTimeout(1000)
  await page.screenshot({ path: path.join(images, 'dashboard.png') })

  await page.emulateMedia({ colorScheme: 'dark' })
  const cases = page.locator('.open-case')
  await cases.first().click()
  await page.locator('.place', { hasText: 'voxel' }).waitFor()
  await page.locator('h2', { hasText: 'Validation cases' }).click()
  await page.waitForTimeout(1000)
  await page.locator('#cases').screenshot({ path: path.join(images, 'dashboard-cases.png') })
} finally {
  await browser.close()
  await dashboard.close()
}
