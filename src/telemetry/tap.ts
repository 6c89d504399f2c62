import type { Cancel, Clock } from '../kit/clock.ts'
import { accessLogLine } from './access-log.ts'
import { connectionLogLine, type ConnectionRecord } from './connections.ts'
import { fitsConnection, fitsExchange, isRequest, verdictOf, type TapFilter } from './tap-filter.ts'
import type { ExchangeRecord } from './telemetry.ts'

/** What somebody asks for. Plain data. */
export interface TapRequest {
  readonly filter: TapFilter
  /** Lines a second; what comes beyond them is dropped and counted. */
  readonly rate: number
}

/** Where lines go. */
export interface TapSink {
  /** Takes lines of JSON without their ends, and how many were dropped since the last call. */
  readonly write: (lines: readonly string[], dropped: number) => void
  /** Whether it takes any now; while it does not, the newest are kept. */
  readonly ready: () => boolean
}

/** Where somebody can look on. @returns what ends it */
export interface TapSource {
  readonly subscribe: (request: TapRequest, sink: TapSink) => () => void
}

/** Lines that wait for a slow reader at most; the oldest give way. */
export const ringSize = 1_000
/** Lines go out together so often, milliseconds. */
const flushMs = 50

/** What one onlooker gets: a ring of fixed size, filled at a limited rate and emptied as fast as the onlooker reads. */
export class TapOutput {
  private readonly ring: string[] = []
  private readonly clock: Clock
  private readonly rate: number
  private readonly sink: TapSink
  /** Of the oldest line, once the ring is full. */
  private first = 0
  private dropped = 0
  private tokens: number
  private filledAtMs: number
  private cancel: Cancel | undefined
  private closed = false

  constructor(clock: Clock, rate: number, sink: TapSink) {
    this.clock = clock
    this.rate = rate
    this.sink = sink
    this.tokens = rate
    this.filledAtMs = clock.now()
  }

  /** Takes a line if the rate allows; it is put into words only then. */
  offer(line: () => string): void {
    if (this.closed) return
    const now = this.clock.now()
    this.tokens = Math.min(this.rate, this.tokens + ((now - this.filledAtMs) * this.rate) / 1000)
    this.filledAtMs = now
    if (this.tokens < 1) this.drop(1)
    else {
      this.tokens--
      this.keep(line())
    }
  }

  /** Counts what was dropped elsewhere. */
  drop(count: number): void {
    if (count === 0) return
    this.dropped += count
    this.later()
  }

  close(): void {
    this.closed = true
    this.cancel?.()
    this.ring.length = 0
  }

  private keep(line: string): void {
    if (this.ring.length < ringSize) this.ring.push(line)
    else {
      this.ring[this.first] = line
      this.first = (this.first + 1) % ringSize
      this.dropped++
    }
    this.later()
  }

  private later(): void {
    if (this.closed) return
    this.cancel ??= this.clock.after(flushMs, () => {
      this.cancel = undefined
      if (!this.sink.ready()) {
        this.later()
        return
      }
      const lines = this.first === 0 ? this.ring.splice(0) : [...this.ring.slice(this.first), ...this.ring.slice(0, this.first)]
      this.ring.length = 0
      this.first = 0
      const { dropped } = this
      this.dropped = 0
      this.sink.write(lines, dropped)
    })
  }
}

interface Subscriber {
  readonly filter: TapFilter
  readonly output: TapOutput
}

/** Where one thread's records can be looked at while they are told. Whoever tells asks `listening` first: nobody looks on as a rule. */
export class TapPoint implements TapSource {
  listening = false
  private readonly clock: Clock
  private subscribers: readonly Subscriber[] = []

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** @param waypoint `namespace/name` */
  exchange(waypoint: string, record: ExchangeRecord, durationMs: number): void {
    for (const { filter, output } of this.subscribers) {
      if (!fitsExchange(filter, record)) continue
      output.offer(() => told({ kind: isRequest(record) ? 'request' : 'connection', verdict: verdictOf(record) }, accessLogLine(waypoint, record, durationMs), 'verdict'))
    }
  }

  /** @param event `opened`: bytes begin to flow */
  connection(node: string, event: 'opened' | 'ended', record: ConnectionRecord, durationMs: number): void {
    for (const { filter, output } of this.subscribers) {
      if (fitsConnection(filter, record)) output.offer(() => told({ kind: 'connection', event, verdict: record.outcome }, connectionLogLine(node, record, durationMs), 'outcome'))
    }
  }

  readonly subscribe = ({ filter, rate }: TapRequest, sink: TapSink): (() => void) => {
    const one = { filter, output: new TapOutput(this.clock, rate, sink) }
    this.subscribers = [...this.subscribers, one]
    this.listening = true
    return () => {
      one.output.close()
      this.subscribers = this.subscribers.filter((each) => each !== one)
      this.listening = this.subscribers.length > 0
    }
  }
}

/** The line of the log, and what it is before it. @param without the field of the log that `facts` tells in a way that holds for all */
function told(facts: Readonly<Record<string, string>>, line: string, without: string): string {
  const fields = Object.entries(JSON.parse(line) as Record<string, unknown>)
  return JSON.stringify({ ...facts, ...Object.fromEntries(fields.filter(([field]) => field !== without)) })
}
