// A validation case in three planes: the image, the prediction filled, the truth as outline, and where they differ.
// NiiVue, which draws it, is loaded when the first case is opened.
import type * as Library from '@niivue/niivue'
import type { Niivue, NVImage } from '@niivue/niivue'
import type { ValidationCase, ValidationCases, Weights } from '../messages.js'
import { element, setText } from './dom.js'
import { classColors, errorColors, type Rgb } from './label-colors.js'
import { differences, outline } from './label-volumes.js'

/** A case, and where its volumes are. */
export interface OpenedCase {
  run: string
  weights: Weights
  of: ValidationCases
  case: ValidationCase
}

type Layer = 'truth' | 'prediction' | 'errors'
const layerIndex: Record<Layer, number> = { truth: 2, prediction: 1, errors: 3 }
const layerNames: Record<Layer, string> = {
  truth: 'Truth (outline)',
  prediction: 'Prediction',
  errors: 'Differences',
}

export class Viewer {
  readonly root: HTMLElement
  readonly #canvas = element('canvas', {
    attributes: {
      tabindex: '0',
      role: 'img',
      'aria-label': 'Three planes. Arrow keys, Page Up and Page Down move the cross, with Shift ten voxels.',
    },
    on: { keydown: (event) => this.#press(event) },
  })
  readonly #title = element('h3')
  readonly #message = element('p', { class: 'message', attributes: { role: 'status' } })
  readonly #place = element('p', { class: 'hint place' })
  readonly #legend = element('div', { class: 'label-legend' })
  readonly #channel = element('select', {
    class: 'pick',
    attributes: { 'aria-label': 'Channel' },
    on: { change: () => this.#reopen() },
  })
  readonly #opacity = element('input', {
    type: 'range',
    value: '0.5',
    attributes: { min: '0', max: '1', step: '0.05', 'aria-label': 'Opacity of the prediction' },
    on: { input: () => this.#applyLayers() },
  })
  readonly #shown = new Set<Layer>(['truth', 'prediction'])
  #niivue: Niivue | undefined
  #opened: OpenedCase | undefined
  /** Only the latest request to open a case counts. */
  #turn = 0

  /** @param move opens the case so many places further down the list */
  constructor(move: (by: number) => void) {
    const layer = (name: Layer) => {
      const button = element(
        'button',
        {
          type: 'button',
          attributes: { 'aria-pressed': String(this.#shown.has(name)) },
          on: {
            click: () => {
              if (!this.#shown.delete(name)) this.#shown.add(name)
              button.setAttribute('aria-pressed', String(this.#shown.has(name)))
              this.#applyLayers()
            },
          },
        },
        layerNames[name],
      )
      return button
    }
    const step = (label: string, name: string, by: number) =>
      element(
        'button',
        {
          type: 'button',
          class: 'plain',
          title: name,
          attributes: { 'aria-label': name },
          on: { click: () => move(by) },
        },
        label,
      )
    this.root = element(
      'div',
      { class: 'viewer', hidden: true },
      element(
        'div',
        { class: 'viewer-head' },
        this.#title,
        step('\u2191', 'Case before', -1),
        step('\u2193', 'Next case', 1),
      ),
      element(
        'div',
        { class: 'viewer-tools' },
        element(
          'div',
          { class: 'choice', attributes: { role: 'group', 'aria-label': 'Layers' } },
          layer('truth'),
          layer('prediction'),
          layer('errors'),
        ),
        element('label', { class: 'opacity' }, 'Opacity', this.#opacity),
        this.#channel,
      ),
      element('div', { class: 'canvas-frame' }, this.#canvas, this.#message),
      this.#legend,
      this.#place,
    )
  }

  async open(opened: OpenedCase): Promise<void> {
    const turn = ++this.#turn
    this.#opened = opened
    this.root.hidden = false
    this.root.scrollIntoView({ block: 'nearest' })
    setText(this.#title, `${opened.case.name}, Dice ${opened.case.dice === null ? '-' : opened.case.dice.toFixed(4)}`)
    this.#drawChannels(opened.of.channels)
    this.#drawLegend(opened.of)
    setText(this.#message, 'Loading')
    try {
      if (opened.of.withoutImages !== null) throw new Error(opened.of.withoutImages)
      const niivue = await this.#start()
      const { NVImage } = await loadLibrary()
      const load = (kind: string) => loadVolume(NVImage, opened, kind)
      const channel = Math.max(0, this.#channel.selectedIndex)
      const [image, prediction, truth] = await Promise.all([
        load(`image-${channel}`),
        load('prediction'),
        load('truth'),
      ])
      if (turn !== this.#turn) return
      this.#show(niivue, image, prediction, truth)
      setText(this.#message, '')
    } catch (error) {
      if (turn === this.#turn) setText(this.#message, (error as Error).message)
    }
  }

  close(): void {
    this.#turn++
    this.#opened = undefined
    this.root.hidden = true
  }

  #reopen(): void {
    if (this.#opened) void this.open(this.#opened)
  }

  async #start(): Promise<Niivue> {
    if (this.#niivue) return this.#niivue
    if (!document.createElement('canvas').getContext('webgl2'))
      throw new Error('This browser has no WebGL 2, which the viewer needs. The Dice of every case is in the table.')
    const { Niivue: Class } = await loadLibrary()
    const niivue = new Class({
      backColor: [0, 0, 0, 1],
      crosshairColor: [1, 1, 1, 0.7],
      crosshairWidth: 0.25,
      fontColor: [0.85, 0.85, 0.85, 1],
      isNearestInterpolation: true,
      // Never: three planes, and no fourth picture.
      multiplanarShowRender: 0,
      loadingText: '',
      dragAndDropEnabled: false,
      show3Dcrosshair: false,
      logLevel: 'error',
    })
    await niivue.attachToCanvas(this.#canvas)
    niivue.onLocationChange = (location) =>
      this.#showPlace(location as { vox: ArrayLike<number>; values: { value: number }[] })
    this.#niivue = niivue
    return niivue
  }

  #show(niivue: Niivue, image: NVImage, prediction: NVImage, truth: NVImage): void {
    for (const volume of [...niivue.volumes]) niivue.removeVolume(volume)
    const labels = this.#opened?.of.labels ?? []
    const names = new Map(labels.map(({ value, name }) => [value, name]))
    const [predicted, true_] = [labelsOf(prediction), labelsOf(truth)]
    const extents = extentsOf(truth)
    const errors = truth.clone()
    setLabels(prediction, predicted, classColors, names)
    setLabels(truth, outline(true_, extents), classColors, names)
    setLabels(errors, differences(true_, predicted), errorColors, new Map())
    for (const volume of [image, prediction, truth, errors]) niivue.addVolume(volume)
    const isFlat = extentsOf(image).some((extent) => extent === 1)
    niivue.setIsOrientationTextVisible(!isFlat)
    niivue.setSliceType(isFlat ? niivue.sliceTypeAxial : niivue.sliceTypeMultiplanar)
    goTo(niivue, middleOf(true_, extents) ?? middleOf(predicted, extents), extents)
    this.#applyLayers()
  }

  #applyLayers(): void {
    const niivue = this.#niivue
    if (!niivue || niivue.volumes.length < 4) return
    for (const layer of Object.keys(layerIndex) as Layer[]) {
      const opacity = layer === 'prediction' ? Number(this.#opacity.value) : layer === 'errors' ? 0.8 : 1
      niivue.setOpacity(layerIndex[layer], this.#shown.has(layer) ? opacity : 0)
    }
    this.#drawLegend(this.#opened?.of)
  }

  #showPlace({ vox, values }: { vox: ArrayLike<number>; values: { value: number }[] }): void {
    const place = Array.from(vox, Math.round).join(', ')
    setText(this.#place, `voxel (${place}), value ${values[0]?.value ?? '-'}`)
  }

  #drawChannels(channels: readonly string[]): void {
    this.#channel.hidden = channels.length < 2
    const known = [...this.#channel.options].map(({ value }) => value)
    if (known.join('\0') === channels.join('\0')) return
    this.#channel.replaceChildren(...channels.map((name) => element('option', { value: name }, name)))
  }

  #drawLegend(of: ValidationCases | undefined): void {
    if (!of) return
    const entry = (color: Rgb, name: string) =>
      element(
        'span',
        { class: 'label' },
        element('span', { class: 'dot', style: { '--key': `rgb(${color.join(' ')})` } }),
        name,
      )
    const classes = of.labels.map(({ value, name }) => entry(classColors(value), name))
    const errors = [
      entry(errorColors(1), 'missed'),
      entry(errorColors(2), 'too much'),
      ...(of.labels.length > 1 ? [entry(errorColors(3), 'another class')] : []),
    ]
    this.#legend.replaceChildren(...classes, ...(this.#shown.has('errors') ? errors : []))
  }

  #press(event: KeyboardEvent): void {
    const far = event.shiftKey ? 10 : 1
    const moves: Record<string, [number, number, number]> = {
      ArrowLeft: [-far, 0, 0],
      ArrowRight: [far, 0, 0],
      ArrowUp: [0, far, 0],
      ArrowDown: [0, -far, 0],
      PageUp: [0, 0, far],
      PageDown: [0, 0, -far],
    }
    const move = moves[event.key]
    if (!move || !this.#niivue) return
    event.preventDefault()
    event.stopPropagation()
    this.#niivue.moveCrosshairInVox(...move)
  }
}

let library: Promise<typeof Library> | undefined

/** NiiVue comes as a script that leaves a global name. */
function loadLibrary(): Promise<typeof Library> {
  library ??= new Promise((resolve, reject) => {
    const script = element('script', {
      attributes: { src: '/assets/libraries/niivue.js' },
      on: {
        load: () => resolve((globalThis as unknown as { niivue: typeof Library }).niivue),
        error: () => reject(new Error('The viewer could not be loaded.')),
      },
    })
    document.head.append(script)
  })
  return library
}

async function loadVolume(
  Class: typeof NVImage,
  { run, weights, case: { id } }: OpenedCase,
  kind: string,
): Promise<NVImage> {
  const response = await fetch(`/api/runs/${run}/cases/${weights}/${id}/${kind}`)
  if (!response.ok) throw new Error((await response.text()).trim())
  const url = (await response.arrayBuffer()) as unknown as string
  return Class.loadFromUrl({ url, name: response.headers.get('x-volume-name') ?? 'volume.nii.gz' })
}

type Extents = [number, number, number]

/** x, y, z. */
const extentsOf = ({ hdr }: NVImage): Extents => [1, 2, 3].map((axis) => Math.max(1, hdr?.dims[axis] ?? 1)) as Extents

/** Labels may be stored as any type of number. */
function labelsOf({ img }: NVImage): Uint16Array {
  return Uint16Array.from((img ?? []) as ArrayLike<number>)
}

function setLabels(
  volume: NVImage,
  labels: Uint8Array | Uint16Array,
  colors: (label: number) => Rgb,
  names: ReadonlyMap<number, string>,
): void {
  let most = 1
  for (const label of labels) if (label > most) most = label
  const isByte = most < 256
  volume.img = isByte ? Uint8Array.from(labels) : Uint16Array.from(labels)
  const { hdr } = volume
  if (hdr) {
    // NIfTI's codes for unsigned integers of 8 and 16 bits, without a scale.
    hdr.datatypeCode = isByte ? 2 : 512
    hdr.numBitsPerVoxel = isByte ? 8 : 16
    hdr.scl_slope = 1
    hdr.scl_inter = 0
  }
  const values = Array.from({ length: most + 1 }, (_, label) => label)
  const table = values.map((label): Rgb => (label === 0 ? [0, 0, 0] : colors(label)))
  volume.setColormapLabel({
    ...{ R: table.map(([red]) => red), G: table.map(([, green]) => green), B: table.map(([, , blue]) => blue) },
    ...{ A: values.map((label) => (label === 0 ? 0 : 255)), I: values },
    labels: values.map((label) => names.get(label) ?? ''),
  })
}

/** The middle voxel of all that is labeled; undefined without any. */
function middleOf(labels: Uint16Array, [width, height]: Extents): Extents | undefined {
  const sum = [0, 0, 0] as Extents
  let count = 0
  labels.forEach((label, index) => {
    if (label === 0) return
    count++
    sum[0] += index % width
    sum[1] += Math.floor(index / width) % height
    sum[2] += Math.floor(index / (width * height))
  })
  return count === 0 ? undefined : (sum.map((total) => Math.round(total / count)) as Extents)
}

function goTo(niivue: Niivue, voxel: Extents | undefined, extents: Extents): void {
  const volume = niivue.volumes[0]
  if (!volume) return
  const target = voxel ?? (extents.map((extent) => Math.floor(extent / 2)) as Extents)
  niivue.scene.crosshairPos = volume.convertVox2Frac(target)
  niivue.createOnLocationChange()
}
