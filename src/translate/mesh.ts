import type { ReferenceGrant } from '../api/gateway.ts'
import type { NamespacedName } from '../model/refs.ts'
import type { ServiceInfo } from './services.ts'
import type { GatewayInfo } from './waypoints.ts'

/** What routes are judged against. The same question has the same object as its answer while that means the same. */
export type Mesh = {
  readonly service: (key: NamespacedName) => ServiceInfo | undefined
  /** Services of a namespace that can be parents of routes, in name order. */
  readonly parentServices: (namespace: string) => readonly ServiceInfo[]
  /** A Gateway of our class. */
  readonly gateway: (key: NamespacedName) => GatewayInfo | undefined
  /** The Gateway that a namespace's label asks for and that is not there yet. */
  readonly implicitGateway: (namespace: string) => NamespacedName | undefined
  /** As a Namespace has them; undefined if the object is not there. */
  readonly labels: (namespace: string) => Readonly<Record<string, string>> | undefined
  /** Those that lie in a namespace. */
  readonly grants: (namespace: string) => readonly ReferenceGrant[]
}
