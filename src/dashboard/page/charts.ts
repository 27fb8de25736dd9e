// The charts of the selected runs: which lines each one has.
import { formatRate } from '../../report/format.js'
import { Chart, type ChartOptions, type Group, type Line, type Viewport } from './chart.js'
import type { Values } from './decimate.js'
import { element } from './dom.js'
import { shortNames } from './names.js'
import { mostSelected, type RunData, type Shown } from './store.js'

export type Axis = 'epoch' | 'step' | 'hours'
export const axes: readonly { value: Axis; label: string }[] = [
  { value: 'epoch', label: 'Epochs' },
  { value: 'step', label: 'Steps' },
  { value: 'hours', label: 'Hours' },
]

const lineColor = (index: number): string => `--line-${index % mostSelected}`

interface Part {
  key: string
  label: string
  values(data: RunData): Values
  look?: Pick<Line, 'dash' | 'alpha' | 'width'>
}

interface Definition extends ChartOptions {
  /** The first one stands for the run in the legend where several runs are shown. */
  parts: Part[]
}

const dash = [6, 4]
const bestLook = { dash: [2, 3], alpha: 0.8 }

const definitions: Definition[] = [
  {
    title: 'Loss',
    hint: 'training, and validation dashed',
    format: (value) => value.toFixed(4),
    axisFormat: plainNumber,
    parts: [
      { key: 'train', label: 'training', values: (data) => data.column('trainLoss') },
      { key: 'validation', label: 'validation', values: (data) => data.column('valLoss'), look: { dash } },
      { key: 'best', label: 'best', values: (data) => data.best(true), look: bestLook },
    ],
  },
  {
    title: 'Pseudo-Dice',
    hint: 'moving average, the epochs faint, best so far dashed',
    format: (value) => value.toFixed(4),
    axisFormat: plainNumber,
    parts: [
      { key: 'ema', label: 'moving average', values: (data) => data.column('emaDice'), look: { width: 2.25 } },
      { key: 'mean', label: 'epoch', values: (data) => data.column('meanDice'), look: { alpha: 0.4 } },
      { key: 'best', label: 'best', values: (data) => data.best(false), look: bestLook },
    ],
  },
  {
    title: 'Learning rate',
    hint: "of each epoch's first step",
    format: formatRate,
    parts: [{ key: 'lr', label: 'learning rate', values: (data) => data.column('lr') }],
  },
  {
    title: 'Time of a step',
    hint: 'milliseconds, median; of that, making the batch dashed',
    format: (value) => `${value.toPrecision(3)} ms`,
    axisFormat: plainNumber,
    parts: [
      { key: 'step', label: 'step', values: (data) => data.column('stepMs') },
      { key: 'slow', label: 'slowest 5%', values: (data) => data.column('stepMsP95'), look: { alpha: 0.4 } },
      { key: 'data', label: 'making the batch', values: (data) => data.column('dataMs'), look: { dash } },
    ],
  },
  {
    title: 'Skipped steps',
    hint: 'of an epoch, whose loss or gradient was not finite',
    format: String,
    axisFormat: plainNumber,
    parts: [{ key: 'skipped', label: 'skipped', values: (data) => ifAny(data.column('skippedSteps')) }],
  },
  {
    title: 'Memory',
    hint: "GiB, of the training's process, and of the device dashed",
    format: (value) => `${value.toFixed(2)} GiB`,
    axisFormat: plainNumber,
    parts: [
      { key: 'resident', label: 'process', values: (data) => gibibytes(data.column('residentBytes')) },
      { key: 'device', label: 'device', values: (data) => gibibytes(data.column('deviceBytes')), look: { dash } },
    ],
  },
]

/** Nothing to show where all are 0. */
const ifAny = (values: Values): Values => (values.some((value) => value) ? values : [])

const gibibytes = (values: Values): Values => values.map((value) => (value === null ? null : value / 2 ** 30))

/** Few digits, and none that say nothing. */
function plainNumber(value: number): string {
  return String(Number(value.toPrecision(6)))
}

export class Charts {
  readonly #charts: { chart: Chart; definition: Definition }[]
  readonly #classes: Chart
  readonly #classChoice = element('select', {
    class: 'pick pick-class',
    attributes: { 'aria-label': 'Class' },
    on: { change: () => this.#prepareClasses() },
  })
  #shown: Shown[] = []
  /** What is shown, to know whether anything has changed. */
  #signature = ''
  #names: string[] = []
  #xs: (readonly number[])[] = []
  readonly #groups = new Map<Chart, Group[]>()
  #axis: Axis = 'epoch'
  #range: [number, number] | null = null

  constructor(container: HTMLElement) {
    const zoom = (range: [number, number] | null) => this.zoomTo(range)
    this.#charts = definitions.map((definition) => ({ definition, chart: new Chart(definition, zoom) }))
    const format = (value: number) => value.toFixed(4)
    this.#classes = new Chart({ title: 'Pseudo-Dice of each class', hint: '', format, axisFormat: plainNumber }, zoom)
    this.#classes.root.querySelector('figcaption')?.append(this.#classChoice)
    const roots = this.#charts.map(({ chart }) => chart.root)
    roots.splice(2, 0, this.#classes.root)
    container.append(...roots)
  }

  show(shown: Shown[], axis: Axis): void {
    const parts = shown.map(({ state, data, color }) => [state.id, state.labels, color, data.sequence])
    const signature = JSON.stringify([axis, parts])
    if (signature === this.#signature) return
    this.#signature = signature
    if (axis !== this.#axis) this.#range = null
    this.#axis = axis
    this.#shown = shown
    this.#names = shortNames(shown.map(({ state }) => state))
    this.#xs = shown.map(({ data }) => this.#x(data))
    this.#prepare()
    this.#prepareClasses()
  }

  repaint(): void {
    for (const { chart } of this.#charts) chart.repaint()
    this.#classes.repaint()
  }

  /** Shows a part of the horizontal axis in every chart; null for all. */
  zoomTo(range: [number, number] | null): void {
    const all = this.#extent()
    const inside = range && all ? ([Math.max(all[0], range[0]), Math.min(all[1], range[1])] as const) : null
    const isAll = !inside || !all || (inside[0] <= all[0] && inside[1] >= all[1])
    const isTooNarrow = inside && all && inside[1] - inside[0] < (all[1] - all[0]) * 1e-6
    if (isTooNarrow) return
    this.#range = isAll ? null : [inside[0], inside[1]]
    this.#redraw()
  }

  /** @param factor below 1 shows less, around the middle */
  zoomBy(factor: number): void {
    const all = this.#range ?? this.#extent()
    if (!all) return
    const [middle, half] = [(all[0] + all[1]) / 2, ((all[1] - all[0]) / 2) * factor]
    this.zoomTo([middle - half, middle + half])
  }

  #extent(): [number, number] | null {
    const filled = this.#xs.filter((x) => x.length > 0)
    if (filled.length === 0) return null
    return [Math.min(...filled.map((x) => x[0] as number)), Math.max(...filled.map((x) => x.at(-1) as number))]
  }

  /** Epochs are counted from 1, as people do. */
  #x(data: RunData): readonly number[] {
    if (this.#axis === 'hours') return data.hours
    if (this.#axis === 'step') return data.column('step') as number[]
    return data.column('epoch').map((epoch) => (epoch ?? 0) + 1)
  }

  #redraw(): void {
    const viewport: Viewport = {
      range: this.#range,
      xLabel: this.#axis,
      isWhole: this.#axis !== 'hours',
      formatX: this.#axis === 'hours' ? (value) => `${plainNumber(Number(value.toFixed(3)))} h` : grouped,
    }
    for (const [chart, groups] of this.#groups) chart.show(groups, viewport)
  }

  #prepare(): void {
    const isAlone = this.#shown.length === 1
    for (const { chart, definition } of this.#charts) {
      const groups = this.#shown.map(({ data, color, state }, index): Group => {
        const run = { key: state.id, label: this.#names[index] ?? '' }
        const lines = definition.parts
          .map((part, place) =>
            isAlone
              ? lineOf(part, data, part.look?.dash && part.key !== 'best' ? 1 : color)
              : lineOf(part, data, color, { ...run, isInLegend: place === 0 }),
          )
          .filter(({ values }) => values.some((value) => value !== null))
        return { x: this.#xs[index] ?? [], lines }
      })
      chart.root.hidden = groups.every(({ lines }) => lines.length === 0)
      this.#groups.set(chart, groups)
    }
  }

  #prepareClasses(): void {
    const shown = this.#shown
    const labels = longest(
      shown.map(({ state, data }) => data.dice.map((_, index) => state.labels[index] ?? `class ${index + 1}`)),
    )
    this.#fillClassChoice(labels)
    const isAlone = shown.length === 1
    this.#classChoice.hidden = isAlone || labels.length < 2
    const chosen = Math.max(0, this.#classChoice.selectedIndex)
    const groups = shown.map(({ data, color, state }, index): Group => {
      const x = this.#xs[index] ?? []
      if (isAlone) {
        const lines = data.dice.map((values, one): Line => {
          const label = labels[one] ?? ''
          return { key: label, label, color: lineColor(one), values }
        })
        return { x, lines }
      }
      const values = data.dice[chosen] ?? []
      return { x, lines: [{ key: state.id, label: this.#names[index] ?? '', color: lineColor(color), values }] }
    })
    this.#classes.root.hidden = labels.length < 2
    this.#groups.set(this.#classes, groups)
    this.#redraw()
  }

  #fillClassChoice(labels: readonly string[]): void {
    const choice = this.#classChoice
    const known = [...choice.options].map(({ value }) => value)
    if (known.join('\0') === labels.join('\0')) return
    choice.replaceChildren(...labels.map((label) => element('option', { value: label }, label)))
  }
}

function lineOf(
  { key, label, values, look }: Part,
  data: RunData,
  color: number,
  run?: { key: string; label: string; isInLegend: boolean },
): Line {
  return {
    key: run?.key ?? key,
    label: run?.label ?? label,
    color: lineColor(color),
    values: values(data),
    isInLegend: run?.isInLegend ?? true,
    ...look,
  }
}

const longest = (lists: string[][]): string[] =>
  lists.reduce((found, one) => (one.length > found.length ? one : found), [])

const grouped = (value: number): string => plainNumber(Number(value.toFixed(2))).replace(/\B(?=(\d{3})+(?!\d))/g, ',')
