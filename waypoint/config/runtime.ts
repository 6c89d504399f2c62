import type { Endpoint, PortProtocol, RouteTableEntry, ServiceEntry, ServicePort } from '../../src/model/entries.ts'
import type { BackendTarget } from '../../src/model/route.ts'
import type { Snapshot } from '../../src/model/snapshot.ts'
import type { Speakers } from '../../src/policy/speaker.ts'
import type { ConnectionTable, RequestTable } from '../compiled.ts'
import type { CompiledGuard } from '../policy/guard.ts'

/** A route table as it runs, with the entry it was made from. */
export type CompiledTable =
  | { readonly kind: 'request'; readonly entry: RouteTableEntry; readonly protocol: 'http' | 'grpc'; readonly table: RequestTable }
  | { readonly kind: 'connection'; readonly entry: RouteTableEntry; readonly protocol: 'tls' | 'tcp'; readonly table: ConnectionTable }

/** An endpoint as this waypoint reaches it. */
export interface RoutedEndpoint extends Endpoint {
  /** It is the waypoint of another namespace, which judges what is sent there: the authority of the Service. */
  readonly via?: string
  /** Whoever is there judges by the original client: connections are not shared among clients. */
  readonly perClient?: true
}

/** The endpoints of one Service port. The same object as before a reload if nothing of it changed. */
export interface EndpointSet {
  readonly namespace: string
  readonly name: string
  readonly port: number
  /** What the Service port says that its endpoints speak. */
  readonly protocol: PortProtocol
  readonly endpoints: readonly RoutedEndpoint[]
  /** Why nothing may be sent there; see `ServiceEntry.closed`. */
  readonly closed: string | undefined
}

/** One Service port as a destination. */
export interface CompiledService {
  readonly entry: ServiceEntry
  readonly port: ServicePort
  /** The Service port as a backend: where traffic goes if no route is attached. */
  readonly self: Extract<BackendTarget, { readonly kind: 'service' }>
  /** Routes of the Service's own namespace, if that is ours. */
  readonly producer: CompiledTable | undefined
  /** Routes of our namespace for another namespace's Service. */
  readonly consumer: CompiledTable | undefined
  /** What policies say; undefined: nothing. */
  readonly guard: CompiledGuard | undefined
  /** Every `host:port` by which it is recognised. */
  readonly authorities: readonly string[]
}

/** A Snapshot as one waypoint runs it. Swapped as a whole; requests in flight keep the one they began with. */
export interface RuntimeConfig {
  /** Counts from 1. */
  readonly version: number
  readonly snapshot: Snapshot
  /** Namespace of the waypoint. */
  readonly namespace: string
  /** By original destination: see `destinationKey`. */
  readonly destinations: ReadonlyMap<string, CompiledService>
  /** By entry key. */
  readonly tables: ReadonlyMap<string, CompiledTable>
  /** By `namespace/name:port`. */
  readonly endpoints: ReadonlyMap<string, EndpointSet>
  /** By entry key of the Service, for the next compilation. */
  readonly services: ReadonlyMap<string, readonly CompiledService[]>
  /** Endpoints of a backend; undefined if there is no such Service port. Found by string once, then by the target itself. */
  readonly endpointsOf: (target: Extract<BackendTarget, { readonly kind: 'service' }>) => EndpointSet | undefined
  /** What guards a backend of this namespace; undefined: nothing, or others do. Found by string once, then by the target itself. */
  readonly guardOf: (target: Extract<BackendTarget, { readonly kind: 'service' }>) => CompiledGuard | undefined
  /** Who may speak for clients of its own. */
  readonly speakers: Speakers
}
