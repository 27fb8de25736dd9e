// The policy of a sweep: which run begins next, which one never can, and how long the queue still takes. Pure functions.
import type { SweepRun } from './events.js'

type Queued = Pick<SweepRun, 'name' | 'state' | 'needs'>

/**
 * The runs that begin now, one for each free device: in their order, those that others wait for first.
 * @returns as many as there is room for, at most
 */
export function nextStarts<Run extends Queued>(runs: readonly Run[], freeDevices: number): Run[] {
  const finished = new Set(runs.filter(({ state }) => state === 'finished').map(({ name }) => name))
  const needed = new Set(runs.filter(({ state }) => state === 'waiting').flatMap(({ needs }) => needs))
  const ready = runs.filter(({ state, needs }) => state === 'waiting' && needs.every((name) => finished.has(name)))
  return ready.toSorted((a, b) => Number(needed.has(b.name)) - Number(needed.has(a.name))).slice(0, freeDevices)
}

/** Waiting runs that cannot begin any more, each with the run that it needs and that ended without being finished. */
export function hopeless<Run extends Queued>(runs: readonly Run[]): { run: Run; because: Run }[] {
  const ended = new Map(runs.filter(({ state }) => /stopped|failed|blocked/.test(state)).map((run) => [run.name, run]))
  return runs.flatMap((run) => {
    const because = run.needs.map((name) => ended.get(name)).find((other) => other !== undefined)
    return run.state === 'waiting' && because ? [{ run, because }] : []
  })
}

type Timed = Queued &
  Pick<SweepRun, 'dataset' | 'configuration' | 'step' | 'totalSteps' | 'secondsPerStep' | 'secondsLeft'>

/**
 * Seconds until all runs have trained, in the order of nextStarts. A run that does not know its pace yet is as fast as the mean
 * of those of its dataset and configuration, else of all.
 * @returns null while no pace is known
 */
export function queueSecondsLeft(runs: readonly Timed[], devices: number): number | null {
  const simulated = runs.map((run) => ({ ...run, end: run.secondsLeft ?? trainingSeconds(run, runs) }))
  for (let now = 0; ; ) {
    const working = simulated.filter(({ state }) => state === 'running').length
    for (const run of nextStarts(simulated, devices - working)) {
      run.state = 'running'
      run.end = run.end === null ? null : now + run.end
    }
    const running = simulated.filter(({ state }) => state === 'running')
    const ends = running.map(({ end }) => end)
    if (ends.includes(null)) return null
    const first = running.find(({ end }) => end === Math.min(...(ends as number[])))
    if (first === undefined) return now
    now = first.end as number
    first.state = 'finished'
  }
}

function trainingSeconds(run: Timed, runs: readonly Timed[]): number | null {
  const pace = run.secondsPerStep ?? usualPace(run, runs)
  return pace === null ? null : pace * (run.totalSteps - run.step)
}

function usualPace(run: Timed, runs: readonly Timed[]): number | null {
  const known = runs.filter(({ secondsPerStep }) => secondsPerStep !== null)
  const alike = known.filter(
    ({ dataset, configuration }) => dataset === run.dataset && configuration === run.configuration,
  )
  const counted = (alike.length > 0 ? alike : known).map(({ secondsPerStep }) => secondsPerStep as number)
  return counted.length === 0 ? null : counted.reduce((sum, pace) => sum + pace, 0) / counted.length
}
