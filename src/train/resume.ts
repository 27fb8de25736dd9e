// Which checkpoint a run goes on from: the one with the most training in it that is whole.
import type { CheckpointName, ResumeOptions } from '../config/schema.js'

/** A checkpoint file as found: how far it is, or why it cannot be used. */
export type Candidate = { name: CheckpointName; epoch: number; step: number } | { name: CheckpointName; fault: string }

export interface Choice {
  /** null: none is usable, the run starts over. */
  name: CheckpointName | null
  /** Finished epochs and optimizer steps of the chosen one. */
  epoch: number
  step: number
  /** The choice in words, with why the others were passed over. */
  text: string
}

/**
 * Highest step first; at the same step the one with more finished epochs, then final before latest before best.
 * @param from restricts the choice to one file
 */
export function chooseCheckpoint(candidates: readonly Candidate[], from: ResumeOptions['from']): Choice {
  const order: CheckpointName[] = ['final', 'latest', 'best']
  const considered = candidates.filter((candidate) => from === 'newest' || candidate.name === from)
  const whole = considered
    .filter((candidate) => 'step' in candidate)
    .sort((a, b) => b.step - a.step || b.epoch - a.epoch || order.indexOf(a.name) - order.indexOf(b.name))
  const [chosen, ...older] = whole
  const reasons = [
    ...older.map((candidate) => `checkpoint_${candidate.name} is at step ${candidate.step}`),
    ...considered
      .filter((candidate) => 'fault' in candidate)
      .map(({ name, fault }) => `checkpoint_${name} is damaged (${fault})`),
  ]
  const others = reasons.length > 0 ? `; ${reasons.join('; ')}` : ''
  if (!chosen) {
    const missing = from === 'newest' ? 'No whole checkpoint' : `No whole checkpoint_${from}`
    return { name: null, epoch: 0, step: 0, text: `${missing}${others || '; the run starts from step 0'}` }
  }
  const { name, epoch, step } = chosen
  return { name, epoch, step, text: `Resuming from checkpoint_${name} at step ${step}${others}` }
}
