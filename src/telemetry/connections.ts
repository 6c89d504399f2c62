import type { ReasonCode } from '../model/reasons.ts'

/** Which of an agent's listeners in a pod took a connection: what the pod sends, what reaches it by HBONE, what reaches it in plain. */
export type ConnectionDirection = 'outbound' | 'inbound' | 'plaintext'

/** `denied`: authorization says no; `refused`: the mesh says no for another reason; `failed`: allowed, but the destination can't be had. */
export type ConnectionOutcome = 'allowed' | 'denied' | 'refused' | 'failed'

/** One end of a connection, as far as it is known; '' where it is not. */
export interface ConnectionEnd {
  readonly namespace: string
  /** Name of what the pod belongs to, see `workloadName`. */
  readonly workload: string
  readonly pod: string
  /** SPIFFE id: proven by a certificate, or that of the pod whose own listener took the connection. */
  readonly id: string
  /** `address:port`. */
  readonly address: string
}

/** What is told about one captured connection. Filled in place while it runs. */
export interface ConnectionRecord {
  /** Milliseconds since the epoch at which it was accepted. */
  readonly startMs: number
  readonly direction: ConnectionDirection
  source: ConnectionEnd
  destination: ConnectionEnd
  /** `namespace/name` of the Service that was addressed, '' if none was. */
  service: string
  /** Where an outbound connection was taken: to a waypoint, to an endpoint or pod, or out of the mesh; '' if nowhere. */
  via: '' | 'waypoint' | 'endpoint' | 'outside'
  /** `address:port` of the peer that was chosen, '' if none was. */
  peer: string
  /** How it travels between nodes: `mtls` inside HBONE, `plain`, or '' if it never came so far. */
  transport: '' | 'mtls' | 'plain'
  /** Peers that were tried. */
  tries: number
  outcome: ConnectionOutcome
  reason: ReasonCode | undefined
  /** `namespace/name` of the policy that decided, '' if none did. */
  policy: string
  /** `namespace/name` of the Audit policies that match it. */
  audit: readonly string[]
  /** In words; '' if there is nothing to add. */
  detail: string
  /** From whoever opened the connection. */
  bytesIn: number
  /** To whoever opened the connection. */
  bytesOut: number
  /** How it ended; '' if it was never established. */
  ended: '' | 'clean' | 'reset'
  /** Whoever counts it while it lives keeps here how far that has come. */
  counted: OpenCount | undefined
}

/** A connection that lives, and which of its bytes are counted. */
export interface OpenCount {
  readonly record: ConnectionRecord
  /** Brings the record's byte counts up to date. */
  readonly refresh: () => void
  /** Forgets it. */
  close: () => void
  bytesIn: number
  bytesOut: number
}

/** Where an agent tells of connections. */
export interface ConnectionTelemetry {
  /**
   * Told when bytes begin to flow; `connectionDone` follows.
   * @param refresh brings the record's byte counts up to date, until then
   */
  readonly connectionOpened?: (record: ConnectionRecord, refresh: () => void) => void
  /** Told once for each connection, after its end. */
  readonly connectionDone: (record: ConnectionRecord, durationMs: number) => void
}

/** An end of which nothing is known but its address. */
export function unknownEnd(address: string): ConnectionEnd {
  return { namespace: '', workload: '', pod: '', id: '', address }
}

/** Characters of names that Kubernetes makes up: neither vowels nor what looks like them. Source: apimachinery `rand.SafeEncodeString`. */
const replicaSetPod = /^(.+)-[bcdfghjklmnpqrstvwxz2456789]{6,10}-[bcdfghjklmnpqrstvwxz2456789]{5}$/
const generatedPod = /^(.+)-[bcdfghjklmnpqrstvwxz2456789]{5}$/
const statefulPod = /^(.+)-[0-9]+$/

/** What a pod belongs to (Deployment, DaemonSet, Job, StatefulSet), told by its name; a pod of its own keeps its name. */
export function workloadName(pod: string): string {
  return (replicaSetPod.exec(pod) ?? generatedPod.exec(pod) ?? statefulPod.exec(pod))?.[1] ?? pod
}

/** Whether a pod's name is one that a Deployment's pods have. */
export function isDeploymentPod(pod: string): boolean {
  return replicaSetPod.test(pod)
}

/** One JSON object for a connection. Field names are stable; fields without a meaning for the connection are left out. */
export function connectionLogLine(node: string, record: ConnectionRecord, durationMs: number): string {
  const { source, destination } = record
  return JSON.stringify({
    time: new Date(record.startMs).toISOString(),
    node: orAbsent(node),
    direction: record.direction,
    outcome: record.outcome,
    reason: record.reason,
    policy: orAbsent(record.policy),
    audit: record.audit.length === 0 ? undefined : record.audit,
    detail: orAbsent(record.detail),
    transport: orAbsent(record.transport),
    via: orAbsent(record.via),
    source: endOf(source),
    source_address: orAbsent(source.address),
    source_id: orAbsent(source.id),
    destination: endOf(destination),
    destination_address: orAbsent(destination.address),
    destination_id: orAbsent(destination.id),
    service: orAbsent(record.service),
    peer: orAbsent(record.peer),
    tries: record.tries === 0 ? undefined : record.tries,
    ended: orAbsent(record.ended),
    duration_ms: Math.round(durationMs * 1000) / 1000,
    bytes_in: record.bytesIn,
    bytes_out: record.bytesOut,
  })
}

function endOf({ namespace, pod, workload }: ConnectionEnd): string | undefined {
  const name = pod === '' ? workload : pod
  return name === '' ? undefined : `${namespace}/${name}`
}

function orAbsent(text: string): string | undefined {
  return text === '' ? undefined : text
}
