import type { ExchangeRecord } from '../../src/telemetry/telemetry.ts'
import type { CompiledService } from '../config/runtime.ts'
import type { IncomingHead } from '../exchange.ts'
import { traceIdOf } from './forwarded.ts'

/** The record of a request that just came. */
export function newRecord(startMs: number, head: IncomingHead, grpc: boolean, source: string): ExchangeRecord {
  return {
    ...emptyRecord(startMs, grpc ? 'grpc' : head.version, source),
    method: head.method,
    authority: head.authority,
    path: head.target,
    traceId: traceIdOf(head.headers),
  }
}

/** The record of something that has no request. */
export function emptyRecord(startMs: number, protocol: ExchangeRecord['protocol'], source: string): ExchangeRecord {
  return {
    startMs, protocol, source,
    method: '', authority: '', path: '',
    service: '', namespace: '', port: 0,
    level: 'none', rule: undefined,
    endpoint: '', tries: 0,
    status: 0, grpcStatus: undefined,
    reason: undefined, detail: '',
    bytesIn: 0, bytesOut: 0,
    traceId: '',
  }
}

/** Notes where it was sent. */
export function recordDestination(record: ExchangeRecord, { entry, port }: CompiledService, level: ExchangeRecord['level']): void {
  record.service = entry.name
  record.namespace = entry.namespace
  record.port = port.port
  record.level = level
}
