import { InvalidArgumentError } from 'commander'

const units = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const

/** Reads `30s`, `5m`, `1h` or `500ms`; a number alone means seconds. @returns milliseconds @throws {InvalidArgumentError} */
export function parseDuration(text: string): number {
  const [, number, unit = 's'] = /^(\d{1,6})(ms|s|m|h)?$/.exec(text) ?? []
  const ms = Number(number) * units[unit as keyof typeof units]
  if (number === undefined || ms < 1) throw new InvalidArgumentError('Write a time as 30s, 5m or 1h.')
  return ms
}
