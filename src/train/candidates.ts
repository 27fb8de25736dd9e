// Reads the checkpoints of a run folder as far as they are whole, so that resume.ts can choose among them.
import { existsSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { native } from '../native/load.js'
import { readCheckpointEntries } from './checkpoint.js'
import type { Candidate } from './resume.js'
import { checkpointNames, type RunFolder } from './run-folder.js'

/**
 * Verifies every checkpoint that is there (each byte is covered by a checksum) and that it is this run's own.
 * @param runId as in run.json
 * @param stepsPerEpoch for a checkpoint of nnU-Net, which counts epochs only
 */
export function readCandidates(folder: RunFolder, runId: string, stepsPerEpoch: number): Promise<Candidate[]> {
  const present = checkpointNames.filter((name) => existsSync(folder.checkpoint(name)))
  return Promise.all(
    present.map(async (name): Promise<Candidate> => {
      const file = folder.checkpoint(name)
      try {
        const entries = (await native().readTorchFile(file)) as Record<string, unknown>
        const savedAs = await nameInside(file)
        if (savedAs !== `checkpoint_${name}`) return { name, fault: `it was saved as ${savedAs}.pth` }
        const found = readCheckpointEntries(entries, file, stepsPerEpoch)
        if (found.runId !== null && found.runId !== runId) return { name, fault: 'it belongs to another run' }
        return { name, state: found.state }
      } catch (error) {
        return { name, fault: (error as Error).message }
      }
    }),
  )
}

/** The name under which torch.save's container was written: the folder of its first record. */
async function nameInside(file: string): Promise<string> {
  const handle = await open(file)
  try {
    const header = Buffer.alloc(300)
    await handle.read(header, 0, header.length, 0)
    const localHeaderBytes = 30
    const record = header.toString('utf8', localHeaderBytes, localHeaderBytes + header.readUInt16LE(26))
    return record.slice(0, Math.max(0, record.indexOf('/')))
  } finally {
    await handle.close()
  }
}
