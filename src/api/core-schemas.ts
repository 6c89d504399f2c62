import type { KindSchemas, Schema } from './schema.ts'

/** Anything: fields that exist in Kubernetes and that this mesh does not read. */
const any: Schema = { 'x-kubernetes-preserve-unknown-fields': true }

const text: Schema = { type: 'string' }
const flag: Schema = { type: 'boolean' }
const label: Schema = { type: 'string', maxLength: 63, pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$' }
const ip: Schema = { type: 'string', format: 'ip' }
const clusterIP: Schema = { type: 'string', format: 'cluster-ip' }
const port: Schema = { type: 'integer', minimum: 1, maximum: 65535 }
const protocol: Schema = { type: 'string', enum: ['TCP', 'UDP', 'SCTP'], default: 'TCP' }
const strings: Schema = { type: 'object', additionalProperties: text }

const list = (items: Schema, more: Schema = {}): Schema => ({ type: 'array', items, ...more })
const map = (properties: Readonly<Record<string, Schema>>, required: readonly string[] = []): Schema => ({
  type: 'object',
  properties,
  required,
})
const unread = (...names: readonly string[]): Record<string, Schema> => Object.fromEntries(names.map((name) => [name, any]))

const labelValue: Schema = { type: 'string', maxLength: 63, pattern: '^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$' }

/** Source: core/v1 ObjectMeta. Label values keep Kubernetes' syntax; names are checked by kind, see `names.ts`. */
export const metadataSchema: Schema = map(
  {
    name: text,
    namespace: text,
    labels: { type: 'object', additionalProperties: labelValue },
    annotations: strings,
    creationTimestamp: { type: 'string', format: 'date-time' },
    generation: { type: 'integer', minimum: 0 },
    resourceVersion: text,
    uid: text,
    ...unread('deletionGracePeriodSeconds', 'deletionTimestamp', 'finalizers', 'generateName', 'managedFields'),
    ...unread('ownerReferences', 'selfLink'),
  },
  ['name'],
)

/** An object with the fields that each has, and those of its kind; `metadata` is put in when it is checked. */
const kind = (properties: Readonly<Record<string, Schema>>, required: readonly string[] = []): { readonly v1: Schema } => ({
  v1: map({ apiVersion: text, kind: text, ...properties }, required),
})

const servicePort = map(
  {
    name: label,
    port,
    protocol,
    targetPort: { 'x-kubernetes-int-or-string': true },
    appProtocol: text,
    nodePort: { type: 'integer', minimum: 0, maximum: 65535 },
  },
  ['port'],
)

const serviceSpec = map({
  type: { type: 'string', enum: ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'], default: 'ClusterIP' },
  clusterIP,
  clusterIPs: list(clusterIP, { maxItems: 2, 'x-kubernetes-list-type': 'set' }),
  externalName: text,
  ports: list(servicePort, { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['port', 'protocol'] }),
  selector: strings,
  publishNotReadyAddresses: flag,
  ipFamilies: list({ type: 'string', enum: ['IPv4', 'IPv6'] }),
  ipFamilyPolicy: { type: 'string', enum: ['SingleStack', 'PreferDualStack', 'RequireDualStack'] },
  sessionAffinity: { type: 'string', enum: ['None', 'ClientIP'] },
  sessionAffinityConfig: map({ clientIP: map({ timeoutSeconds: { type: 'integer', minimum: 1, maximum: 86_400 } }) }),
  internalTrafficPolicy: { type: 'string', enum: ['Cluster', 'Local'] },
  ...unread('allocateLoadBalancerNodePorts', 'externalIPs', 'externalTrafficPolicy', 'healthCheckNodePort'),
  ...unread('loadBalancerClass', 'loadBalancerIP', 'loadBalancerSourceRanges', 'trafficDistribution'),
})

const endpoint = map(
  {
    addresses: list(text, { minItems: 1, maxItems: 100 }),
    // An endpoint that does not say whether it is ready is: discovery.k8s.io/v1 EndpointConditions.
    conditions: { ...map({ ready: { type: 'boolean', default: true }, serving: flag, terminating: flag }), default: {} },
    hostname: label,
    nodeName: text,
    zone: text,
    targetRef: map({ kind: text, namespace: text, name: text, uid: text, apiVersion: text, resourceVersion: text, fieldPath: text }),
    hints: map({ forZones: list(map({ name: text }, ['name'])), forNodes: list(map({ name: text }, ['name'])) }),
    ...unread('deprecatedTopology'),
  },
  ['addresses'],
)

const endpointPort = map({ name: { ...label, pattern: `^$|${label.pattern ?? ''}` }, port, protocol, appProtocol: text })

const containerPort: Schema = { ...map({ name: text, containerPort: port }, ['containerPort']), ...any }

const podSpec: Schema = {
  ...map({
    serviceAccountName: text,
    nodeName: text,
    hostNetwork: flag,
    containers: list({ ...map({ name: text, ports: list(containerPort) }, ['name']), ...any }),
  }),
  ...any,
}

const podStatus: Schema = { ...map({ phase: text, podIP: text, podIPs: list(map({ ip }, ['ip'])) }), ...any }

const secretData: Schema = { type: 'object', additionalProperties: { type: 'string', format: 'byte' } }

/**
 * The kinds of Kubernetes itself, which come without a CRD: the fields that the mesh reads are checked, the others are known
 * by name. Source: Kubernetes 1.36 API reference; loopback addresses are allowed, for a folder may describe one machine.
 */
export const coreSchemas: KindSchemas = {
  Namespace: kind({ spec: any, status: any }),
  Service: kind({ spec: serviceSpec, status: any }, ['spec']),
  EndpointSlice: kind(
    {
      addressType: { type: 'string', enum: ['IPv4', 'IPv6', 'FQDN'] },
      endpoints: list(endpoint, { maxItems: 1000 }),
      ports: list(endpointPort, { maxItems: 20_000, 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] }),
    },
    ['addressType'],
  ),
  Pod: kind({ spec: podSpec, status: podStatus }),
  Node: kind({ spec: any, status: { ...map({ addresses: list(map({ type: text, address: text }, ['type', 'address'])) }), ...any } }),
  ServiceAccount: kind(unread('secrets', 'imagePullSecrets', 'automountServiceAccountToken')),
  Secret: kind({ type: text, data: secretData, stringData: strings, immutable: any }),
  ConfigMap: kind({ data: strings, binaryData: secretData, immutable: any }),
}
