const shape = /^([0-9]{1,5}(h|m|s|ms)){1,4}$/
const part = /([0-9]{1,5})(ms|h|m|s)/g
const unitMs: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 }

/**
 * Reads a Gateway API duration: one to four parts of a whole number of up to five digits and a unit out of h, m, s, ms.
 * @returns milliseconds, or undefined if `text` is anything else (a sign, a fraction, other units, no unit)
 * Source: GEP-2257.
 */
export function parseDuration(text: string): number | undefined {
  if (!shape.test(text)) return undefined
  let sumMs = 0
  for (const [, digits, unit] of text.matchAll(part)) sumMs += Number(digits) * (unitMs[unit ?? ''] ?? 0)
  return sumMs
}
