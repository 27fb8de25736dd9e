// Opens a run folder, voxgrad's own or nnU-Net's, with the options that it was started with.
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { z } from 'zod'
import { networkOfTrainer } from '../config/nnunet-trainer.js'
import {
  parseOptions,
  type ResumeOptions,
  type TrainInput,
  type TrainOptions,
  trainOptionsSchema,
} from '../config/schema.js'
import { VoxgradError } from '../errors.js'
import { native } from '../native/load.js'
import type { Policies } from './policies.js'
import { checkpointNames, type RunFolder, type RunRecord } from './run-folder.js'
import { type RunSetup, readSetup } from './setup.js'

export interface RunOptions {
  /** Of a run of nnU-Net there is no record yet. */
  record: RunRecord | null
  options: TrainOptions
}

/**
 * The options of a run, from run.json or from nnU-Net's checkpoint. Stored folders count as long as they are there.
 * @param given folders and the like that win over the stored ones
 * @throws VoxgradError ERR_RUN if there is no run, ERR_CONFIG, ERR_CHECKPOINT
 */
export async function readRunOptions(
  folder: RunFolder,
  given: { folders: ResumeOptions['folders']; device?: string | undefined; threads?: number | undefined },
): Promise<RunOptions> {
  const record = folder.isForeign() ? null : await folder.readRecord()
  const stored = record
    ? parseOptions(trainOptionsSchema, record.options, folder.recordFile)
    : await optionsOfNnunet(folder)
  const known = Object.entries(stored.folders).filter(([, root]) => root !== undefined && existsSync(root))
  const { folders, ...others } = given
  const overrides = Object.fromEntries(Object.entries(others).filter(([, value]) => value !== undefined))
  return {
    record,
    options: { ...stored, ...overrides, folders: { ...Object.fromEntries(known), ...folders } },
  }
}

/** The setup of a run with its own plans. */
export function readRunSetup(folder: RunFolder, options: TrainOptions, policies?: Policies): Promise<RunSetup> {
  return readSetup(options, { policies, plansFile: path.join(folder.modelFolder, 'plans.json') })
}

const initArgsSchema = z.object({
  plans: z.object({ dataset_name: z.string(), plans_name: z.string() }),
  configuration: z.string(),
  fold: z.union([z.number(), z.literal('all')]),
})

const groupFields = {
  initial_lr: z.number().positive().optional(),
  weight_decay: z.number(),
}
const paramGroupSchema = z.union([
  z.object({ ...groupFields, momentum: z.number(), nesterov: z.boolean() }),
  z.object({
    ...groupFields,
    betas: z.tuple([z.number(), z.number(), z.number()]),
    eps: z.number(),
  }),
  z.object({
    ...groupFields,
    betas: z.tuple([z.number(), z.number()]),
    eps: z.number(),
    amsgrad: z.boolean(),
    decoupled_weight_decay: z.boolean().optional(),
  }),
])
type ParamGroup = z.infer<typeof paramGroupSchema>
const optimizerStateSchema = z.object({ param_groups: z.array(paramGroupSchema).min(1) })

/** The optimizer that a checkpoint's param group tells of. */
function optimizerOfGroup(group: ParamGroup): TrainInput['optimizer'] {
  const { initial_lr: initialLr, weight_decay: weightDecay } = group
  const common = { weightDecay, ...(initialLr !== undefined && { initialLr }) }
  if ('momentum' in group) return { kind: 'sgd', momentum: group.momentum, nesterov: group.nesterov, ...common }
  if (!('amsgrad' in group)) return { kind: 'adan', adanBetas: group.betas, eps: group.eps, ...common }
  const { betas, eps, amsgrad } = group
  // Older versions of PyTorch do not say which; of nnU-Net's trainers the one with AMSGrad has AdamW.
  const kind = (group.decoupled_weight_decay ?? amsgrad) ? 'adamw' : 'adam'
  return { kind, betas, eps, amsgrad, ...common }
}

/** What nnU-Net's checkpoint says about its run (init_args); the number of steps and epochs is not in it. */
async function optionsOfNnunet(folder: RunFolder): Promise<TrainOptions> {
  const faults: string[] = []
  for (const name of checkpointNames) {
    const file = folder.checkpoint(name)
    if (!existsSync(file)) continue
    try {
      const entries = (await native().readTorchFile(file)) as Record<string, unknown>
      const parsed = initArgsSchema.safeParse(entries.init_args)
      if (!parsed.success)
        throw new Error(`its init_args lack ${parsed.error.issues.map(({ path: at }) => at.join('.')).join(', ')}`)
      const { plans, configuration, fold } = parsed.data
      const state = optimizerStateSchema.safeParse(entries.optimizer_state)
      if (!state.success) throw new Error('its optimizer_state is not of SGD, Adam, AdamW or Adan')
      const options: TrainInput = {
        dataset: plans.dataset_name,
        configuration,
        fold,
        plans: plans.plans_name,
        run: folder.folder,
        network: networkOfTrainer(typeof entries.trainer_name === 'string' ? entries.trainer_name : undefined),
        // A run of nnU-Net goes on with its own loss.
        loss: { ignoredMean: 'nnunet' },
        optimizer: optimizerOfGroup(state.data.param_groups[0] as ParamGroup),
      }
      return parseOptions(trainOptionsSchema, options, file)
    } catch (error) {
      faults.push(`${file}: ${(error as Error).message}`)
    }
  }
  throw new VoxgradError('ERR_CHECKPOINT', {
    where: folder.folder,
    required: 'run.json, or a whole checkpoint of nnU-Net',
    found: `neither:\n  ${faults.join('\n  ')}`,
  })
}

/** run.json of a run that begins now. */
export function newRecord(setup: RunSetup, id: string = randomUUID()): RunRecord {
  const now = new Date().toISOString()
  return {
    format: 1,
    id,
    status: 'running',
    reason: null,
    error: null,
    ...recordOf(setup),
    epoch: 0,
    step: 0,
    processId: process.pid,
    startedAt: now,
    updatedAt: now,
  }
}

/** The part of run.json that a setup decides. */
export function recordOf(
  setup: RunSetup,
): Pick<RunRecord, 'dataset' | 'options' | 'policies' | 'resolved' | 'versions' | 'seed' | 'device' | 'threads'> {
  const { seed, device, threads } = setup.trainerConfig
  return {
    dataset: setup.name.name,
    options: setup.options,
    policies: setup.ownPolicies,
    resolved: setup.trainerConfig,
    versions: setup.versions,
    seed,
    device,
    threads,
  }
}
