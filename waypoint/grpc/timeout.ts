import type { HeaderList } from '../exchange.ts'
import { headerValue } from './status.ts'

const unitMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 }

/** The longest delay that a timer takes; longer deadlines are as good as this one. */
const longestMs = 2 ** 31 - 1

/**
 * Reads a `grpc-timeout` value: 1 to 8 digits and a unit (`H`, `M`, `S`, `m`, `u`, `n`).
 * @returns whole milliseconds, rounded up, from 1 (0 means "off" elsewhere, a deadline that has passed does not) to 2^31−1;
 * undefined if it is malformed
 * Source: grpc/doc/PROTOCOL-HTTP2.md, "Timeout".
 */
export function parseGrpcTimeout(value: string): number | undefined {
  if (!/^\d{1,8}[HMSmun]$/.test(value)) return undefined
  const factor = unitMs[value.slice(-1)]
  if (factor === undefined) return undefined
  return Math.min(longestMs, Math.max(1, Math.ceil(Number(value.slice(0, -1)) * factor)))
}

/**
 * Writes a `grpc-timeout` of `ms` milliseconds, in the finest unit that 8 digits allow, rounded up so that it never promises less.
 * Source: as `parseGrpcTimeout`.
 */
export function formatGrpcTimeout(ms: number): string {
  const whole = Math.max(1, Math.ceil(ms))
  for (const unit of ['m', 'S', 'M', 'H']) {
    const amount = Math.ceil(whole / (unitMs[unit] ?? 1))
    if (amount < 1e8) return `${amount}${unit}`
  }
  return '99999999H'
}

/** The caller's own deadline, in milliseconds from now; undefined if there is none or if it is malformed. */
export function grpcTimeoutMs(headers: Readonly<HeaderList>): number | undefined {
  const value = headerValue(headers, 'grpc-timeout')
  return value === undefined ? undefined : parseGrpcTimeout(value)
}
