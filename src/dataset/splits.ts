// Five-fold cross-validation splits: splits_final.json as nnU-Net makes and reads it.
// Source: nnU-Net nnUNetTrainer.do_split, crossval_split.py; scikit-learn KFold(5, shuffle=True, random_state=12345).
import { existsSync } from 'node:fs'
import path from 'node:path'
import { z } from 'zod'
import { VoxgradError } from '../errors.js'
import { readJson, writeJson } from '../files.js'
import { caseName } from './dataset-json.js'
import { RandomState } from './numpy-random.js'
import { compareCodePoints } from './raw.js'

export interface Split {
  train: string[]
  val: string[]
}

const foldCount = 5
const splitSeed = 12345

/**
 * Five splits of the cases, each case once in validation; lists in code point order.
 * @throws VoxgradError ERR_DATASET for fewer than five cases
 */
export function makeSplits(caseIds: string[]): Split[] {
  if (caseIds.length < foldCount) {
    throw new VoxgradError('ERR_DATASET', {
      required: `at least ${foldCount} cases for cross-validation`,
      found: `${caseIds.length}`,
      remedy: 'Add cases, or train on fold "all".',
    })
  }
  const ids = [...caseIds].sort(compareCodePoints)
  const shuffled = new RandomState(splitSeed).permutation(ids.length)
  const smaller = Math.floor(ids.length / foldCount)
  const larger = ids.length % foldCount
  return Array.from({ length: foldCount }, (_, fold) => {
    const start = fold * smaller + Math.min(fold, larger)
    const validation = new Set(shuffled.slice(start, start + smaller + (fold < larger ? 1 : 0)))
    return divide(ids, validation)
  })
}

function divide(ids: string[], validation: Set<number>): Split {
  return { train: ids.filter((_, i) => !validation.has(i)), val: ids.filter((_, i) => validation.has(i)) }
}

const schema = z.array(z.object({ train: z.array(caseName), val: z.array(caseName) })).min(1)

/**
 * The splits of a preprocessed dataset: splits_final.json if there is one (any number of folds), else made and written.
 * @param folder nnUNet_preprocessed/DATASET
 * @throws VoxgradError ERR_DATASET for a faulty file or one that names cases that are not there
 */
export async function readOrWriteSplits(folder: string, caseIds: string[]): Promise<Split[]> {
  const file = path.join(folder, 'splits_final.json')
  if (!existsSync(file)) {
    const splits = makeSplits(caseIds)
    await writeJson(file, splits)
    return splits
  }
  const splits = await readSplits(file)
  const known = new Set(caseIds)
  const unknown = [...new Set(splits.flatMap((split) => [...split.train, ...split.val]))].filter((id) => !known.has(id))
  if (unknown.length > 0) {
    throw new VoxgradError('ERR_PREPROCESSED', {
      found: `${file} names cases that the preprocessed data lack: ${unknown.join(', ')}`,
      remedy: 'Preprocess them, or remove the file to have new splits made.',
    })
  }
  return splits
}

/** Reads a splits file. Throws ERR_DATASET if it is no list of { "train": [cases], "val": [cases] }. */
export async function readSplits(file: string): Promise<Split[]> {
  return parseSplits(await readJson(file, 'splits file'), file)
}

/** Checks parsed splits. Throws as readSplits does. */
export function parseSplits(content: unknown, file: string): Split[] {
  const parsed = schema.safeParse(content)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new VoxgradError('ERR_DATASET', {
    where: file,
    required: 'a list of { "train": [case, ...], "val": [case, ...] }',
    found: `at "${issue?.path.join('.')}": ${issue?.message}`,
  })
}

/**
 * Training and validation cases of a fold. 'all': every case in both. A fold beyond the list: 80 % drawn at random for
 * training, seeded by the fold, as nnU-Net does.
 */
export function casesOfFold(splits: Split[], caseIds: string[], fold: number | 'all'): Split {
  const ids = [...caseIds].sort(compareCodePoints)
  if (fold === 'all') return { train: ids, val: [...ids] }
  const split = splits[fold]
  if (split !== undefined) {
    return { train: [...split.train].sort(compareCodePoints), val: [...split.val].sort(compareCodePoints) }
  }
  const drawn = new RandomState(splitSeed + fold).permutation(ids.length)
  return divide(ids, new Set(drawn.slice(Math.trunc(ids.length * 0.8))))
}
