// A run begun by the real nnU-Net goes on in voxgrad, and the other way round. VOXGRAD_PEER_PYTHON names a Python that has
// nnunetv2.
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TrainInput } from '../../src/config/schema.js'
import type { Configuration, Plans } from '../../src/plan/plans.js'
import type { EpochCurve } from '../../src/train/events.js'
import { resume, train } from '../../src/train/jobs.js'
import type { RunRecord } from '../../src/train/run-folder.js'
import { makeSmallDataset, type SmallDataset, smallRun } from '../train/small-dataset.js'

const python = process.env.VOXGRAD_PEER_PYTHON ?? ''
const there = existsSync(python)
if (!there) console.log('resume parity skipped: VOXGRAD_PEER_PYTHON names no Python with nnunetv2')

const hasAdan = there && spawnSync(python, ['-c', 'import adan_pytorch']).status === 0
if (there && !hasAdan) console.log('resume parity of Adan skipped: that Python has no adan_pytorch')

interface Handover {
  plans: string
  trainer: string
  optimizer?: TrainInput['optimizer']
  network?: TrainInput['network']
}
const budget = { epochs: 4, stepsPerEpoch: 3, valSteps: 1 }

/**
 * Runs that change hands: PlainConvUNet with SGD, ResidualEncoderUNet with dropout's layers and nnUNetTrainerAdam's AdamW,
 * batch norm, and Adan.
 */
const cases: Handover[] = [
  { plans: 'nnUNetPlansTiny', trainer: 'nnUNetTrainer', optimizer: { kind: 'sgd' } },
  { plans: 'nnUNetPlansResidual', trainer: 'nnUNetTrainerAdam', optimizer: { kind: 'adamw', amsgrad: true } },
  { plans: 'nnUNetPlansTiny', trainer: 'nnUNetTrainerBN', network: { normalization: 'batch' } },
  ...(hasAdan
    ? [{ plans: 'nnUNetPlansTiny', trainer: 'nnUNetTrainerAdan', optimizer: { kind: 'adan' } } as const]
    : []),
]

/** Trains with nnU-Net's own trainer to the end of an epoch; with "continue" from its checkpoint_latest. Prints its logging. */
const script = `
import json, sys, torch
from nnunetv2.run.run_training import get_trainer_from_args, maybe_load_checkpoint
torch.set_num_threads(1)
trainer = get_trainer_from_args('9', '3d_fullres', 0, sys.argv[2], sys.argv[3], device=torch.device('cpu'))
trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = 4, 3, 1
trainer.save_every = 1
last = int(sys.argv[1])
end_epoch = trainer.on_epoch_end
class Enough(Exception): pass
def stop_after_last():
    end_epoch()
    if trainer.current_epoch == last: raise Enough
trainer.on_epoch_end = stop_after_last
maybe_load_checkpoint(trainer, 'continue' in sys.argv, False)
try: trainer.run_training()
except Enough: pass
logging = trainer.logger.local_logger.my_fantastic_logging if hasattr(trainer.logger, 'local_logger') else trainer.logger.my_fantastic_logging
print('LOGGING ' + json.dumps({k: [float(x) for x in v] for k, v in logging.items() if k != 'dice_per_class_or_region'}))
`

/** nnUNetPlansTiny with a residual encoder, and with dropout that drops nothing: its layers count in the weights' names. */
function writeResidualPlans({ folders }: SmallDataset): void {
  const file = (name: string) => path.join(folders.preprocessed, 'Dataset009_Boxes', `${name}.json`)
  const plans = JSON.parse(readFileSync(file('nnUNetPlansTiny'), 'utf8')) as Plans
  const { architecture } = plans.configurations['3d_fullres'] as Configuration
  const { n_conv_per_stage: _, ...kept } = architecture.arch_kwargs
  architecture.network_class_name = architecture.network_class_name.replace('PlainConvUNet', 'ResidualEncoderUNet')
  architecture.arch_kwargs = {
    ...kept,
    n_blocks_per_stage: kept.features_per_stage.map((_features, stage) => (stage === 1 ? 2 : 1)),
    dropout_op: 'torch.nn.modules.dropout.Dropout3d',
    dropout_op_kwargs: { p: 0 },
  }
  writeFileSync(file('nnUNetPlansResidual'), JSON.stringify({ ...plans, plans_name: 'nnUNetPlansResidual' }))
}

const title = 'a run of $plans with $trainer that changes hands'
describe.skipIf(!there).each(cases)(title, { timeout: 600_000 }, ({ plans, trainer, optimizer, network }) => {
  let dataset: SmallDataset
  const models = (name: string) => `Dataset009_Boxes/${name}__${plans}__3d_fullres`
  const ourRun = (changes: Partial<TrainInput> = {}) =>
    smallRun(dataset, { plans, optimizer, network, budget, validateAtEnd: false, ...changes })

  beforeAll(async () => {
    dataset = await makeSmallDataset()
    // Plans and preprocesses.
    await train(
      smallRun(dataset, { budget: { steps: 1 }, run: path.join(dataset.root, 'first'), validateAtEnd: false }),
    ).finished
    writeResidualPlans(dataset)
    await train(ourRun()).finished
  }, 600_000)
  afterAll(() => rmSync(dataset.root, { recursive: true, force: true }))

  function nnunet(epochs: string, ...more: string[]): Record<string, number[]> {
    const { raw, preprocessed, results } = dataset.folders
    const roots = { nnUNet_raw: raw, nnUNet_preprocessed: preprocessed, nnUNet_results: results }
    const { status, stdout, stderr } = spawnSync(python, ['-c', script, epochs, trainer, plans, ...more], {
      env: { ...process.env, ...roots, OMP_NUM_THREADS: '1', nnUNet_n_proc_DA: '1' },
      encoding: 'utf8',
    })
    expect(status, stderr).toBe(0)
    return JSON.parse(/^LOGGING (.*)$/m.exec(stdout.replaceAll('NaN', 'null'))?.[1] ?? '{}') as Record<string, number[]>
  }
  const folderOf = (name: string) => path.join(dataset.folders.results, models(name), 'fold_0')
  const epochsOf = (run: string) =>
    readFileSync(path.join(run, 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as EpochCurve)
      .filter(({ type }) => type === 'epoch')

  test("nnU-Net's run goes on in voxgrad", async () => {
    const logging = nnunet('2')
    const run = folderOf(trainer)
    const result = await resume({ run, budget, folders: dataset.folders }).finished
    expect(result).toMatchObject({ status: 'finished', epochs: 4, step: 12 })
    const epochs = epochsOf(run)
    expect(epochs.map(({ epoch, step }) => [epoch, step])).toEqual([
      [0, 3],
      [1, 6],
      [2, 9],
      [3, 12],
    ])
    const record = JSON.parse(readFileSync(path.join(run, 'run.json'), 'utf8')) as RunRecord
    expect(record.options.optimizer).toMatchObject({ kind: 'sgd', ...optimizer, initialLr: 0.01, weightDecay: 3e-5 })
    expect(record.options.network).toEqual(network ?? { normalization: 'plans' })
    expect(epochs.slice(0, 2).map((line) => line.val_loss)).toEqual(logging.val_losses?.slice(0, 2))
    const [, second, third] = epochs as [EpochCurve, EpochCurve, EpochCurve]
    expect(third.lr).toBeCloseTo(0.01 * (1 - 6 / 12) ** 0.9, 12)
    expect(third.ema_fg_dice).toBeCloseTo(0.9 * (second.ema_fg_dice ?? 0) + 0.1 * (third.mean_fg_dice ?? 0), 6)
  })

  test("voxgrad's run goes on in nnU-Net", async () => {
    const run = path.join(dataset.root, 'ours', 'fold_0')
    const started = train(ourRun({ run }))
    for await (const event of started) if (event.type === 'epoch' && event.epoch === 1) started.stop()
    expect(existsSync(path.join(run, 'checkpoint_latest.pth'))).toBe(true)
    const theirs = path.dirname(folderOf(trainer))
    rmSync(theirs, { recursive: true })
    cpSync(path.dirname(run), theirs, { recursive: true })
    const logging = nnunet('3', 'continue')
    expect(logging.train_losses).toHaveLength(3)
    const ours = epochsOf(run)
    expect(logging.train_losses?.slice(0, 2)).toEqual(ours.map((line) => line.train_loss))
    expect(logging.lrs?.[2]).toBeCloseTo(0.01 * (1 - 2 / 4) ** 0.9, 12)
  })
})
