import { isIP } from 'node:net'
import { parseSpiffeId } from '../model/identity.ts'
import type { ConnectionEnd, ConnectionRecord } from './connections.ts'
import type { ExchangeRecord } from './telemetry.ts'

/** What became of a request or a connection; `failed`: it was let through, and the destination could not be had. `audited` is asked for only. */
export type TapVerdict = 'allowed' | 'denied' | 'refused' | 'failed'

/** What somebody wants to see; fields that are absent fit everything. Plain data, which may travel between threads and as a query. */
export interface TapFilter {
  readonly kind?: 'request' | 'connection' | undefined
  /** Namespace of one of the ends. */
  readonly namespace?: string | undefined
  /** `namespace/name` of the Service that was addressed. */
  readonly service?: string | undefined
  /** `namespace/name` of a pod that is one of the ends. */
  readonly pod?: string | undefined
  /**
   * With `pod`, by which waypoints know it: its addresses, and `namespace/name` of its service account, which it may share with others. With
   * `service`, addresses of its endpoints.
   */
  readonly addresses?: readonly string[] | undefined
  readonly account?: string | undefined
  /** Upper case. */
  readonly method?: string | undefined
  readonly path?: string | undefined
  /** `503`, or `5xx`. */
  readonly status?: string | undefined
  /** `namespace` or `namespace/name`: of a workload, a pod, a service account, a Service. */
  readonly source?: string | undefined
  readonly destination?: string | undefined
  readonly verdict?: TapVerdict | 'audited' | undefined
}

export const tapVerdicts = ['allowed', 'denied', 'refused', 'failed', 'audited'] as const
const kinds = ['request', 'connection'] as const
const texts = ['namespace', 'service', 'pod', 'account', 'method', 'path', 'status', 'source', 'destination'] as const

/** Writes a filter as a query. */
export function encodeTapFilter(filter: TapFilter): URLSearchParams {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(filter) as readonly [string, string | readonly string[] | undefined][]) {
    if (value !== undefined) query.set(name, typeof value === 'string' ? value : value.join(','))
  }
  return query
}

/** Reads a filter from a query. @throws {TypeError} that says what is wrong */
export function decodeTapFilter(query: URLSearchParams): TapFilter {
  const filter: Partial<Record<keyof TapFilter, unknown>> = {}
  for (const name of texts) filter[name] = query.get(name) ?? undefined
  filter.addresses = query.get('addresses')?.split(',')
  filter.kind = oneOf('kind', query.get('kind'), kinds)
  filter.verdict = oneOf('verdict', query.get('verdict'), tapVerdicts)
  if (!isStatusFilter(query.get('status') ?? '200')) throw new TypeError('status must be a number or 1xx to 5xx')
  return filter as TapFilter
}

/** Whether `text` is a status or a class of them. */
export function isStatusFilter(text: string): boolean {
  return /^[1-5](?:xx|\d\d)$/.test(text) || text === '0'
}

function oneOf<T extends string>(name: string, value: string | null, allowed: readonly T[]): T | undefined {
  if (value === null) return undefined
  const found = allowed.find((each) => each === value)
  if (found === undefined) throw new TypeError(`${name} must be one of ${allowed.join(', ')}`)
  return found
}

/** What became of a request. */
export function verdictOf({ reason, tries }: Pick<ExchangeRecord, 'reason' | 'tries'>): TapVerdict {
  if (reason === undefined) return 'allowed'
  if (reason === 'denied') return 'denied'
  return tries > 0 ? 'failed' : 'refused'
}

/** Whether a waypoint's record is a request; else it is a connection that was not read. */
export function isRequest({ protocol }: Pick<ExchangeRecord, 'protocol'>): boolean {
  return protocol !== 'tcp' && protocol !== 'tls'
}

/** Whether somebody wants to see this request, or connection of a waypoint. */
export function fitsExchange(filter: TapFilter, record: ExchangeRecord): boolean {
  const { kind, namespace, service, pod, method, path, status, source, destination, verdict } = filter
  if (kind !== undefined && (kind === 'request') !== isRequest(record)) return false
  if (method !== undefined && record.method.toUpperCase() !== method) return false
  if (path !== undefined && !record.path.startsWith(path)) return false
  if (status !== undefined && !fitsStatus(status, record.status)) return false
  if (verdict !== undefined && !(verdict === 'audited' ? (record.audit?.length ?? 0) > 0 : verdictOf(record) === verdict)) return false
  const [sourceNamespace, account] = accountOf(record.source)
  if (service !== undefined && service !== `${record.namespace}/${record.service}`) return false
  if (namespace !== undefined && namespace !== record.namespace && namespace !== sourceNamespace) return false
  if (source !== undefined && !fitsName(source, sourceNamespace, account)) return false
  if (destination !== undefined && !fitsName(destination, record.namespace, record.service)) return false
  return pod === undefined || filter.account === `${sourceNamespace}/${account}` || filter.addresses?.includes(hostOf(record.endpoint)) === true
}

/** Whether somebody wants to see this captured connection. What is said of requests, a connection is not. */
export function fitsConnection(filter: TapFilter, record: ConnectionRecord): boolean {
  const { kind, namespace, service, pod, source, destination, verdict } = filter
  if (kind === 'request' || filter.method !== undefined || filter.path !== undefined || filter.status !== undefined) return false
  if (verdict !== undefined && !(verdict === 'audited' ? record.audit.length > 0 : record.outcome === verdict)) return false
  if (namespace !== undefined && namespace !== record.source.namespace && namespace !== record.destination.namespace) return false
  if (pod !== undefined && !isPod(record.source, pod) && !isPod(record.destination, pod)) return false
  // What comes to a pod of the Service is of interest too, and only the address tells which Service was meant before.
  if (service !== undefined && service !== record.service && filter.addresses?.includes(hostOf(record.destination.address)) !== true) return false
  if (source !== undefined && !fitsEnd(source, record.source)) return false
  return destination === undefined || fitsEnd(destination, record.destination) || record.service === destination
}

function fitsEnd(wanted: string, { namespace, workload, pod, id }: ConnectionEnd): boolean {
  return fitsName(wanted, namespace, workload) || (pod !== '' && wanted === `${namespace}/${pod}`) || (id !== '' && fitsName(wanted, ...accountOf(id)))
}

function fitsName(wanted: string, namespace: string, name: string): boolean {
  return wanted === namespace || wanted === `${namespace}/${name}`
}

function isPod({ namespace, pod }: ConnectionEnd, wanted: string): boolean {
  return pod !== '' && wanted === `${namespace}/${pod}`
}

function fitsStatus(wanted: string, status: number): boolean {
  return wanted.endsWith('xx') ? Math.floor(status / 100) === Number(wanted[0]) : status === Number(wanted)
}

/** Namespace and service account of a SPIFFE id of ours; '' where it says nothing. */
function accountOf(id: string): readonly [namespace: string, account: string] {
  const { namespace = '', serviceAccount = '' } = parseSpiffeId(id) ?? {}
  return [namespace, serviceAccount]
}

function hostOf(authority: string): string {
  const host = authority.replace(/:\d*$/, '').replace(/^\[(.*)\]$/, '$1')
  return isIP(host) === 0 ? '' : host
}
