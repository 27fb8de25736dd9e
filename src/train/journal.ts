// What a run writes about itself: run.json, metrics.jsonl, training_log.txt and the chart. Training goes on where the disk
// is full; what could not be written is written later.
import { VoxgradError } from '../errors.js'
import { writeCurves } from '../report/curves.js'
import type { EpochCurve } from './events.js'
import type { JobContext } from './job.js'
import type { MetricsLine, RunFolder, RunRecord } from './run-folder.js'

const drawEveryMs = 10_000

export class Journal {
  #record: RunRecord
  #drawing: Promise<void> = Promise.resolve()
  #drawnAt = performance.now()
  #isChartOld = false
  #hasFault = false

  constructor(
    private readonly folder: RunFolder,
    record: RunRecord,
    private readonly emit: JobContext['emit'],
  ) {
    this.#record = record
  }

  /** Starts from a checkpoint whose run had these epochs. */
  open(from: { epoch: number; step: number }, curve: readonly EpochCurve[]): Promise<void> {
    return this.folder.cutMetrics(from, curve)
  }

  async metric(line: MetricsLine): Promise<void> {
    await this.#tolerate(() => this.folder.appendMetrics(line))
    this.emit(line as Parameters<JobContext['emit']>[0])
  }

  async warn(text: string): Promise<void> {
    await this.metric({ type: 'warning', text })
    await this.log(`WARNING: ${text}`)
  }

  log(...texts: string[]): Promise<void> {
    return this.#tolerate(() => this.folder.log(...texts))
  }

  /** The chart is drawn while the next epoch trains, every ten seconds at most: short epochs must not wait for it. */
  draw(): void {
    this.#isChartOld = true
    if (performance.now() - this.#drawnAt > drawEveryMs) this.#startDrawing()
  }

  #startDrawing(): void {
    this.#drawnAt = performance.now()
    this.#isChartOld = false
    this.#drawing = this.#drawing.then(() => this.#tolerate(() => writeCurves(this.folder.folder)))
  }

  /** Changes run.json; a full disk may leave it as it was. */
  update(changes: Partial<RunRecord>): Promise<void> {
    return this.#tolerate(() => this.#write(changes))
  }

  /**
   * Writes everything that is still to be written, and the last changes to run.json.
   * @throws VoxgradError ERR_DISK
   */
  async close(changes: Partial<RunRecord>): Promise<void> {
    await this.folder.flushMetrics()
    if (this.#isChartOld) this.#startDrawing()
    await this.#drawing
    await this.#write(changes)
  }

  #write(changes: Partial<RunRecord>): Promise<void> {
    this.#record = { ...this.#record, ...changes, processId: process.pid }
    return this.folder.writeRecord(this.#record)
  }

  /** A fault, such as a full disk, is reported once, and again after it went well in between. */
  async #tolerate(deed: () => Promise<void>): Promise<void> {
    try {
      await deed()
      this.#hasFault = false
    } catch (error) {
      if (!(error instanceof VoxgradError)) throw error
      if (!this.#hasFault) this.emit({ type: 'warning', text: `${error.message}. Training goes on.` })
      this.#hasFault = true
    }
  }
}
