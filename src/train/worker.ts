// The child process of the command line: runs one job, sends its events to the parent, and stops when told or left alone.
import { faultOf } from '../ranks/commands.js'
import { followLeader } from '../ranks/follower.js'
import { Leader } from '../ranks/leader.js'
import type { Run } from './events.js'
import { startJob } from './job.js'
import { type JobOptions, predict, resume, train, validate } from './jobs.js'
import { planWithEvents, preprocessWithEvents } from './prepare.js'
import type { FromChild, Job, ToChild } from './protocol.js'
import type { Section } from './watchdog.js'

let run: Run<unknown> | undefined

process.on('message', (message: ToChild) => {
  if (message.type === 'stop') run?.stop()
  else if (run === undefined) void work(message.job)
})
// Without a parent nobody waits: the job saves and ends.
process.on('disconnect', () => (run ? run.stop() : process.exit(0)))
// A terminal sends its signals to the whole process group; the parent decides what Ctrl-C means.
process.on('SIGINT', () => {})
for (const signal of ['SIGTERM', 'SIGHUP', 'SIGUSR1'] as const) process.on(signal, () => run?.stop())

async function work(job: Job): Promise<void> {
  const rank = 'rank' in job ? job.rank : undefined
  const leader = rank?.group.rank === 0 ? new Leader(rank.group, rank) : undefined
  try {
    run = start(job, leader)
    for await (const event of run) send({ type: 'event', event })
    const result = await run.finished
    await leader?.end({ result })
    await leave({ type: 'done', result })
  } catch (error) {
    const fault = faultOf(error)
    await leader?.end({ error: fault })
    await leave({ type: 'failed', ...fault })
  }
}

/** Signs of life are passed on, one a second at most as long as it is the same thing that moves. */
const supervised: JobOptions = { onAlive: passOnAlive }
let lastAlive: { place: string; at: number } | undefined

function passOnAlive(section: Section, caseId?: string): void {
  const at = performance.now()
  const place = `${section} ${caseId}`
  if (lastAlive?.place === place && at - lastAlive.at < 1000) return
  lastAlive = { place, at }
  void send({ type: 'alive', section, caseId })
}

function start(job: Job, leader: Leader | undefined): Run<unknown> {
  if ('rank' in job && job.rank && !leader) {
    const { group, ...place } = job.rank
    return startJob((context) => followLeader(group, place, context), supervised)
  }
  switch (job.kind) {
    case 'plan':
      return startJob((context) => planWithEvents(job.options, context))
    case 'preprocess':
      return startJob((context) => preprocessWithEvents(job.options, context))
    case 'train':
      return train(job.options, { ...supervised, leader, restart: job.restart })
    case 'resume':
      return resume(job.options, { ...supervised, leader, restart: job.restart })
    case 'validate':
      return validate(job.options, { ...supervised, leader })
    case 'predict':
      return predict(job.options, { ...supervised, leader })
  }
}

function send(message: FromChild): Promise<void> {
  return new Promise((resolve) => {
    if (process.connected && process.send) process.send(message, () => resolve())
    else resolve()
  })
}

async function leave(message: FromChild): Promise<void> {
  await send(message)
  process.exit(0)
}
