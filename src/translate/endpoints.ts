import { serviceNameLabel, type EndpointSlice, type EndpointSpec, type Pod } from '../api/core.ts'
import { refOf } from '../api/resources.ts'
import type { Endpoint, EndpointsEntry } from '../model/entries.ts'
import { namespacedName, type NamespacedName } from '../model/refs.ts'
import type { Warning } from '../model/status.ts'
import { isMember } from './labels.ts'
import type { FixedOptions } from './options.ts'
import { compareText } from './order.ts'
import { isDestination, type PortInfo, type ServiceInfo } from './services.ts'
import { isOver, podIdentity } from './workloads.ts'

/** What the endpoints of a Service are made from, besides the Service. */
export type EndpointsView = {
  /** By `namespace/name` of the Service; in name order. */
  readonly slices: (service: NamespacedName) => readonly EndpointSlice[]
  readonly pod: (key: NamespacedName) => Pod | undefined
  readonly inMesh: (namespace: string) => boolean
}

/** The Service that a slice's label names; one without the label belongs to none. */
export function serviceOfSlice({ metadata }: EndpointSlice): NamespacedName | undefined {
  const service = metadata.labels?.[serviceNameLabel]
  return service === undefined ? undefined : namespacedName(metadata.namespace ?? '', service)
}

/** The endpoints of one Service from all its slices, sorted by address and port; undefined for one that is no destination. */
export function endpointsEntry(service: ServiceInfo, view: EndpointsView, options: FixedOptions): EndpointsEntry | undefined {
  if (!isDestination(service)) return undefined
  const slices = view.slices(service.key)
  return {
    kind: 'endpoints',
    namespace: service.namespace,
    name: service.name,
    ports: service.ports.map((port) => ({ port: port.port, endpoints: endpointsOfPort(service, port, slices, view, options) })),
  }
}

/** Warns of slices that can give no endpoint, which a hand-made one with a typo would do in silence. */
export function sliceWarnings(service: ServiceInfo, slices: readonly EndpointSlice[]): Warning[] {
  const warnings: Warning[] = []
  const names = new Set(service.ports.map((port) => port.name))
  for (const slice of slices) {
    if (slice.addressType === 'FQDN') {
      warnings.push({
        ref: refOf(slice),
        field: 'addressType',
        message: 'endpoints that are host names are not used',
        advice: 'give IP addresses: addressType IPv4 or IPv6',
      })
    }
    for (const [index, port] of (slice.ports ?? []).entries()) {
      if ((port.protocol ?? 'TCP') !== 'TCP' || names.has(port.name ?? '')) continue
      warnings.push({
        ref: refOf(slice),
        field: `ports[${index}].name`,
        message: `Service ${service.key} has no TCP port named "${port.name ?? ''}", so these endpoints serve nothing`,
        advice: 'a slice\'s port has the name of the Service\'s port, not that of the container\'s',
      })
    }
  }
  return warnings
}

function endpointsOfPort(
  service: ServiceInfo,
  port: PortInfo,
  slices: readonly EndpointSlice[],
  view: EndpointsView,
  options: FixedOptions,
): readonly Endpoint[] {
  const found = new Map<string, Endpoint>()
  const publishNotReady = service.object.spec?.publishNotReadyAddresses === true
  for (const slice of slices) {
    if (slice.addressType === 'FQDN') continue
    const target = targetPortOf(slice, port)
    if (target === undefined) continue
    for (const spec of slice.endpoints ?? []) {
      const condition = conditionOf(spec, publishNotReady)
      if (condition === undefined) continue
      for (const address of spec.addresses) {
        const key = `${address.toLowerCase()} ${target}`
        // While an endpoint moves from one slice to another it stands in both: the better word counts.
        if (found.get(key)?.condition === 'ready' || (found.has(key) && condition === 'draining')) continue
        found.set(key, endpointOf(view, options, slice, spec, { address: address.toLowerCase(), port: target, condition }))
      }
    }
  }
  return [...found.values()].sort((a, b) => compareText(a.address, b.address) || a.port - b.port)
}

/** Slices name ports as the Service does; the number there is the pods' own. */
function targetPortOf(slice: EndpointSlice, port: PortInfo): number | undefined {
  const found = (slice.ports ?? []).find((each) => (each.name ?? '') === port.name && (each.protocol ?? 'TCP') === 'TCP')
  if (found === undefined) return undefined
  return found.port ?? (typeof port.targetPort === 'number' ? port.targetPort : port.port)
}

/** @returns undefined if no traffic may go there. Source: EndpointSlice conditions; what is absent reads as its docs say. */
function conditionOf(spec: EndpointSpec, publishNotReady: boolean): Endpoint['condition'] | undefined {
  const ready = spec.conditions?.ready ?? true
  const serving = spec.conditions?.serving ?? ready
  if (spec.conditions?.terminating === true) return serving || publishNotReady ? 'draining' : undefined
  return ready || publishNotReady ? 'ready' : undefined
}

function endpointOf(
  view: EndpointsView,
  options: FixedOptions,
  slice: EndpointSlice,
  spec: EndpointSpec,
  where: Pick<Endpoint, 'address' | 'port' | 'condition'>,
): Endpoint {
  const ref = spec.targetRef?.kind === 'Pod' ? spec.targetRef : undefined
  // A slice may only name pods of its own namespace: else whoever writes one could choose whose identity must answer.
  const local = ref?.namespace === undefined || ref.namespace === slice.metadata.namespace
  const pod = ref?.name === undefined || !local ? undefined : view.pod(namespacedName(slice.metadata.namespace ?? '', ref.name))
  const member = pod !== undefined && !isOver(pod) && isMember(pod, view.inMesh, options.nodeAgent)
  return {
    ...where,
    transport: member
      ? { kind: 'hbone', port: options.hbonePort, identity: podIdentity(pod, options.trustDomain) }
      : { kind: 'plain' },
    ...(ref?.name === undefined ? {} : { pod: ref.name }),
    ...(spec.nodeName === undefined ? {} : { node: spec.nodeName }),
    ...(spec.zone === undefined ? {} : { zone: spec.zone }),
    ...namesOf('forZones', spec.hints?.forZones),
    ...namesOf('forNodes', spec.hints?.forNodes),
  }
}

function namesOf<K extends 'forZones' | 'forNodes'>(key: K, hints: readonly { readonly name: string }[] | undefined): Partial<Record<K, readonly string[]>> {
  if (hints === undefined || hints.length === 0) return {}
  const named: Partial<Record<K, readonly string[]>> = {}
  named[key] = hints.map(({ name }) => name)
  return named
}
