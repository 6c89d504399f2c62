import { refOf } from '../api/resources.ts'
import type { AnyRoute, ParentReference } from '../api/routes.ts'
import { namespacedName, type NamespacedName } from '../model/refs.ts'
import type { Warning } from '../model/status.ts'
import { namespaceLabels } from './labels.ts'
import { allows } from './listeners.ts'
import { perObject } from './memo.ts'
import type { Mesh } from './mesh.ts'
import { meshPort } from './options.ts'
import type { PortInfo, ServiceInfo } from './services.ts'

const gatewayGroup = 'gateway.networking.k8s.io'

/** A Service port that a route applies to. */
export interface Target {
  readonly service: ServiceInfo
  readonly port: PortInfo
}

/** What becomes of one parentRef of ours. */
export type Attachment =
  | { readonly ref: ParentReference; readonly refusal: { readonly reason: string; readonly message: string } }
  | {
      readonly ref: ParentReference
      readonly refusal: undefined
      readonly level: 'producer' | 'consumer'
      readonly targets: readonly Target[]
      /** The parent Gateway and its listener, if that is what the parentRef names; an implicit Gateway has no listener. */
      readonly gateway: { readonly key: NamespacedName; readonly listener: string | undefined } | undefined
      /** What the route now applies to, in words. */
      readonly scope: string
    }

/** Judges the parentRefs of a route in their order; those of other controllers are left out, equal ones count once. */
export function attach(
  mesh: Mesh,
  route: AnyRoute,
): { readonly attachments: readonly Attachment[]; readonly warnings: readonly Warning[] } {
  const attachments: Attachment[] = []
  const warnings: Warning[] = []
  const seen = new Set<string>()
  for (const [index, ref] of (route.spec.parentRefs ?? []).entries()) {
    const group = ref.group ?? gatewayGroup
    const kind = ref.kind ?? 'Gateway'
    if (kind === 'Service' && group === gatewayGroup) {
      warnings.push({
        ref: refOf(route),
        field: `spec.parentRefs[${index}]`,
        message: `group ${gatewayGroup} has no kind Service, so this parentRef names nothing`,
        advice: 'write `group: ""`, the group of Service; without it the API fills in its own',
      })
    }
    const attachment =
      kind === 'Service' && (group === '' || group === 'core') ? toService(mesh, route, ref)
      : kind === 'Gateway' && group === gatewayGroup ? toGateway(mesh, route, ref)
      : undefined
    const identity = JSON.stringify([group, kind, ref.namespace ?? route.metadata.namespace, ref.name, ref.sectionName, ref.port])
    if (attachment === undefined || seen.has(identity)) continue
    seen.add(identity)
    attachments.push(attachment)
  }
  return { attachments, warnings }
}

function toService(mesh: Mesh, route: AnyRoute, ref: ParentReference): Attachment {
  const routeNamespace = route.metadata.namespace ?? ''
  const namespace = ref.namespace ?? routeNamespace
  const key = namespacedName(namespace, ref.name)
  const service = mesh.service(key)
  if (service === undefined) return refuse(ref, 'NoMatchingParent', `Service ${key} does not exist`)
  if (service.type === 'headless') {
    return refuse(ref, 'NoMatchingParent', `Service ${key} is headless: its traffic goes straight to pod addresses, where no routes apply`)
  }
  if (service.type === 'external') {
    return refuse(ref, 'NoMatchingParent', `Service ${key} is of type ExternalName: it has no address to recognise traffic by`)
  }
  if (service.type === 'waypoint') {
    return refuse(ref, 'NoMatchingParent', `Service ${key} was made for the waypoint of its name: it is no destination in the mesh`)
  }

  const ports = service.ports.filter(
    (port) => (ref.port === undefined || port.port === ref.port) && (ref.sectionName === undefined || port.name === ref.sectionName),
  )
  if (ports.length === 0) return refuse(ref, 'NoMatchingParent', noSuchPort(service, ref))
  const level = namespace === routeNamespace ? 'producer' : 'consumer'
  return {
    ref,
    refusal: undefined,
    level,
    targets: ports.map((port) => ({ service, port })),
    gateway: undefined,
    scope: `Service ${key} ${list('port', ports.map(({ port }) => port))} for ${callers(level, routeNamespace)}`,
  }
}

/** A Gateway of class `waypoint` stands for every Service of its namespace; any other Gateway is not ours. */
function toGateway(mesh: Mesh, route: AnyRoute, ref: ParentReference): Attachment | undefined {
  const routeNamespace = route.metadata.namespace ?? ''
  const namespace = ref.namespace ?? routeNamespace
  const key = namespacedName(namespace, ref.name)
  const info = mesh.gateway(key)
  const implicit = mesh.implicitGateway(namespace) === key
  if (info === undefined && !implicit) return undefined
  if (info?.refusal !== undefined && !implicit) {
    return refuse(ref, 'NoMatchingParent', `Gateway ${key} is not the active waypoint of its namespace: ${info.refusal.message}`)
  }

  let listener: string | undefined
  if (info === undefined || implicit) {
    // The Gateway that the controller will make has one listener, open to its own namespace.
    if (routeNamespace !== namespace) return refuse(ref, 'NotAllowedByListeners', `Gateway ${key} admits routes of its own namespace only`)
    if ((ref.sectionName ?? 'mesh') !== 'mesh' || (ref.port ?? meshPort) !== meshPort) {
      return refuse(ref, 'NoMatchingParent', `Gateway ${key} has one listener, mesh, on port ${meshPort}`)
    }
  } else {
    const named = info.listeners.filter(
      (each) =>
        each.refusal === undefined &&
        (ref.sectionName === undefined || each.listener.name === ref.sectionName) &&
        (ref.port === undefined || each.listener.port === ref.port),
    )
    if (named.length === 0) return refuse(ref, 'NoMatchingParent', `Gateway ${key} has no usable listener with this name and port`)
    const labels = namespaceLabels(routeNamespace, mesh.labels(routeNamespace))
    const open = named.find((each) => allows(each, namespace, { kind: route.kind, namespace: routeNamespace, labels }))
    if (open === undefined) {
      const what = `routes of kind ${route.kind} from namespace ${routeNamespace}`
      return refuse(ref, 'NotAllowedByListeners', `No listener of Gateway ${key} allows ${what}: see its allowedRoutes`)
    }
    listener = open.listener.name
  }
  const level = namespace === routeNamespace ? 'producer' : 'consumer'
  return {
    ref,
    refusal: undefined,
    level,
    targets: targetsOfNamespace(mesh, namespace, route.kind),
    gateway: { key, listener },
    scope: `every Service of namespace ${namespace} for ${callers(level, routeNamespace)}`,
  }
}

/**
 * An HTTPRoute or GRPCRoute for a whole namespace leaves out ports that are declared to speak something else: one route for the web
 * front must not make HTTP of the database beside it. A route that names the Service itself may.
 */
function targetsOfNamespace(mesh: Mesh, namespace: string, kind: AnyRoute['kind']): readonly Target[] {
  return (kind === 'HTTPRoute' || kind === 'GRPCRoute' ? requestTargets : allTargets)(mesh.parentServices(namespace))
}

// One list for all routes of a namespace: hundreds of routes for a thousand Services must not cost a list for each.
const allTargets = perObject((services: readonly ServiceInfo[]): readonly Target[] =>
  services.flatMap((service) => service.ports.map((port) => ({ service, port }))))
const requestTargets = perObject((services: readonly ServiceInfo[]): readonly Target[] =>
  allTargets(services).filter(({ port: { declared } }) => declared !== 'tcp' && declared !== 'tls'))

function refuse(ref: ParentReference, reason: string, message: string): Attachment {
  return { ref, refusal: { reason, message } }
}

function noSuchPort(service: ServiceInfo, ref: ParentReference): string {
  if (ref.port !== undefined && service.otherPorts.has(ref.port)) {
    return `Port ${ref.port} of Service ${service.key} is not TCP, and the mesh carries TCP only`
  }
  const wanted = [
    ...(ref.port === undefined ? [] : [`${ref.port}`]),
    ...(ref.sectionName === undefined ? [] : [`named ${ref.sectionName}`]),
  ].join(' ')
  const has = service.ports.map(({ name, port }) => (name === '' ? `${port}` : `${port} (${name})`)).join(', ')
  if (wanted === '') return `Service ${service.key} has no TCP port`
  return `Service ${service.key} has no port ${wanted}; it has ${has === '' ? 'no TCP port' : has}`
}

function callers(level: 'producer' | 'consumer', routeNamespace: string): string {
  return level === 'producer' ? 'every caller' : `callers in namespace ${routeNamespace}`
}

/** `port 80`, `ports 80, 81`. */
export function list(noun: string, items: readonly (string | number)[]): string {
  return `${noun}${items.length === 1 ? '' : 's'} ${items.join(', ')}`
}
