// A run that nnU-Net trained itself, as the dashboard reads runs: a record made from debug.json and the names of its folders, and
// lines like those of metrics.jsonl made from its logs.
import { existsSync } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { parseOptions, trainOptionsSchema } from '../config/schema.js'
import { parseJson } from '../json.js'
import type { RunFolder, RunRecord } from '../train/run-folder.js'
import { openInside, readInside } from './inside.js'
import { type NewLines, Tail } from './tail.js'

const logName = /^training_log_[\d_]+\.txt$/

/** Without a final checkpoint, a log that nobody has written to for so long belongs to a training that has ended. */
const longestSilenceMs = 15 * 60_000

/** Whether nnU-Net trained in a folder: it writes debug.json at the start. */
export const isNnunetRun = (folder: string): boolean =>
  existsSync(path.join(folder, 'debug.json')) && namesOf(folder) !== null

/** `.../Dataset004_Hippocampus/TRAINER__PLANS__CONFIGURATION/fold_0` */
function namesOf(folder: string) {
  const [dataset = '', model = '', fold = ''] = folder.split(path.sep).slice(-3)
  const [trainer, plans, configuration] = model.split('__')
  const held = /^fold_([0-4]|all)$/.exec(fold)?.[1]
  if (!/^Dataset\d{3}_/.test(dataset) || !trainer || !plans || !configuration || held === undefined) return null
  return { dataset, trainer, plans, configuration, fold: held === 'all' ? ('all' as const) : Number(held) }
}

export class NnunetRun {
  readonly #folder: RunFolder
  readonly #root: () => string
  /** nnU-Net begins a log at each start. */
  readonly #logs = new Map<string, { tail: Tail; parser: LogParser }>()
  #stepsPerEpoch = 250
  #epochs = 1000

  /** @param root nothing is read outside of it */
  constructor(folder: RunFolder, root: () => string) {
    this.#folder = folder
    this.#root = root
  }

  get recordFile(): string {
    return path.join(this.#folder.folder, 'debug.json')
  }

  /** What run.json would say. Throws VoxgradError for a damaged debug.json, OutsideError and the system's errors. */
  async record(): Promise<RunRecord> {
    const debug = parseJson(await readInside([this.#root()], this.recordFile), this.recordFile) as Record<
      string,
      unknown
    >
    const { dataset, ...names } = namesOf(this.#folder.folder) as NonNullable<ReturnType<typeof namesOf>>
    const { plans, configuration, fold } = names
    this.#stepsPerEpoch = Number(debug.num_iterations_per_epoch) || 250
    this.#epochs = Number(debug.num_epochs) || 1000
    const budget = { epochs: this.#epochs, stepsPerEpoch: this.#stepsPerEpoch }
    const options = parseOptions(trainOptionsSchema, { dataset, plans, configuration, fold, budget }, this.recordFile)
    const begun = await stat(this.recordFile)
    return {
      dataset,
      options: { ...options, folders: {} },
      status: 'running',
      reason: null,
      error: null,
      device: String(debug.device ?? ''),
      seed: '',
      epoch: 0,
      step: 0,
      startedAt: begun.birthtime.toISOString(),
      updatedAt: begun.mtime.toISOString(),
    } as RunRecord
  }

  /**
   * After a read(). nnU-Net says nowhere whether it still trains: its final checkpoint tells where all epochs are done (before, it
   * is that of an earlier training), or how long its log is silent.
   */
  async status(): Promise<'running' | 'finished' | 'stopped'> {
    const done = [...this.#logs.values()].at(-1)?.parser.averages.length ?? 0
    if (done >= this.#epochs && existsSync(this.#folder.checkpoint('final'))) return 'finished'
    const last = (await this.#logNames()).at(-1)
    const written = last === undefined ? 0 : (await stat(path.join(this.#folder.folder, last))).mtimeMs
    return Date.now() - written < longestSilenceMs ? 'running' : 'stopped'
  }

  /** New lines of all logs, the oldest first, in the form of metrics.jsonl. */
  async read(): Promise<NewLines> {
    let lines: string[] = []
    let isAnew = false
    for (const name of await this.#logNames()) {
      const known = this.#logs.get(name) ?? this.#begin(name)
      const news = await known.tail.read()
      if (news.isAnew) {
        // What was read before no longer holds: all logs from the beginning.
        this.#logs.clear()
        return { isAnew: true, lines: (await this.read()).lines }
      }
      const added = news.lines.flatMap((line) => known.parser.take(line))
      // A training from the start, in the folder of an earlier one.
      if (added.some((line) => line.startsWith('{"type":"epoch","epoch":0,'))) {
        isAnew = true
        lines = []
      }
      lines.push(...added)
    }
    return { isAnew, lines }
  }

  #begin(name: string) {
    const before = [...this.#logs.values()].at(-1)?.parser
    const tail = new Tail(() => openInside([this.#root()], path.join(this.#folder.folder, name)))
    const begun = { tail, parser: new LogParser(this.#stepsPerEpoch, before) }
    this.#logs.set(name, begun)
    return begun
  }

  /** Their names are times, so that they sort. */
  async #logNames(): Promise<string[]> {
    return (await readdir(this.#folder.folder)).filter((name) => logName.test(name)).sort()
  }
}

const number = (text: string | undefined): number | null => {
  const value = Number(text)
  return text !== undefined && Number.isFinite(value) ? value : null
}

/** Turns nnU-Net's log, line by line, into lines of metrics.jsonl. */
export class LogParser {
  /** Moving average of the Dice after each epoch, which the log gives only where it is the best so far. */
  readonly averages: (number | null)[]
  readonly #stepsPerEpoch: number
  #epoch = -1
  #lr: number | null = null
  #trainLoss: number | null = null
  #valLoss: number | null = null
  #dice: (number | null)[] = []

  /** @param before of the log before this one, whose run goes on here */
  constructor(stepsPerEpoch: number, before?: LogParser) {
    this.#stepsPerEpoch = stepsPerEpoch
    this.averages = [...(before?.averages ?? [])]
  }

  take(line: string): string[] {
    const text = line.replace(/^[\d-]+ [\d:.]+: /, '').trim()
    const after = (beginning: string): string | undefined =>
      text.startsWith(beginning) ? text.slice(beginning.length).trim() : undefined
    const [rate, training, validation] = ['Current learning rate:', 'train_loss', 'val_loss'].map(after)
    const [seconds, best, dice] = ['Epoch time:', 'Yayy! New best EMA pseudo Dice:', 'Pseudo dice ['].map(after)
    const epoch = /^Epoch (\d+)$/.exec(text)?.[1]
    if (epoch !== undefined) this.#epoch = Number(epoch)
    if (rate !== undefined) this.#lr = number(rate)
    if (training !== undefined) this.#trainLoss = number(training)
    if (validation !== undefined) this.#valLoss = number(validation)
    if (dice !== undefined) this.#dice = diceOf(dice)
    if (this.#epoch >= 0 && seconds !== undefined) return [this.#epochLine(number(seconds.replace(/ s$/, '')))]
    if (this.#epoch >= 0 && best !== undefined) return [this.#bestLine(number(best))]
    return after('Mean Validation Dice:') === undefined ? [] : [JSON.stringify({ type: 'stop', text })]
  }

  #epochLine(seconds: number | null): string {
    const known = this.#dice.filter((dice) => dice !== null)
    const mean = known.length === 0 ? null : known.reduce((sum, dice) => sum + dice, 0) / known.length
    const before = this.averages[this.#epoch - 1] ?? null
    const average = before === null || mean === null ? (mean ?? before) : 0.9 * before + 0.1 * mean
    this.averages.length = this.#epoch
    this.averages.push(average)
    return JSON.stringify({
      ...{ type: 'epoch', epoch: this.#epoch, step: (this.#epoch + 1) * this.#stepsPerEpoch, seconds, lr: this.#lr },
      ...{ train_loss: this.#trainLoss, val_loss: this.#valLoss, dice_per_class: this.#dice },
      ...{ mean_fg_dice: mean, ema_fg_dice: average },
    })
  }

  #bestLine(value: number | null): string {
    const place = { epoch: this.#epoch, step: (this.#epoch + 1) * this.#stepsPerEpoch }
    return JSON.stringify({ type: 'new_best', ...place, metric: 'ema_fg_dice', value })
  }
}

/** `np.float32(0.9), nan]`, or without the types, as older versions of NumPy print it. */
const diceOf = (text: string): (number | null)[] =>
  text.split(',').map((entry) => number(entry.replace(/^\s*(np\.float\d+\()?|[\s)\]]*$/g, '')))
