// numpy's legacy random generator (RandomState: MT19937), as far as nnU-Net's splits draw from it.
// Source: Matsumoto and Nishimura 1998; numpy/random/mtrand (legacy seeding, interval by masked rejection).

const stateSize = 624
const shiftSize = 397

/** numpy.random.RandomState(seed) for unsigned 32-bit seeds. */
export class RandomState {
  private readonly state = new Uint32Array(stateSize)
  private position = stateSize

  constructor(seed: number) {
    this.state[0] = seed
    for (let i = 1; i < stateSize; i++) {
      const previous = this.state[i - 1] as number
      this.state[i] = Math.imul(1812433253, previous ^ (previous >>> 30)) + i
    }
  }

  private next(): number {
    if (this.position === stateSize) this.refill()
    let word = this.state[this.position++] as number
    word ^= word >>> 11
    word ^= (word << 7) & 0x9d2c5680
    word ^= (word << 15) & 0xefc60000
    return (word ^ (word >>> 18)) >>> 0
  }

  private refill(): void {
    const { state } = this
    for (let i = 0; i < stateSize; i++) {
      const joined = ((state[i] as number) & 0x80000000) | ((state[(i + 1) % stateSize] as number) & 0x7fffffff)
      const twisted = (joined >>> 1) ^ (joined & 1 ? 0x9908b0df : 0)
      state[i] = (state[(i + shiftSize) % stateSize] as number) ^ twisted
    }
    this.position = 0
  }

  /** A whole number from 0 to `largest`, both included. */
  interval(largest: number): number {
    if (largest === 0) return 0
    const mask = 2 ** (32 - Math.clz32(largest)) - 1
    for (;;) {
      const value = (this.next() & mask) >>> 0
      if (value <= largest) return value
    }
  }

  /** numpy's permutation(count): 0 to count - 1, shuffled. */
  permutation(count: number): number[] {
    const result = Array.from({ length: count }, (_, i) => i)
    for (let i = count - 1; i > 0; i--) {
      const other = this.interval(i)
      const kept = result[i] as number
      result[i] = result[other] as number
      result[other] = kept
    }
    return result
  }
}
