// Autocorrelated normal noise from a seed, for synthetic curves.

/** @returns draws of `count` values with a standard deviation, where neighbors have a correlation; each draw is another */
export function seededNoise(seed: number): (count: number, correlation: number, deviation: number) => number[] {
  const uniform = seededUniform(seed)
  // Box and Muller.
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform())
  return (count, correlation, deviation) => {
    let value = deviation * normal()
    return Array.from({ length: count }, () => {
      const drawn = value
      value = correlation * value + Math.sqrt(1 - correlation ** 2) * deviation * normal()
      return drawn
    })
  }
}

/** Numbers in [0, 1), by splitmix64. */
export function seededUniform(seed: number): () => number {
  let state = BigInt(seed)
  const mask = 2n ** 64n - 1n
  return () => {
    state = (state + 0x9e3779b97f4a7c15n) & mask
    let mixed = ((state ^ (state >> 30n)) * 0xbf58476d1ce4e5b9n) & mask
    mixed = ((mixed ^ (mixed >> 27n)) * 0x94d049bb133111ebn) & mask
    return Number((mixed ^ (mixed >> 31n)) >> 11n) / 2 ** 53
  }
}
