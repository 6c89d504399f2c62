import type { Duplex } from 'node:stream'
import { Bag } from '../../kit/bag.ts'
import type { Clock } from '../../kit/clock.ts'
import { reason as reasonOf, type ReasonCode } from '../../model/reasons.ts'
import { unknownEnd, type ConnectionDirection, type ConnectionOutcome, type ConnectionRecord, type ConnectionTelemetry } from '../../telemetry/connections.ts'
import { reset, splice, type SpliceOptions } from '../../transport/tunnel.ts'

export interface Objection {
  readonly outcome: 'denied' | 'refused'
  readonly reason: ReasonCode
  readonly detail: string
}

/** One connection of a pod, from its acceptance to its end. */
export interface LiveConnection {
  readonly record: ConnectionRecord
  /** Resets both ends; what it carried is lost. */
  readonly cut: (reason: ReasonCode, detail: string) => void
  /** Why it would not be let in any more; asked when what guards the pod has changed. Undefined: nobody judges it here. */
  objection: (() => Objection | undefined) | undefined
}

/** The connections of one pod. */
export interface LiveConnections {
  readonly size: () => number
  readonly all: () => Iterable<LiveConnection>
  /** Begins the record of a connection. */
  readonly begin: (direction: ConnectionDirection) => Connection
  /** Cuts every connection that would not be let in any more. */
  readonly recheck: () => void
  /** Calls `listener` once when there is none, also at once. */
  readonly onEmpty: (listener: () => void) => void
  readonly cutAll: (reason: ReasonCode) => void
}

/** A connection as its handler sees it. Ends by exactly one of `refuse` and `join`. */
export interface Connection extends LiveConnection {
  /** Names what `cut` resets until both ends are joined. */
  readonly hold: (...streams: readonly Duplex[]) => void
  /** It was not let in, or could not be: tells of it. `streams` are reset. */
  readonly refuse: (outcome: Exclude<ConnectionOutcome, 'allowed'>, reason: ReasonCode, detail: string, ...streams: readonly Duplex[]) => void
  /** Joins both ends and tells of it when they are closed. */
  readonly join: (client: Duplex, server: Duplex, options?: SpliceOptions) => void
}

export function createLiveConnections(clock: Clock, telemetry: ConnectionTelemetry): LiveConnections {
  const live = new Bag<TrackedConnection>()
  let waiting: (() => void)[] = []

  const end = (connection: TrackedConnection): void => {
    if (!connection.leave()) return
    telemetry.connectionDone(connection.record, clock.now() - connection.record.startMs)
    if (live.size > 0) return
    const told = waiting
    waiting = []
    for (const listener of told) listener()
  }

  const begin = (direction: ConnectionDirection): Connection => {
    const connection = new TrackedConnection(emptyRecord(clock.now(), direction), telemetry, end)
    connection.leave = live.add(connection)
    return connection
  }

  return {
    size: () => live.size,
    all: () => live,
    begin,
    recheck: () => {
      for (const each of live) {
        const objection = each.objection?.()
        if (objection === undefined) continue
        each.record.outcome = objection.outcome
        each.cut(objection.reason, 'what guards the pod has changed')
      }
    },
    onEmpty: (listener) => {
      if (live.size === 0) listener()
      else waiting.push(listener)
    },
    cutAll: (reason) => {
      for (const each of live) each.cut(reason, reasonOf(reason).message)
    },
  }
}

/** One object for each connection, without functions of its own: there are many. */
class TrackedConnection implements Connection {
  readonly record: ConnectionRecord
  objection: LiveConnection['objection']
  /** Takes it from the connections that live; false if it has left them. */
  leave: () => boolean = left
  private ends: readonly Duplex[] = []
  private readonly telemetry: ConnectionTelemetry
  private readonly end: (connection: TrackedConnection) => void

  constructor(record: ConnectionRecord, telemetry: ConnectionTelemetry, end: (connection: TrackedConnection) => void) {
    this.record = record
    this.objection = undefined
    this.telemetry = telemetry
    this.end = end
  }

  cut(reason: ReasonCode, detail: string): void {
    this.record.reason = reason
    this.record.detail = detail
    for (const stream of this.ends) reset(stream)
  }

  hold(...streams: readonly Duplex[]): void {
    this.ends = streams
  }

  refuse(outcome: Exclude<ConnectionOutcome, 'allowed'>, reason: ReasonCode, detail: string, ...streams: readonly Duplex[]): void {
    const { record } = this
    record.outcome = outcome
    record.reason = reason
    record.detail = detail
    for (const stream of streams) reset(stream)
    this.end(this)
  }

  join(client: Duplex, server: Duplex, options?: SpliceOptions): void {
    const { record } = this
    this.ends = [client, server]
    const joined = splice(client, server, options)
    this.telemetry.connectionOpened?.(record, () => {
      const { bytesAtoB, bytesBtoA } = joined.passed()
      record.bytesIn = bytesAtoB
      record.bytesOut = bytesBtoA
    })
    void joined.done.then((result) => {
      record.bytesIn = result.bytesAtoB
      record.bytesOut = result.bytesBtoA
      record.ended = result.ended
      this.end(this)
    })
  }
}

const left = (): boolean => false
const nowhere = unknownEnd('')
const none: readonly string[] = []

function emptyRecord(startMs: number, direction: ConnectionDirection): ConnectionRecord {
  return {
    startMs, direction, source: nowhere, destination: nowhere, service: '', via: '', peer: '', transport: '', tries: 0,
    outcome: 'allowed', reason: undefined, policy: '', audit: none, detail: '', bytesIn: 0, bytesOut: 0, ended: '', counted: undefined,
  }
}
