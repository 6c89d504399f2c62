import type { RuntimeConfig } from '../../../waypoint/config/runtime.ts'
import type { Resolved } from '../../../waypoint/serve/destination.ts'
import type { PortProtocol } from '../../model/entries.ts'
import type { Identity } from '../../model/identity.ts'
import type { Snapshot } from '../../model/snapshot.ts'
import type { Explanation } from './explanation.ts'
import type { Probe } from './probe.ts'

/** What a judge of a request or a connection needs. */
export interface Case {
  /** The whole of it, of which `config` is what the waypoint has. */
  readonly snapshot: Snapshot
  readonly config: RuntimeConfig
  readonly caller: Identity
  readonly probe: Probe
  readonly resolved: Resolved
  readonly declared: PortProtocol
  /** SPIFFE id. */
  readonly waypointId: string
}

/** The part of an explanation that depends on routes. */
export type Judgement = Pick<Explanation, 'candidates' | 'backends' | 'rule' | 'policies' | 'answer'>
