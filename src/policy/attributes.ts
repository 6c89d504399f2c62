import type { Identity } from '../model/identity.ts'

/** What is judged: a connection, or a request on it. */
export interface Attributes {
  /** The original client; undefined: it proved no identity. */
  readonly caller: Identity | undefined
  /** IP address of the original client; undefined: it is not known. */
  readonly address: string | undefined
  /** The ports that the destination goes by: the Service's and the pods' own. */
  readonly ports: readonly number[]
  /** Undefined: what is judged is no request that can be read. */
  readonly request: RequestAttributes | undefined
  /** Whether the waypoint of the destination's namespace lets it pass: then it has judged what is missing here. */
  readonly judgedByWaypoint?: boolean
}

/** A request as it is forwarded. */
export interface RequestAttributes {
  readonly method: string
  /** Normal form, without the query. */
  readonly path: string
  /** Lower case, with a port or without. */
  readonly authority: string
  /** Name, value, name, value, …; names in lower case. */
  readonly headers: readonly string[]
  /** Whether it says by its content-type that it is a call of gRPC. */
  readonly grpc: boolean
}

/**
 * How sure a match must be. What leads to a permission must hold however a request can be read (`surely`), what leads to a denial
 * needs to hold for one reading only (`possibly`).
 */
export type Certainty = 'surely' | 'possibly'

/** The other one: `not` turns every doubt around. */
export function opposite(certainty: Certainty): Certainty {
  return certainty === 'surely' ? 'possibly' : 'surely'
}
