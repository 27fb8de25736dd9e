// One chart: lines of several runs with a shared zoom and cursor, a legend with the values under the cursor, and keys.
import uPlot from 'uplot'
import { decimate, nearest, type Values } from './decimate.js'
import { element, setText } from './dom.js'

/** A line; its color is a custom property of style.css, so that it follows the theme. */
export interface Line {
  /** The same in every drawing, to remember what is hidden. */
  key: string
  label: string
  color: string
  width?: number
  dash?: number[]
  alpha?: number
  /** false for one that belongs to another line of the same key. */
  isInLegend?: boolean
  values: Values
}

/** Lines that share their x: those of one run. */
export interface Group {
  x: readonly number[]
  lines: Line[]
}

/** Between the marks of an axis of epochs or steps. */
const wholeIncrements = [0, 1, 2, 3, 4, 5, 6, 7, 8].flatMap((power) => [1, 2, 5].map((digit) => digit * 10 ** power))

export interface ChartOptions {
  title: string
  /** Below the title: what the values are. */
  hint: string
  format(value: number): string
  /** Ticks of the vertical axis; `format` without it. */
  axisFormat?(value: number): string
}

export interface Viewport {
  /** The visible part of x; null for all. */
  range: [number, number] | null
  xLabel: string
  /** x counts something: no marks between its numbers. */
  isWhole: boolean
  formatX(value: number): string
}

const chartHeight = 220
const syncKey = 'runs'

export class Chart {
  readonly root: HTMLElement
  readonly #plotArea = element('div', { class: 'plot' })
  readonly #legend = element('div', { class: 'legend' })
  readonly #spoken = element('p', { class: 'unseen', attributes: { role: 'status' } })
  readonly #options: ChartOptions
  readonly #zoom: (range: [number, number] | null) => void
  readonly #hidden = new Set<string>()
  #groups: Group[] = []
  #viewport: Viewport = { range: null, xLabel: '', isWhole: true, formatX: String }
  #plot: uPlot | undefined
  /** What a plot was made for; another one needs a new plot. */
  #shape = ''
  #cursorX: number | null = null
  #readouts: { node: HTMLElement; group: Group; line: Line }[] = []

  /** @param zoom is asked to show a part of x, or all for null */
  constructor(options: ChartOptions, zoom: (range: [number, number] | null) => void) {
    this.#options = options
    this.#zoom = zoom
    const keys = 'Left and right arrows move the cursor, plus and minus zoom, 0 shows all.'
    this.#plotArea.tabIndex = 0
    this.#plotArea.setAttribute('role', 'application')
    this.#plotArea.setAttribute('aria-label', `${options.title}. ${keys}`)
    this.#plotArea.addEventListener('keydown', (event) => this.#press(event))
    this.root = element(
      'figure',
      { class: 'chart' },
      element('figcaption', {}, element('h3', {}, options.title), element('p', { class: 'hint' }, options.hint)),
      this.#legend,
      this.#plotArea,
      this.#spoken,
    )
    new ResizeObserver(() => this.#resize()).observe(this.#plotArea)
  }

  show(groups: Group[], viewport: Viewport): void {
    this.#groups = groups
    this.#viewport = viewport
    this.#draw()
  }

  /** After a change of the theme: colors are read anew. */
  repaint(): void {
    this.#shape = ''
    this.#draw()
  }

  #visibleGroups(): Group[] {
    return this.#groups
      .map(({ x, lines }) => ({ x, lines: lines.filter(({ key }) => !this.#hidden.has(key)) }))
      .filter(({ x, lines }) => x.length > 0 && lines.length > 0)
  }

  #extent(): [number, number] {
    const filled = this.#groups.filter(({ x }) => x.length > 0)
    const low = Math.min(...filled.map(({ x }) => x[0] as number))
    const high = Math.max(...filled.map(({ x }) => x.at(-1) as number))
    if (!Number.isFinite(low)) return [0, 1]
    return high > low ? [low, high] : [low - 0.5, high + 0.5]
  }

  #draw(): void {
    const width = this.#plotArea.clientWidth
    if (width === 0) return
    const groups = this.#visibleGroups()
    const range = this.#viewport.range ?? this.#extent()
    const tables = groups.map(({ x, lines }) => {
      const kept = decimate(
        x,
        lines.map(({ values }) => values),
        range,
        width,
      )
      const pick = (values: Values) => kept.map((index) => values[index] ?? null)
      return [kept.map((index) => x[index] as number), ...lines.map(({ values }) => pick(values))] as uPlot.AlignedData
    })
    const [first] = tables
    const data: uPlot.AlignedData = tables.length > 1 ? uPlot.join(tables) : (first ?? [[]])
    const lines = groups.flatMap((group) => group.lines)
    const shape = JSON.stringify([lines.map(({ values, ...look }) => look), this.#viewport.xLabel])
    if (!this.#plot || shape !== this.#shape) {
      this.#plot?.destroy()
      this.#plot = new uPlot(this.#plotOptions(lines, width), undefined, this.#plotArea)
      this.#shape = shape
    }
    this.#plotArea.dataset.points = String(
      data
        .slice(1)
        .reduce((sum, one) => sum + (one as Values).filter((value) => value !== null && value !== undefined).length, 0),
    )
    const plot = this.#plot
    plot.batch(() => {
      plot.setData(data, false)
      plot.setScale('x', { min: range[0], max: range[1] })
    })
    this.#drawLegend()
  }

  #plotOptions(lines: Line[], width: number): uPlot.Options {
    const style = getComputedStyle(document.documentElement)
    const color = (name: string) => style.getPropertyValue(name).trim()
    const font = `12px ${style.fontFamily}`
    const axis: uPlot.Axis = {
      stroke: color('--muted'),
      font,
      grid: { stroke: color('--grid'), width: 1 },
      ticks: { show: false },
    }
    const { format, axisFormat = format } = this.#options
    return {
      width,
      height: chartHeight,
      legend: { show: false },
      padding: [8, 30, 0, 0],
      scales: { x: { time: false, auto: false }, y: { auto: true } },
      axes: [
        {
          ...axis,
          size: 28,
          gap: 6,
          space: 64,
          values: (_, ticks) => ticks.map((tick) => this.#viewport.formatX(tick)),
          ...(this.#viewport.isWhole ? { incrs: wholeIncrements } : {}),
        },
        { ...axis, size: 58, gap: 6, space: 36, values: (_, ticks) => ticks.map(axisFormat) },
      ],
      series: [
        {},
        ...lines.map((line): uPlot.Series => {
          const { width: lineWidth = 1.75, dash, alpha = 1 } = line
          const stroke = color(line.color)
          return {
            label: line.label,
            stroke,
            width: lineWidth,
            alpha,
            ...(dash ? { dash } : {}),
            points: { size: 5, fill: stroke, width: 0, show: (plot, _, from, to) => to - from < plot.width / 24 },
          }
        }),
      ],
      cursor: {
        y: false,
        points: { size: 7 },
        drag: { x: true, y: false, setScale: false },
        sync: { key: syncKey, scales: ['x', null] },
      },
      hooks: {
        setSelect: [
          (plot) => {
            const { left, width: selected } = plot.select
            if (selected < 4) return
            const range: [number, number] = [plot.posToVal(left, 'x'), plot.posToVal(left + selected, 'x')]
            plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
            this.#zoom(range)
          },
        ],
        setCursor: [
          (plot) => {
            const { left } = plot.cursor
            this.#cursorX = left === undefined || left === null || left < 0 ? null : plot.posToVal(left, 'x')
            this.#showValues()
          },
        ],
      },
    }
  }

  #resize(): void {
    const width = this.#plotArea.clientWidth
    if (width === 0 || width === this.#plot?.width) return
    this.#plot?.setSize({ width, height: chartHeight })
    this.#draw()
  }

  /** Buttons are kept while the lines are the same, so that the keyboard's focus stays. */
  #drawLegend(): void {
    const lines = this.#groups.flatMap((group) =>
      group.lines.filter(({ isInLegend }) => isInLegend !== false).map((line) => ({ group, line })),
    )
    const same =
      lines.length === this.#readouts.length &&
      lines.every(({ line }, index) => {
        const known = this.#readouts[index]?.line
        return known?.key === line.key && known.label === line.label && known.color === line.color
      })
    if (same) {
      this.#readouts = lines.map((entry, index) => ({
        ...entry,
        node: (this.#readouts[index] as { node: HTMLElement }).node,
      }))
    } else {
      this.#readouts = lines.map((entry) => ({ ...entry, node: element('output', { class: 'value' }) }))
      this.#legend.replaceChildren(
        ...this.#readouts.map(({ line, node }) => {
          const button = element(
            'button',
            {
              type: 'button',
              class: 'key',
              title: `Show or hide ${line.label}`,
              attributes: { 'aria-pressed': String(!this.#hidden.has(line.key)) },
              style: { '--key': `var(${line.color})`, '--alpha': String(line.alpha ?? 1) },
              on: {
                click: () => {
                  if (!this.#hidden.delete(line.key)) this.#hidden.add(line.key)
                  button.setAttribute('aria-pressed', String(!this.#hidden.has(line.key)))
                  this.#draw()
                },
              },
            },
            element('span', { class: line.dash ? 'swatch swatch-dashed' : 'swatch' }),
            element('span', { class: 'name' }, line.label),
            node,
          )
          return button
        }),
      )
    }
    this.#showValues()
  }

  /** Under the cursor, else the last ones. */
  #showValues(): void {
    for (const { node, group, line } of this.#readouts) {
      const index = this.#cursorX === null ? group.x.length - 1 : nearest(group.x, this.#cursorX)
      const value = line.values[index]
      setText(node, value === null || value === undefined ? '-' : this.#options.format(value))
    }
  }

  #press(event: KeyboardEvent): void {
    const plot = this.#plot
    if (!plot || event.ctrlKey || event.metaKey || event.altKey) return
    const range = this.#viewport.range ?? this.#extent()
    const [low, high] = range
    const at = this.#cursorX ?? high
    const x = this.#groups[0]?.x ?? []
    const move = (to: number) => {
      const inside = Math.min(high, Math.max(low, to))
      plot.setCursor({ left: plot.valToPos(inside, 'x'), top: 0 })
      this.#speak()
    }
    const step = (direction: number) => {
      if (event.shiftKey) move(at + (direction * (high - low)) / 10)
      else move(x[Math.min(x.length - 1, Math.max(0, nearest(x, at) + direction))] ?? at)
    }
    const scale = (factor: number) =>
      this.#zoom([at - (at - low) * factor, at + (high - at) * factor] as [number, number])
    const actions: Record<string, () => void> = {
      ArrowLeft: () => step(-1),
      ArrowRight: () => step(1),
      Home: () => move(low),
      End: () => move(high),
      '+': () => scale(0.5),
      '=': () => scale(0.5),
      '-': () => scale(2),
      '0': () => this.#zoom(null),
      Escape: () => this.#zoom(null),
    }
    const action = actions[event.key]
    if (!action) return
    event.preventDefault()
    action()
  }

  #speak(): void {
    if (this.#cursorX === null) return
    const values = this.#readouts.map(({ node, line }) => `${line.label} ${node.textContent}`)
    setText(this.#spoken, `${this.#viewport.xLabel} ${this.#viewport.formatX(this.#cursorX)}: ${values.join(', ')}`)
  }
}
