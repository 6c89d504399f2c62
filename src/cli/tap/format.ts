import { printable } from '../../kit/printable.ts'
import { parseSpiffeId } from '../../model/identity.ts'
import type { Colour, Paint } from '../io.ts'

/** A line of a tap: fields of the access logs, and what it is. */
export interface Tapped {
  readonly kind: 'request' | 'connection' | 'dropped' | 'tapping'
  /** Who speaks, with `tapping`. */
  readonly process?: string
  readonly count?: number
  readonly verdict?: string
  readonly event?: 'opened' | 'ended'
  readonly time?: string
  readonly reason?: string
  readonly detail?: string
  readonly policy?: string
  readonly audit?: readonly string[]
  readonly duration_ms?: number
  readonly bytes_in?: number
  readonly bytes_out?: number
  readonly source?: string
  readonly source_address?: string
  readonly source_id?: string
  readonly destination?: string
  readonly destination_address?: string
  readonly endpoint?: string
  /** Of waypoints. */
  readonly waypoint?: string
  readonly protocol?: string
  readonly method?: string
  readonly path?: string
  readonly status?: number
  readonly grpc_status?: number
  readonly route?: string
  readonly rule?: number
  /** Of agents. */
  readonly direction?: string
  readonly transport?: string
  readonly via?: string
  readonly service?: string
  readonly ended?: string
}

const colours: Readonly<Record<string, Colour>> = { denied: 'red', refused: 'red', failed: 'yellow' }

/** One line for people. */
export function formatTapped(record: Tapped, paint: Paint): string {
  const parts = record.waypoint === undefined ? connection(record) : exchange(record)
  const verdict = record.verdict ?? ''
  const why = [
    record.reason === undefined || record.reason === verdict ? '' : record.reason, record.policy === undefined ? '' : `by ${record.policy}`,
    record.audit === undefined || record.audit.length === 0 ? '' : `audited by ${record.audit.join(', ')}`, record.detail ?? '',
  ].filter((each) => each !== '').join(', ')
  const colour = colours[verdict]
  const said = printable(why === '' ? verdict : `${verdict} (${why})`)
  return `${paint('dim', (record.time ?? '').slice(11, 23))} ${printable(parts.filter((each) => each !== '').join('  '))}  ${colour === undefined ? said : paint(colour, said)}\n`
}

function exchange(record: Tapped): readonly string[] {
  const { source, destination, endpoint, method, path, status, grpc_status: grpcStatus, route, rule, waypoint, protocol } = record
  const isRequest = record.kind === 'request'
  return [
    (isRequest ? 'request' : (protocol ?? '')).padEnd(9), `${accountOf(source)} → ${destination === undefined || destination.startsWith('/') ? '?' : destination}`,
    isRequest ? `${method ?? ''} ${path ?? ''}` : '', status === undefined || status === 0 ? '' : grpcStatus === undefined ? String(status) : `gRPC ${grpcStatus}`, timeAndBytes(record),
    route === undefined ? '' : `${route} rule ${rule ?? 0}`, endpoint === undefined ? '' : `to ${endpoint}`, `at ${waypoint ?? ''}`,
  ]
}

function connection(record: Tapped): readonly string[] {
  const { direction, source, source_id: id, source_address: from, destination, destination_address: to, service, transport, via, event, ended } = record
  return [
    (direction ?? '').padEnd(9), `${source ?? (id === undefined ? (from ?? '?') : accountOf(id))} → ${service ?? destination ?? to ?? '?'}${to === undefined || to === destination ? '' : ` (${to})`}`,
    [transport, via === undefined ? '' : via === 'outside' ? 'outside of the mesh' : `via ${via}`].filter(Boolean).join(' '),
    event === 'opened' ? 'opened' : ended === 'reset' ? `reset after ${timeAndBytes(record)}` : timeAndBytes(record),
  ]
}

function timeAndBytes({ duration_ms: ms = 0, bytes_in: bytesIn = 0, bytes_out: bytesOut = 0 }: Tapped): string {
  return `${ms < 10_000 ? `${Math.round(ms * 10) / 10} ms` : `${Math.round(ms / 1000)} s`}${bytesIn + bytesOut === 0 ? '' : `, ${size(bytesIn)} in, ${size(bytesOut)} out`}`
}

function size(bytes: number): string {
  if (bytes < 10_000) return `${bytes} B`
  return bytes < 10_000_000 ? `${Math.round(bytes / 1000)} kB` : `${Math.round(bytes / 1_000_000)} MB`
}

/** `namespace/account` of a SPIFFE id of ours. */
function accountOf(id: string | undefined): string {
  if (id === undefined) return '?'
  const identity = parseSpiffeId(id)
  return identity === undefined ? id : `${identity.namespace}/${identity.serviceAccount}`
}
