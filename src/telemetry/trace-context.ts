/** What W3C trace context headers carry. */
export interface TraceContext {
  /** 32 lower-case hex digits, not all 0. */
  readonly traceId: string
  /** 16 lower-case hex digits, not all 0. */
  readonly spanId: string
  /** Bit 0: sampled. */
  readonly flags: number
  /** As it came; '' if there is none. */
  readonly state: string
}

const pattern = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/

/**
 * Reads the trace context of a request.
 * @param headers name, value, …; names in lower case
 * @returns undefined if there is none or it is malformed: then a new trace begins
 * Source: W3C Trace Context §3.2 (a higher version is read as far as version 00 goes; `ff` is invalid).
 */
export function readTraceContext(headers: readonly string[]): TraceContext | undefined {
  let parent: string | undefined
  const states: string[] = []
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const value = headers[at + 1] ?? ''
    if (headers[at] === 'traceparent') {
      if (parent !== undefined) return undefined
      parent = value
    } else if (headers[at] === 'tracestate' && value !== '') states.push(value)
  }
  const found = pattern.exec(parent ?? '')
  if (found === null) return undefined
  const [, version = '', traceId = '', spanId = '', flags = '', rest] = found
  if (version === 'ff' || (version === '00' && rest !== undefined) || /^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined
  return { traceId, spanId, flags: Number.parseInt(flags, 16), state: states.join(',') }
}

/** Puts `context` in place of what `headers` say. Changes `headers`. */
export function writeTraceContext(headers: string[], context: TraceContext): void {
  for (let at = headers.length - 2; at >= 0; at -= 2) {
    if (headers[at] === 'traceparent' || headers[at] === 'tracestate') headers.splice(at, 2)
  }
  headers.push('traceparent', `00-${context.traceId}-${context.spanId}-${context.flags.toString(16).padStart(2, '0')}`)
  if (context.state !== '') headers.push('tracestate', context.state)
}
