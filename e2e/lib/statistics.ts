/** How often each value occurs. */
export function tally(values: Iterable<string | number | undefined>): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const value of values) counts[String(value)] = (counts[String(value)] ?? 0) + 1
  return counts
}

/**
 * Fails unless each share is within `tolerance` of what is wanted, and nothing else occurs.
 * @param wanted weights; their sum is 1 whatever it is
 * @param tolerance a fraction of all, 0.01 = one percent
 */
export function assertShares(values: readonly (string | number | undefined)[], wanted: Readonly<Record<string, number>>, tolerance: number): void {
  const counts = tally(values)
  const sum = Object.values(wanted).reduce((all, weight) => all + weight, 0)
  const wrong = [
    ...Object.entries(wanted).flatMap(([name, weight]) => {
      const share = (counts[name] ?? 0) / values.length
      return Math.abs(share - weight / sum) <= tolerance + 1e-9 ? [] : [`${name} got ${percent(share)} in place of ${percent(weight / sum)}`]
    }),
    ...Object.keys(counts).filter((name) => !(name in wanted)).map((name) => `${name} got ${counts[name] ?? 0}`),
  ]
  if (wrong.length > 0) throw new Error(`of ${values.length}: ${wrong.join('; ')}; all: ${JSON.stringify(counts)}`)
}

/** The value below or at which `fraction` of all lie (nearest rank). NaN if there are none. */
export function percentile(values: readonly number[], fraction: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(fraction * sorted.length) - 1))] ?? NaN
}

function percent(share: number): string {
  return `${Math.round(share * 1000) / 10} %`
}
