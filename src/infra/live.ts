import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type { KubeObject } from '../kube/object.ts'
import { gatewayNameLabel, managedBy, managedByLabel } from '../model/install.ts'

/** Annotation with a hash of what was last applied: it shows what is no longer wanted, which no comparison of values can. */
export const appliedAnnotation = 'waymark.dev/applied'

/** Fields by which the API tells the items of its lists apart. Source: Kubernetes API, `x-kubernetes-list-map-keys`. */
const listKeys = ['uid', 'mountPath', 'topologyKey', 'name'] as const

/** `object` with the hash of itself among its annotations. */
export function stamped(object: KubeObject): KubeObject {
  const hash = createHash('sha256').update(JSON.stringify(object)).digest('base64url').slice(0, 22)
  return { ...object, metadata: { ...object.metadata, annotations: { ...object.metadata.annotations, [appliedAnnotation]: hash } } }
}

/** Whether every field of `wanted` has its value in `live`; what else is there may be anybody's. */
export function covers(live: unknown, wanted: unknown): boolean {
  return isDeepStrictEqual(project(live, wanted), wanted)
}

/** What `live` has in the places where `wanted` has something; an equal answer later means that nobody touched them in between. */
export function project(live: unknown, wanted: unknown): unknown {
  if (Array.isArray(wanted)) return Array.isArray(live) ? projectList(live, wanted) : live
  if (!isRecord(wanted) || !isRecord(live)) return live
  return Object.fromEntries(Object.entries(wanted).flatMap(([name, value]) => (Object.hasOwn(live, name) ? [[name, project(live[name], value)]] : [])))
}

function projectList(live: readonly unknown[], wanted: readonly unknown[]): unknown {
  const first: unknown = wanted[0]
  const key = isRecord(first) ? listKeys.find((each) => Object.hasOwn(first, each)) : undefined
  if (key === undefined) return live.length === wanted.length ? live.map((item, at) => project(item, wanted[at])) : live
  return wanted.flatMap((item) => {
    const found = live.find((each) => isRecord(each) && isRecord(item) && each[key] === item[key])
    return found === undefined ? [] : [project(found, item)]
  })
}

/** The Gateway for which an object was made; undefined if it is not one of ours. */
export function gatewayOf({ metadata }: KubeObject): string | undefined {
  return metadata.labels?.[managedByLabel] === managedBy ? metadata.labels[gatewayNameLabel] : undefined
}

/**
 * Why an object that has the name of one that is wanted is not ours to change; undefined: it is ours.
 * One that belonged to an earlier Gateway of the same name is.
 */
export function foreign(live: KubeObject, gateway: string): string | undefined {
  const what = `${live.kind} ${live.metadata.namespace ?? ''}/${live.metadata.name}`
  const advice = 'it is left alone; delete or rename it, or give the Gateway another name'
  const owner = (live.metadata.ownerReferences ?? []).find(({ controller }) => controller === true)
  const isGateway = owner?.kind === 'Gateway' && owner.apiVersion.startsWith('gateway.networking.k8s.io/')
  if (owner !== undefined && (!isGateway || owner.name !== gateway)) {
    const kind = owner.kind === 'Gateway' && !isGateway ? `${owner.kind}.${owner.apiVersion}` : owner.kind
    return `${what} belongs to ${kind} ${owner.name} and has the name that this waypoint needs; ${advice}`
  }
  if (gatewayOf(live) === gateway) return undefined
  // Somebody took our labels off. Without our mark it is what another implementation made for the Gateway, while that one was of its class.
  if (owner !== undefined && live.metadata.annotations?.[appliedAnnotation] !== undefined) return undefined
  return `${what} was not made for this Gateway by this mesh and has the name that its waypoint needs; ${advice}`
}

/** Whether nobody but us has set `spec.replicas` of a Deployment: then to leave it out would set it to its default. */
export function ownsReplicas(live: KubeObject, fieldManager: string): boolean {
  const entries = Array.isArray(live.metadata['managedFields']) ? (live.metadata['managedFields'] as readonly unknown[]) : []
  const owners = entries.filter((entry) => {
    const fields = isRecord(entry) ? entry['fieldsV1'] : undefined
    const spec = isRecord(fields) ? fields['f:spec'] : undefined
    return isRecord(spec) && Object.hasOwn(spec, 'f:replicas')
  })
  return owners.every((entry) => isRecord(entry) && entry['manager'] === fieldManager)
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
