// Watches all runs below a folder: finds them, follows their files, and tells listeners what has changed.
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { realpath, stat } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { readDatasetJson } from '../dataset/dataset-json.js'
import { parseJson } from '../json.js'
import { ownerOf } from '../train/lock.js'
import { findRuns, overviewOf } from '../train/overview.js'
import type { RunFolder, RunRecord } from '../train/run-folder.js'
import { OutsideError, openInside, readInside } from './inside.js'
import { type Lines, type Progress, type RunState, weights } from './messages.js'
import { isNnunetRun, NnunetRun } from './nnunet-run.js'
import { RunLines } from './run-lines.js'
import { Tail } from './tail.js'

/** Between two looks at the files; both grow with the time that a look takes. */
const tickMs = 300
const searchMs = 1000
/** So many times what a look takes, nothing is done. */
const idleShare = 4

export type Change = { sequence: number } & (
  | { type: 'run'; run: RunState }
  | { type: 'gone'; id: string }
  | { type: 'lines'; lines: Lines }
)

export interface WatchedRun {
  folder: RunFolder
  state: RunState
  /** Of the last change of the state. */
  stateSequence: number
  lines: RunLines
  record: RunRecord | undefined
}

interface Entry extends Omit<WatchedRun, 'state'> {
  state: RunState | undefined
  id: string
  name: string
  /** Gives the lines of metrics.jsonl. */
  tail: Pick<Tail, 'read'>
  /** Where nnU-Net itself trained. */
  nnunet: NnunetRun | undefined
  /** Tells whether run.json was written again. */
  recordStamp: string
  fault: string | null
  labels: string[]
}

const idOf = (name: string): string => createHash('sha256').update(name).digest('base64url').slice(0, 16)

export class RunsWatch {
  readonly #entries = new Map<string, Entry>()
  readonly #listeners = new Set<(change: Change) => void>()
  readonly #ending = new AbortController()
  #loop: Promise<void> | undefined
  #sequence = 0
  /** Of the one run that is trained beside this dashboard. */
  #progress: { folder: string; progress: Progress | null } | undefined
  /** The folder as realpath gives it; the path itself until it exists. */
  #root: string

  /** @param folder all runs below it are shown; it may not be there yet */
  constructor(readonly folder: string) {
    this.#root = folder
  }

  get sequence(): number {
    return this.#sequence
  }

  get root(): string {
    return this.#root
  }

  /** Resolves when every run was read once. */
  async start(): Promise<void> {
    await this.#search()
    await this.#refresh()
    this.#loop = this.#watch()
  }

  async stop(): Promise<void> {
    this.#ending.abort()
    await this.#loop
  }

  /** Every run that was read, in the order of their names. */
  all(): WatchedRun[] {
    return [...this.#entries.values()].filter((entry): entry is Entry & WatchedRun => entry.state !== undefined)
  }

  get(id: string): WatchedRun | undefined {
    const entry = this.#entries.get(id)
    return entry?.state && (entry as WatchedRun)
  }

  /** @returns ends listening */
  listen(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** How far the present epoch of a run is, which its files do not say. */
  setProgress(folder: string, progress: Progress | null): void {
    this.#progress = { folder, progress }
  }

  async #watch(): Promise<void> {
    const { signal } = this.#ending
    let searchAt = performance.now() + searchMs
    while (!signal.aborted) {
      const begin = performance.now()
      if (begin >= searchAt) {
        await this.#search()
        searchAt = performance.now() + Math.max(searchMs, idleShare * (performance.now() - begin))
      }
      await this.#refresh()
      const pause = Math.max(tickMs, idleShare * (performance.now() - begin))
      await sleep(pause, undefined, { signal, ref: false }).catch(() => {})
    }
  }

  async #search(): Promise<void> {
    // A folder that is missing, or may not be read for now, has no runs.
    this.#root = await realpath(this.folder).catch(() => this.folder)
    const found = await findRuns(this.#root, isNnunetRun).catch(() => [])
    const names = new Map(found.map((folder) => [path.relative(this.#root, folder.folder) || '.', folder]))
    for (const [name, folder] of names) {
      const id = idOf(name)
      if (!this.#entries.has(id)) this.#entries.set(id, this.#entryOf(id, name, folder))
    }
    for (const { id, name, nnunet, folder } of [...this.#entries.values()]) {
      // A run of nnU-Net that voxgrad has taken over begins anew, at the next search.
      if (names.has(name) && !(nnunet && existsSync(folder.recordFile))) continue
      this.#entries.delete(id)
      this.#tell({ type: 'gone', id, sequence: ++this.#sequence })
    }
  }

  #entryOf(id: string, name: string, folder: RunFolder): Entry {
    const nnunet = existsSync(folder.recordFile) ? undefined : new NnunetRun(folder, () => this.#root)
    return {
      id,
      name,
      folder,
      nnunet,
      state: undefined,
      stateSequence: 0,
      lines: new RunLines(),
      tail: nnunet ?? new Tail(() => openInside([this.#root], folder.metricsFile)),
      record: undefined,
      recordStamp: '',
      fault: null,
      labels: [],
    }
  }

  async #refresh(): Promise<void> {
    for (const entry of this.#entries.values()) {
      if (this.#ending.signal.aborted) return
      await this.#refreshRun(entry)
    }
  }

  async #refreshRun(entry: Entry): Promise<void> {
    const { lines } = entry
    try {
      await this.#readRecord(entry)
      const { isAnew, lines: added } = await entry.tail.read()
      if (isAnew || added.length > 0) {
        const before = this.#sequence
        lines.take(added, isAnew, ++this.#sequence)
        const news = lines.since(entry.id, before)
        if (news && entry.state) this.#tell({ type: 'lines', lines: news, sequence: this.#sequence })
      }
    } catch (error) {
      // The run's folder may be on its way out; the next search knows.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
      entry.fault = error instanceof OutsideError ? `${error.message}, so it is not read.` : (error as Error).message
    }
    if (entry.nnunet && entry.record) entry.record = { ...entry.record, status: await entry.nnunet.status() }
    const { folder, progress = null } = this.#progress ?? {}
    const state = stateOf(entry, folder === entry.folder.folder ? progress : null)
    if (JSON.stringify(state) === JSON.stringify(entry.state)) return
    entry.state = state
    entry.stateSequence = ++this.#sequence
    this.#tell({ type: 'run', run: state, sequence: this.#sequence })
  }

  async #readRecord(entry: Entry): Promise<void> {
    const { modelFolder } = entry.folder
    const { recordFile } = entry.nnunet ?? entry.folder
    const { ino, size, mtimeMs } = await stat(recordFile)
    const stamp = `${ino} ${size} ${mtimeMs}`
    if (stamp === entry.recordStamp) return
    entry.recordStamp = stamp
    entry.fault = null
    entry.record = undefined
    entry.record = entry.nnunet
      ? await entry.nnunet.record()
      : (parseJson(await readInside([this.#root], recordFile), recordFile) as RunRecord)
    const dataset = await readDatasetJson(path.join(modelFolder, 'dataset.json')).catch(() => undefined)
    entry.labels = dataset?.targets.map(({ name }) => name) ?? []
  }

  #tell(change: Change): void {
    for (const listener of this.#listeners) listener(change)
  }
}

function stateOf(entry: Entry, progress: Progress | null): RunState {
  const { id, name, folder, record, labels } = entry
  let fault = entry.fault
  if (record && fault === null) {
    try {
      const overview = overviewOf(folder, record, entry.lines.overviewLines, ownerOf(folder.folder))
      // nnU-Net holds no lock.
      const status = entry.nnunet ? record.status : overview.status
      const isLive = status === 'running'
      return {
        id,
        name,
        dataset: overview.dataset,
        configuration: overview.configuration,
        plans: overview.plans,
        fold: String(overview.fold),
        status,
        reason: overview.error ?? overview.reason,
        epoch: overview.epoch,
        epochs: overview.epochs,
        step: overview.step,
        totalSteps: overview.totalSteps,
        emaDice: overview.ema_fg_dice,
        best: overview.best,
        secondsLeft: (isLive ? progress?.secondsLeft : null) ?? overview.secondsLeft,
        startedAt: overview.startedAt,
        updatedAt: overview.updatedAt,
        device: String(record.device),
        seed: String(record.seed),
        labels,
        validations: weights.filter((one) => existsSync(path.join(folder.validation(one), 'summary.json'))),
        progress: isLive ? progress : null,
      }
    } catch (error) {
      fault = (error as Error).message
    }
  }
  return {
    ...{ id, name, dataset: '', configuration: '', plans: '', fold: '', status: 'unreadable', reason: fault },
    ...{ epoch: 0, epochs: 0, step: 0, totalSteps: 0, emaDice: null, best: null, secondsLeft: null },
    ...{ startedAt: '', updatedAt: '', device: '', seed: '', labels, validations: [], progress: null },
  }
}
