import type { Endpoint } from '../../model/entries.ts'
import type { ReasonCode } from '../../model/reasons.ts'
import type { RouteLevel } from '../../telemetry/telemetry.ts'
import type { Candidate } from '../../../waypoint/compiled.ts'
import type { Probe } from './probe.ts'

/** What becomes of a request and why; also the shape of `waymark explain -o json`. */
export interface Explanation {
  /** SPIFFE id; of a pod that is not captured, words. */
  readonly caller: string
  /** Present if a pod calls. */
  readonly pod?: ExplainedCaller
  /** Which way it takes from that pod. */
  readonly way?: 'own waypoint' | 'waypoint of the Service' | 'straight' | 'outside' | 'past the mesh' | 'nowhere'
  readonly request: {
    readonly text: string
    readonly protocol: Probe['protocol']
    readonly method?: string
    readonly authority?: string
    /** In the normal form in which it is judged and forwarded. */
    readonly path?: string
    readonly query?: string
  }
  readonly destination?: {
    readonly service?: string
    readonly pod?: string
    readonly port: number
    /** What the port is declared to speak, by its routes or by the Service. */
    readonly speaks?: string
  }
  readonly waypoint?: { readonly name: string; readonly identity: string }
  /** Whose routes judge; `none`: no routes, the Service's own endpoints serve. */
  readonly level: RouteLevel
  /** Why it is this waypoint and this level. */
  readonly because: string
  /** Every rule's matches, the best rank first. */
  readonly candidates: readonly ExplainedCandidate[]
  readonly rule?: ExplainedRule
  readonly backends: readonly ExplainedBackend[]
  /** Every policy that judges it, by place; absent: none does. */
  readonly policies?: readonly ExplainedPolicy[]
  /** Present if the mesh itself answers every such request. */
  readonly answer?: ExplainedAnswer
}

/** The pod that calls. */
export interface ExplainedCaller {
  /** `namespace/name` */
  readonly name: string
  readonly node?: string
  readonly captured: boolean
  /** Why, or why not: labels and the mark that says so. */
  readonly because: string
}

export interface ExplainedCandidate {
  /** `HTTPRoute books/reviews` */
  readonly route: string
  /** Position in the route, from 0. */
  readonly rule: number
  readonly match: string
  readonly verdict: Candidate['verdict']
  readonly why: string
}

export interface ExplainedPolicy {
  /** `namespace/name` */
  readonly policy: string
  readonly action: 'allow' | 'deny' | 'audit'
  /** Who judges, in words. */
  readonly by: string
  readonly says: 'allows it' | 'denies it' | 'would deny it' | 'does not match'
  /** Position of the first rule that matches, from 0. */
  readonly rule?: number
  /** Whether it decided there. */
  readonly decides: boolean
}

/** The rule that won. */
export interface ExplainedRule {
  readonly route: string
  readonly rule: number
  readonly filters: readonly string[]
  /** What the filters made of the request. */
  readonly changes: readonly string[]
  readonly timeouts?: string
  readonly retry?: string
  readonly persistence?: string
}

export interface ExplainedBackend {
  readonly target: string
  readonly weight: number
  readonly sharePercent: number
  readonly filters: readonly string[]
  readonly changes: readonly string[]
  /** Those that would get requests now. */
  readonly endpoints: readonly Endpoint[]
  /** Present if its share is answered by the mesh itself. */
  readonly answer?: ExplainedAnswer
}

export interface ExplainedAnswer {
  /** HTTP status; undefined: the connection is cut without an answer. */
  readonly status?: number
  readonly grpcStatus?: number
  readonly reason?: ReasonCode
  readonly headers?: Readonly<Record<string, string>>
  readonly message: string
  readonly advice: string
}
