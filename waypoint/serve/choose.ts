import type { BackendTarget } from '../../src/model/route.ts'
import type { Session, SessionKeeper } from '../backends/persistence.ts'
import { pickEndpoint } from '../backends/balance.ts'
import type { Host, UpstreamProtocol } from '../backends/pools.ts'
import type { CompiledBackend, CompiledRule } from '../compiled.ts'
import type { EndpointSet } from '../config/runtime.ts'
import type { HeaderList } from '../exchange.ts'
import type { Engine } from './engine.ts'

/** A Service port as a backend. */
export type ServiceTarget = Extract<BackendTarget, { readonly kind: 'service' }>

const load = (host: Host): number => host.load()
const isEjected = (host: Host): boolean => host.isEjected()

/**
 * The present endpoints of a backend: asked anew for each try, so that a retry after a reload goes where endpoints are now.
 */
export function endpointsOf(engine: Engine, target: ServiceTarget): EndpointSet | undefined {
  return engine.config()?.endpointsOf(target)
}

/** Picks an endpoint that was not tried, if there is one. */
export function pickHost(engine: Engine, set: EndpointSet, tried: ReadonlySet<Host>): Host | undefined {
  return pickEndpoint(engine.hosts.candidates(set), load, { random: engine.random, isEjected }, tried)
}

/** Whether a further try would find an endpoint that was not tried. */
export function hasOtherHost(engine: Engine, set: EndpointSet, tried: ReadonlySet<Host>): boolean {
  const { ready, draining } = engine.hosts.candidates(set)
  return (ready.length > 0 ? ready : draining).some((host) => !tried.has(host))
}

/** How a request belongs to a session, of a rule that asks for sessions. */
export interface KeptSession {
  readonly keeper: SessionKeeper
  /** Undefined: a new one begins. */
  readonly session: Session | undefined
  /** Where it belongs, if that still serves. */
  readonly backend: CompiledBackend | undefined
  readonly host: Host | undefined
}

/** The session that the headers of a request name; undefined if the rule keeps none. */
export function keptSession(engine: Engine, rule: CompiledRule, headers: HeaderList): KeptSession | undefined {
  const keeper = engine.sessions(rule)
  if (keeper === undefined) return undefined
  const session = keeper.find(headers, engine.clock.now())
  if (session !== undefined) {
    for (const backend of rule.backends) {
      if (backend.weight === 0 || backend.target.kind !== 'service') continue
      const set = endpointsOf(engine, backend.target)
      const host = set && engine.hosts.candidates(set).ready.find((each) => keeper.idOf(each.address) === session.endpointId)
      if (host !== undefined) return { keeper, session, backend, host }
    }
  }
  return { keeper, session, backend: undefined, host: undefined }
}

/** What is spoken with an endpoint: what its Service port says; else what the client speaks. */
export function upstreamProtocol(set: EndpointSet, version: 'http1' | 'http2', grpc: boolean, upgrade: boolean): UpstreamProtocol {
  if (upgrade) return 'http1'
  if (grpc || set.protocol === 'http2') return 'http2'
  return set.protocol === 'http' ? 'http1' : version
}

/** Whether two backends are the same Service port. */
export function isSame(a: ServiceTarget, b: ServiceTarget | undefined): boolean {
  return a === b || (a.name === b?.name && a.namespace === b.namespace && a.port === b.port)
}
