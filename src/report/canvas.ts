// What both pictures share: the font, and the same drawing sent to PNG or SVG.
import { createRequire } from 'node:module'
import { type Canvas, createCanvas, GlobalFonts, type SKRSContext2D, SvgExportFlag } from '@napi-rs/canvas'

export type Context = SKRSContext2D

const fontFamily = 'voxgrad-sans'
let fontReady = false

function registerFont(): void {
  if (fontReady) return
  const require = createRequire(import.meta.url)
  for (const file of ['DejaVuSans.ttf', 'DejaVuSans-Bold.ttf']) {
    GlobalFonts.registerFromPath(require.resolve(`dejavu-fonts-ttf/ttf/${file}`), fontFamily)
  }
  fontReady = true
}

/** A CSS font value of the packaged font. */
export const font = (pixels: number, weight: 'normal' | 'bold' = 'normal'): string =>
  `${weight} ${pixels}px ${fontFamily}`

/** Draws at a size given in CSS pixels onto a bitmap with `scale` times as many pixels a side. */
export function drawBitmap(width: number, height: number, scale: number, draw: (context: Context) => void): Canvas {
  registerFont()
  const canvas = createCanvas(Math.round(width * scale), Math.round(height * scale))
  const context = canvas.getContext('2d')
  context.scale(scale, scale)
  draw(context)
  return canvas
}

/** The same drawing as SVG that scales with its frame; text becomes paths, so it looks alike where the font is missing. */
export function drawSvg(width: number, height: number, draw: (context: Context) => void): string {
  registerFont()
  const canvas = createCanvas(width, height, SvgExportFlag.ConvertTextToPaths)
  draw(canvas.getContext('2d'))
  return canvas.getContent().toString('utf8').replace('<svg ', `<svg viewBox="0 0 ${width} ${height}" `)
}
