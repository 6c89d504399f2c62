import { namespaceOf } from '../api/meta.ts'
import { refOf } from '../api/resources.ts'
import type { AnyRoute } from '../api/routes.ts'
import { messageOf } from '../kit/message.ts'
import { routesKey, type EntryKey } from '../model/entries.ts'
import type { GrpcRule, HttpRule, TcpRule, TlsRule } from '../model/route.ts'
import type { Warning } from '../model/status.ts'
import { attach, type Attachment, type Target } from './attach.ts'
import { compileGrpcRoute } from './grpc.ts'
import { compileHttpRoute } from './http.ts'
import { compileTcpRoute, compileTlsRoute } from './l4.ts'
import { createReading, perObject } from './memo.ts'
import type { Mesh } from './mesh.ts'
import type { CompiledRoute, OwnPorts } from './rules.ts'
import { faultOf } from './screen.ts'

type AnyRule = HttpRule | GrpcRule | TlsRule | TcpRule

/** A route of any kind, read and compiled. */
export interface JudgedRoute {
  readonly route: AnyRoute
  readonly attachments: readonly Attachment[]
  readonly compiled: CompiledRoute<AnyRule>
  /** Why it counts nowhere and captures nothing, in words; undefined: it counts. */
  readonly rejection: string | undefined
  /** Where it wants to stand. */
  readonly placements: readonly Placement[]
  readonly warnings: readonly Warning[]
}

/** One Service port to which a route is attached. */
export interface Placement {
  /** Of the table. */
  readonly key: EntryKey
  readonly level: 'producer' | 'consumer'
  readonly target: Target
}

const nothing: CompiledRoute<AnyRule> = { rules: [], dropped: [], problems: [] }

/** The key of the table that a route would stand in on a target. */
export function tableKey(route: AnyRoute, level: 'producer' | 'consumer', { service, port }: Target): EntryKey {
  return level === 'producer' ? port.producerKey : routesKey(level, namespaceOf(route), service, port.port)
}

/** What a route's rules are made from. */
type CompileView = Mesh & { readonly ownPort: (port: string) => boolean }

/** Makes a reader of routes. Rules are compiled again only if something changed that they refer to, wherever the route is attached. */
export function createJudge(): (route: AnyRoute, mesh: Mesh) => JudgedRoute {
  const compileAgain = createReading((route: AnyRoute, view: CompileView) => compile(view, route, { has: view.ownPort }))
  return (route, mesh) => judgeRoute(route, mesh, (ownPorts) => compileAgain(route, { ...mesh, ownPort: (port) => ownPorts.has(port) }))
}

/** Reads a route: where it is attached, and its rules. Others' routes cost nothing: they are not compiled. */
function judgeRoute(route: AnyRoute, mesh: Mesh, rulesFor: (ownPorts: OwnPorts) => CompiledRoute<AnyRule>): JudgedRoute {
  const { attachments, warnings } = attach(mesh, route)
  const judged = { route, attachments, warnings: [...warnings, ...hostnameWarnings(route, attachments)] }
  const refused = (rejection: string): JudgedRoute => ({ ...judged, compiled: nothing, rejection, placements: [] })
  if (attachments.length === 0) return { ...judged, compiled: nothing, rejection: undefined, placements: [] }
  const fault = faultOf(route)
  if (fault !== undefined) return refused(`The route can not be read: ${fault}`)
  try {
    const compiled = rulesFor(portsOf(attachments))
    if (compiled.rules.length === 0 && compiled.dropped.length > 0) return { ...refused(''), compiled }
    return { ...judged, compiled, rejection: undefined, placements: placementsOf(route, attachments) }
  } catch (error) {
    return refused(`The route can not be read, by a defect of the mesh: ${messageOf(error)}`)
  }
}

function compile(mesh: Mesh, route: AnyRoute, ownPorts: OwnPorts): CompiledRoute<AnyRule> {
  switch (route.kind) {
    case 'HTTPRoute':
      return compileHttpRoute(mesh, route, ownPorts)
    case 'GRPCRoute':
      return compileGrpcRoute(mesh, route, ownPorts)
    case 'TLSRoute':
      return compileTlsRoute(mesh, route, ownPorts)
    case 'TCPRoute':
      return compileTcpRoute(mesh, route, ownPorts)
  }
}

function placementsOf(route: AnyRoute, attachments: readonly Attachment[]): readonly Placement[] {
  const accepted = attachments.filter((attachment) => attachment.refusal === undefined)
  const [first, ...others] = accepted
  if (first !== undefined && others.length === 0 && first.level === 'producer') return producerPlacements(first.targets)
  const found = new Map<EntryKey, Placement>()
  for (const { level, targets } of accepted) {
    for (const target of targets) {
      const key = tableKey(route, level, target)
      // Two parentRefs of one route may lead to one port.
      if (!found.has(key)) found.set(key, { key, level, target })
    }
  }
  return [...found.values()]
}

/** The same for all routes that are attached to the same list. */
const producerPlacements = perObject((targets: readonly Target[]): readonly Placement[] => {
  const placements = targets.map((target): Placement => ({ key: target.port.producerKey, level: 'producer', target }))
  return [...new Map(placements.map((each) => [each.key, each])).values()]
})

function portsOf(attachments: readonly Attachment[]): OwnPorts {
  const lists = attachments.filter((attachment) => attachment.refusal === undefined).map(({ targets }) => portsOfTargets(targets))
  return { has: (port) => lists.some((ports) => ports.has(port)) }
}

const portsOfTargets = perObject((targets: readonly Target[]): ReadonlySet<string> => new Set(targets.map(({ service, port }) => `${service.key}:${port.port}`)))

/** In a mesh the original destination says which routes apply, never the Host header. A TLSRoute's host names are its matches. */
function hostnameWarnings(route: AnyRoute, attachments: readonly Attachment[]): readonly Warning[] {
  if (attachments.length === 0 || (route.kind !== 'HTTPRoute' && route.kind !== 'GRPCRoute')) return []
  if ((route.spec.hostnames ?? []).length === 0) return []
  return [
    {
      ref: refOf(route),
      field: 'spec.hostnames',
      message: 'hostnames have no effect on a mesh route: requests of every Host are matched',
      advice: 'remove them; to tell hosts apart, match on the header Host',
    },
  ]
}
