import type { LabelSelector, Listener } from '../api/gateway.ts'
import type { AnyRoute } from '../api/routes.ts'
import { meshPort } from './options.ts'

const gatewayGroup = 'gateway.networking.k8s.io'
const routeKinds: readonly string[] = ['HTTPRoute', 'GRPCRoute', 'TLSRoute', 'TCPRoute'] satisfies AnyRoute['kind'][]

/** A listener of a Gateway of our class. */
export interface ListenerInfo {
  readonly listener: Listener
  /** Why it can not be used; undefined if it can. */
  readonly refusal: { readonly reason: string; readonly message: string; readonly conflict: boolean } | undefined
  /** Kinds of routes that may attach. */
  readonly supportedKinds: readonly { readonly group: string; readonly kind: string }[]
  /** Kinds in `allowedRoutes` that this mesh does not serve. */
  readonly unknownKinds: readonly string[]
}

/**
 * Judges one listener: HBONE on the mesh port, and only one of them.
 * @param before the listeners that stand before it
 */
export function readListener(listener: Listener, before: readonly ListenerInfo[]): ListenerInfo {
  const wanted = listener.allowedRoutes?.kinds ?? []
  const isKnown = ({ group, kind }: { readonly group?: string | undefined; readonly kind: string }): boolean =>
    (group ?? gatewayGroup) === gatewayGroup && routeKinds.includes(kind)
  const kinds = wanted.length === 0 ? routeKinds : wanted.filter(isKnown).map(({ kind }) => kind)
  return {
    listener,
    refusal: refusalOf(listener, before),
    supportedKinds: kinds.map((kind) => ({ group: gatewayGroup, kind })),
    unknownKinds: wanted.filter((each) => !isKnown(each)).map(({ kind }) => kind),
  }
}

/**
 * Whether a listener lets a route in.
 * @param from namespace of the Gateway
 * @param labels of the route's namespace
 * Source: AllowedRoutes; the default is the Gateway's own namespace and every kind that fits the protocol.
 */
export function allows(
  { listener, supportedKinds }: ListenerInfo,
  from: string,
  route: { readonly kind: string; readonly namespace: string; readonly labels: Readonly<Record<string, string>> },
): boolean {
  if (!supportedKinds.some(({ kind }) => kind === route.kind)) return false
  const namespaces = listener.allowedRoutes?.namespaces
  switch (namespaces?.from ?? 'Same') {
    case 'All':
      return true
    case 'Same':
      return route.namespace === from
    case 'Selector':
      return namespaces?.selector !== undefined && matchesSelector(namespaces.selector, route.labels)
    case 'None':
      return false
  }
}

/** Whether labels fit a selector; an operator that nobody knows fits nothing. Source: metav1.LabelSelector. */
export function matchesSelector(selector: LabelSelector, labels: Readonly<Record<string, string>>): boolean {
  return (
    Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value) &&
    (selector.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
      const value = Object.hasOwn(labels, key) ? labels[key] : undefined
      if (operator === 'Exists') return value !== undefined
      if (operator === 'DoesNotExist') return value === undefined
      if (operator === 'In') return value !== undefined && values.includes(value)
      if (operator === 'NotIn') return value === undefined || !values.includes(value)
      return false
    })
  )
}

function refusalOf({ protocol, port }: Listener, before: readonly ListenerInfo[]): ListenerInfo['refusal'] {
  if (protocol !== 'HBONE') {
    const message = `Protocol ${protocol} is not served here: a waypoint's listener has protocol HBONE`
    return { reason: 'UnsupportedProtocol', message, conflict: false }
  }
  if (port !== meshPort) {
    const message = `Port ${port} is not served here: a waypoint's listener has port ${meshPort}`
    return { reason: 'PortUnavailable', message, conflict: false }
  }
  const first = before.find(({ refusal }) => refusal === undefined)
  if (first === undefined) return undefined
  return { reason: 'HostnameConflict', message: `Listener ${first.listener.name} already has port ${meshPort}`, conflict: true }
}
