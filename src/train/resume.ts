// Which checkpoint a run goes on from: the one with the most training in it that is whole.
import type { CheckpointName, ResumeOptions } from '../config/schema.js'
import { initialState, type PolicyState } from './policy.js'

/** A checkpoint file as found: the state it holds, or why it cannot be used. */
export type Candidate = { name: CheckpointName; state: PolicyState } | { name: CheckpointName; fault: string }

export interface Choice {
  /** null: none is usable, the run starts over. */
  name: CheckpointName | null
  /** Of the chosen one, or that of a run before its first step. */
  state: PolicyState
  /** The choice in words, with why the others were passed over. */
  text: string
}

/**
 * Highest step first; at the same step the one with more finished epochs, then one that was not stopped early (the run was
 * made longer since), then final before latest before best.
 * @param from restricts the choice to one file
 */
export function chooseCheckpoint(candidates: readonly Candidate[], from: ResumeOptions['from']): Choice {
  const order: CheckpointName[] = ['final', 'latest', 'best']
  const considered = candidates.filter((candidate) => from === 'newest' || candidate.name === from)
  const whole = considered
    .filter((candidate) => 'state' in candidate)
    .sort(
      (a, b) =>
        b.state.step - a.state.step ||
        b.state.epoch - a.state.epoch ||
        Number(a.state.stoppedEarly) - Number(b.state.stoppedEarly) ||
        order.indexOf(a.name) - order.indexOf(b.name),
    )
  const [chosen, ...older] = whole
  const reasons = [
    ...older.map(({ name, state }) => `checkpoint_${name} is at step ${state.step}`),
    ...considered
      .filter((candidate) => 'fault' in candidate)
      .map(({ name, fault }) => `checkpoint_${name} is passed over (${fault})`),
  ]
  const others = reasons.length > 0 ? `; ${reasons.join('; ')}` : ''
  if (!chosen) {
    const missing = from === 'newest' ? 'No whole checkpoint' : `No whole checkpoint_${from}`
    return { name: null, state: initialState, text: `${missing}${others || '; the run starts from step 0'}` }
  }
  const { name, state } = chosen
  return { name, state, text: `Resuming from checkpoint_${name} at step ${state.step}${others}` }
}
