// The flag --devices, and ranks that torchrun or Slurm have started.
import path from 'node:path'
import { Writable } from 'node:stream'
import type { Command } from 'commander'
import { VoxgradError } from '../errors.js'
import { localRanksOf } from '../ranks/devices.js'
import { placeOfEnvironment } from '../ranks/environment.js'
import { LinesView } from '../report/lines.js'
import { RunFolder } from '../train/run-folder.js'
import type { Ranks } from '../train/supervisor.js'
import type { Context } from './context.js'

export interface RanksFlags {
  devices?: string
}

export function addDevicesFlag(command: Command): void {
  command.option(
    '--devices <number|list>',
    'Share the work among several devices with a process each: 4, or 0,2. On the CPU a number of processes.',
  )
}

/**
 * Who shares the training; null: nobody.
 * @throws VoxgradError ERR_CONFIG
 */
export function ranksOf({ devices }: RanksFlags, device: string): Ranks | null {
  const place = placeOfEnvironment(process.env)
  if (place === null) return devices === undefined ? null : localRanksOf(devices, device)
  if (devices === undefined) return place
  throw new VoxgradError(
    'ERR_CONFIG',
    `--devices: expected to be left out, because the environment (RANK or SLURM_PROCID) makes this process rank ${place.group.rank} of ${place.group.ranks} already; found ${devices}`,
  )
}

/** The same for a run that is there already, by default on the device of its training. */
export async function ranksOfRun(flags: RanksFlags & { device?: string }, run: string): Promise<Ranks | null> {
  const folder = new RunFolder(path.resolve(run))
  return ranksOf(flags, flags.device ?? (folder.isForeign() ? 'cpu' : (await folder.readRecord()).device))
}

/** Rank 0 alone reports. */
export function contextOfRank(ranks: Ranks | null, context: Context): Context {
  if (ranks === null || 'devices' in ranks || ranks.group.rank === 0) return context
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  return { ...context, view: new LinesView(nowhere, false), json: undefined }
}
