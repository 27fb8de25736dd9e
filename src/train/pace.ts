// How fast a run goes, and from that the time left.
import type { Snapshot } from '../native/binding.js'

/** Training steps or validation batches done, and the seconds they took. */
interface Work {
  done: number
  seconds: number
}

/** Forward alone takes about a third of a training step; that holds until a validation has been measured. */
const forwardShare = 1 / 3

export class Pace {
  private training: Work = { done: 0, seconds: 0 }
  private validation: Work = { done: 0, seconds: 0 }

  trained(done: number, seconds: number): void {
    this.training = { done: this.training.done + done, seconds: this.training.seconds + seconds }
  }

  validated(done: number, seconds: number): void {
    this.validation = { done: this.validation.done + done, seconds: this.validation.seconds + seconds }
  }

  /**
   * Until the last epoch is validated; null before the first step.
   * @param rest steps left, and epochs whose validation is not finished
   * @param jobSeconds how long the job of the snapshot has run
   */
  secondsLeft(
    snapshot: Pick<Snapshot, 'job' | 'done'>,
    rest: { stepsLeft: number; epochsLeft: number; valSteps: number },
    jobSeconds: number,
  ): number | null {
    const isTraining = snapshot.job === 'training'
    const running = { done: snapshot.done, seconds: jobSeconds }
    const training = isTraining ? add(this.training, running) : this.training
    if (training.done === 0) return null
    const perStep = training.seconds / training.done
    const validation = isTraining ? this.validation : add(this.validation, running)
    const perBatch = validation.done === 0 ? perStep * forwardShare : validation.seconds / validation.done
    const batchesLeft = rest.epochsLeft * rest.valSteps - (isTraining ? 0 : snapshot.done)
    return rest.stepsLeft * perStep + batchesLeft * perBatch
  }
}

const add = (a: Work, b: Work): Work => ({ done: a.done + b.done, seconds: a.seconds + b.seconds })
