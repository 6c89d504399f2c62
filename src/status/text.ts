import { createHash } from 'node:crypto'

/** RFC 3339 in whole seconds, as `lastTransitionTime` has it. Source: metav1.Time. @param ms since the Unix epoch */
export function secondsTime(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z')
}

/** RFC 3339 with exactly six fractional digits; the API server refuses fewer. Source: metav1.MicroTime. @param ms since the Unix epoch */
export function microTime(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000Z')
}

/**
 * `text`, cut so that it has at most `bytes` bytes of UTF-8, with `…` at the end if something was cut. Half a character, which cutting
 * elsewhere may have left, becomes U+FFFD, as the API server would make of it: it would seem to have kept something else than was written.
 */
export function clip(text: string, bytes: number): string {
  const whole = Buffer.from(text)
  if (whole.length <= bytes) return text.toWellFormed()
  let end = bytes - 3
  // A byte 10xxxxxx continues a character: cut before its first byte.
  while (end > 0 && ((whole[end] ?? 0) & 0xc0) === 0x80) end--
  return `${whole.subarray(0, end).toString()}…`
}

/** 16 hexadecimal digits that stand for `parts`. */
export function digest(...parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16)
}
