import { isMap, own } from '../../api/field.ts'
import type { ResourceKind } from '../../api/resources.ts'
import type { KubeObject } from '../../kube/object.ts'
import { capturedAnnotation } from '../../model/install.ts'

type Json = Readonly<Record<string, unknown>>

/** Makes of an object, as it came, what is kept of it. May share parts with `value`, never changes it. */
export type Trim = (value: Json, apiVersion: string, kind: string) => KubeObject

/** Half of an object in the cluster is who wrote which of its fields. */
const noise = ['managedFields']
/** The whole object once more, as `kubectl apply` leaves it. */
const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration'

/** All of an object but `managedFields`. */
export const asObject: Trim = (value, apiVersion, kind) => build({ ...value, apiVersion, kind, metadata: without(own(value, 'metadata'), noise) })

/** All of an object but `managedFields` and what `kubectl apply` left: for kinds of which whoever reads them may need everything. */
const whole: Trim = (value, apiVersion, kind) => {
  const metadata = without(own(value, 'metadata'), noise)
  return build({ ...value, apiVersion, kind, metadata: isMap(metadata) ? withoutLastApplied(metadata) : metadata })
}

/** `value` with everything in it frozen. @throws RangeError if it is nested so deeply that the stack does not suffice */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  for (const child of Object.values(value)) deepFreeze(child)
  return Object.freeze(value)
}

/**
 * What is kept of the objects of a kind: of Kubernetes' own kinds the fields that `src/api/core.ts` declares, since there may be ten thousands
 * of them, of which the greater part is never read. They lose their `resourceVersion` too, and so a change of what is not kept is none.
 */
export function trimOf(kind: ResourceKind): Trim {
  const share = createShare()
  switch (kind) {
    case 'Pod':
      return (value, apiVersion) => build({ apiVersion, kind, metadata: brief(value, share), ...defined({ spec: podSpec(value, share), status: podStatus(value) }) })
    case 'EndpointSlice':
      return (value, apiVersion) => build({ apiVersion, kind, metadata: brief(value, share), ...pick(value, ['addressType']), ...sliceOf(value, share) })
    case 'Service':
      return (value, apiVersion) => build({ apiVersion, kind, metadata: named(value), ...defined({ spec: pick(own(value, 'spec'), serviceFields) }) })
    case 'Namespace':
      return (value, apiVersion) => build({ apiVersion, kind, metadata: named(value) })
    default:
      return whole
  }
}

const serviceFields = [
  ...['type', 'clusterIP', 'clusterIPs', 'externalName', 'ports', 'selector'],
  ...['publishNotReadyAddresses', 'ipFamilies', 'ipFamilyPolicy'],
  ...['sessionAffinity', 'sessionAffinityConfig', 'internalTrafficPolicy'],
]

/** Metadata of what there are many of: of its annotations only ours are read. */
function brief(value: Json, share: Share): Json {
  const metadata = own(value, 'metadata')
  return {
    ...pick(metadata, ['name', 'namespace', 'uid', 'creationTimestamp', 'deletionTimestamp']),
    ...defined({
      labels: isMap(metadata) ? share(own(metadata, 'labels')) : undefined,
      annotations: isMap(metadata) ? share(ownAnnotations(own(metadata, 'annotations'))) : undefined,
    }),
  }
}

function ownAnnotations(annotations: unknown): Json | undefined {
  return isMap(annotations) && Object.hasOwn(annotations, capturedAnnotation) ? pick(annotations, [capturedAnnotation]) : undefined
}

function named(value: Json): Json {
  const fields = ['name', 'namespace', 'uid', 'generation', 'creationTimestamp', 'deletionTimestamp', 'labels', 'annotations']
  return withoutLastApplied(pick(own(value, 'metadata'), fields) ?? {})
}

function podSpec(value: Json, share: Share): Json | undefined {
  const spec = own(value, 'spec')
  if (!isMap(spec)) return undefined
  const containers = listOf(own(spec, 'containers'), (each) => ({
    ...pick(each, ['name']),
    ...defined({ ports: listOf(own(each, 'ports'), (port) => pick(port, ['name', 'containerPort', 'protocol'])) }),
  }))
  // What all pods of a Deployment have in common is kept once.
  const common = share({ ...pick(spec, ['serviceAccountName', 'hostNetwork']), ...defined({ containers }) })
  return { ...(common as Json), ...defined({ nodeName: share(own(spec, 'nodeName')) }) }
}

function podStatus(value: Json): Json | undefined {
  const status = own(value, 'status')
  if (!isMap(status)) return undefined
  const ready = listOf(own(status, 'conditions'), (each) => (own(each, 'type') === 'Ready' ? pick(each, ['type', 'status']) : undefined))
  return { ...pick(status, ['phase', 'podIP', 'podIPs']), ...defined({ conditions: ready }) }
}

function sliceOf(value: Json, share: Share): Json {
  const endpoints = listOf(own(value, 'endpoints'), (each) => ({
    ...pick(each, ['addresses', 'hostname']),
    ...defined({
      conditions: share(pick(own(each, 'conditions'), ['ready', 'serving', 'terminating'])),
      nodeName: share(own(each, 'nodeName')),
      zone: share(own(each, 'zone')),
      hints: share(pick(own(each, 'hints'), ['forZones', 'forNodes'])),
      targetRef: pick(own(each, 'targetRef'), ['kind', 'namespace', 'name', 'uid']),
    }),
  }))
  const ports = listOf(own(value, 'ports'), (port) => pick(port, ['name', 'port', 'protocol', 'appProtocol']))
  return defined({ endpoints, ports: share(ports) })
}

/** Gives for a value an equal one that was seen before, if there is one. */
type Share = (value: unknown) => unknown

const maxShared = 10_000

function createShare(): Share {
  const seen = new Map<string, unknown>()
  return (value) => {
    if (value === undefined) return undefined
    const text = JSON.stringify(value)
    const known = seen.get(text)
    if (known !== undefined) return known
    if (seen.size >= maxShared) seen.clear()
    seen.set(text, value)
    return value
  }
}

/** The fields of `names` that a map has and that are not null, as Go writes what is empty; undefined if it is no map. */
function pick(map: unknown, names: readonly string[]): Json | undefined {
  if (!isMap(map)) return undefined
  const picked: Record<string, unknown> = {}
  for (const name of names) {
    const value = own(map, name)
    if (value !== undefined && value !== null) picked[name] = value
  }
  return picked
}

/** What `make` makes of the maps in a list; undefined if it is no list. */
function listOf(list: unknown, make: (item: Json) => Json | undefined): readonly Json[] | undefined {
  if (!Array.isArray(list)) return undefined
  const made = (list as readonly unknown[]).map((item) => (isMap(item) ? make(item) : undefined))
  return made.filter((each) => each !== undefined)
}

function defined(map: Json): Json {
  const kept: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(map)) if (value !== undefined && value !== null) kept[name] = value
  return kept
}

function withoutLastApplied(metadata: Json): Json {
  const annotations = own(metadata, 'annotations')
  return isMap(annotations) && Object.hasOwn(annotations, lastApplied) ? { ...metadata, annotations: without(annotations, [lastApplied]) } : metadata
}

function without(value: unknown, keys: readonly string[]): unknown {
  if (!isMap(value) || !keys.some((key) => Object.hasOwn(value, key))) return value
  // Entries, not assignments: a key called __proto__ must stay a key.
  return Object.fromEntries(Object.entries(value).filter(([key]) => !keys.includes(key)))
}

/** The name was checked when the object was read. */
function build(value: Json): KubeObject {
  return value as unknown as KubeObject
}
