// One rank as a process of its own: trains and validates some steps with the engine, and tells its parent what came out.
import type {
  ExchangeReport,
  NativeTrainer,
  TrainerConfig,
  TrainingChunk,
  ValidationChunk,
} from '../../src/native/binding.js'
import { native } from '../../src/native/load.js'

export interface RankJob {
  config: TrainerConfig
  cases: Parameters<NativeTrainer['loadCases']>[0]
  steps: number
  validationSteps: number
  /** Where the weights go; only rank 0 writes. */
  checkpoint: string
  /** Calls stop() when this many steps are done. */
  stopAfter?: number
  /** Is killed when this many steps are done. */
  dieAfter?: number
}

export interface RankResult {
  training: TrainingChunk
  validation: ValidationChunk
  /** All of them in a row. */
  weights: Float32Array
  /** How many numbers have a gradient. */
  parameters: number
  /** What the training steps alone exchanged; null for one rank. */
  exchange: ExchangeReport | null
}

process.on('message', async (job: RankJob) => {
  const report = await work(job).then(
    (result) => ({ result }),
    ({ code, message }: Error & { code?: string }) => ({ code, error: message }),
  )
  process.send?.(report, () => process.exit())
})

async function work({
  config,
  cases,
  steps,
  validationSteps,
  checkpoint,
  stopAfter,
  dieAfter,
}: RankJob): Promise<RankResult> {
  const trainer = await native().createTrainer(config)
  await trainer.loadCases(cases)
  const atStart = await trainer.exchangeReport()
  const learningRates = new Float64Array(steps).fill(0.01)
  const timer = setInterval(() => {
    const { done } = trainer.snapshot()
    if (done >= (stopAfter ?? Number.POSITIVE_INFINITY)) trainer.stop()
    if (done >= (dieAfter ?? Number.POSITIVE_INFINITY)) process.kill(process.pid, 'SIGKILL')
  }, 2)
  const training = await trainer.runTraining({ learningRates, mostSkipped: 10 })
  clearInterval(timer)
  const atEnd = await trainer.exchangeReport()
  const exchange = atStart &&
    atEnd && { ...atEnd, collectives: atEnd.collectives - atStart.collectives, bytes: atEnd.bytes - atStart.bytes }
  const validation = await trainer.runValidation({ steps: validationSteps })
  const captured = await trainer.captureCheckpoint({ entries: {}, learningRate: 0.01 })
  const file = `${checkpoint}.${config.group.rank}`
  await native().writeCheckpoint(file, captured)
  await trainer.dispose()
  return { training, validation, exchange, ...(await weightsOf(file)) }
}

async function weightsOf(file: string): Promise<Pick<RankResult, 'weights' | 'parameters'>> {
  const { network_weights: weights } = (await native().readTorchFile(file)) as {
    network_weights: Record<string, { data: Float32Array }>
  }
  // nnU-Net's state dict names a parameter up to four times; an instance norm cancels the bias in front of it.
  const others = /\.all_modules\.|^decoder\.encoder\.|\.conv\.bias$/
  const own = Object.entries(weights).filter(([name]) => !others.test(name))
  return {
    weights: Float32Array.from(Object.values(weights).flatMap(({ data }) => [...data])),
    parameters: own.reduce((sum, [, { data }]) => sum + data.length, 0),
  }
}
