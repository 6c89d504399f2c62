import type { ResourceKind } from '../api/resources.ts'
import { fields, list, type Shape } from './shape.ts'

const labels: Shape = { map: 'text' }

/** Source: Kubernetes ObjectMeta, what this mesh reads. */
export const metadataShape: Shape = fields(
  { name: 'text', namespace: 'text', uid: 'text', generation: 'count', creationTimestamp: 'text', deletionTimestamp: 'text', labels },
  'name',
)

const parentRef = fields({ group: 'text', kind: 'text', namespace: 'text', name: 'text', sectionName: 'text', port: 'port' }, 'name')
/** What of a route says whom its status speaks to. */
export const parentRefsShape: Shape = list(parentRef)

const backendFields = { group: 'text', kind: 'text', namespace: 'text', name: 'text', port: 'port' } as const
const weighted = { ...backendFields, weight: 'count' } as const
const pairs = list(fields({ name: 'text', value: 'text' }, 'name', 'value'))
const headers = fields({ set: pairs, add: pairs, remove: list('text') })
const path = fields({ type: 'text', replaceFullPath: 'text', replacePrefixMatch: 'text' }, 'type')
const filters = list(
  fields(
    {
      type: 'text',
      requestHeaderModifier: headers,
      responseHeaderModifier: headers,
      requestMirror: fields(
        { backendRef: fields(backendFields, 'name'), percent: 'count', fraction: fields({ numerator: 'count', denominator: 'count' }, 'numerator') },
        'backendRef',
      ),
      requestRedirect: fields({ scheme: 'text', hostname: 'text', path, port: 'port', statusCode: 'count' }),
      urlRewrite: fields({ hostname: 'text', path }),
      cors: fields({
        allowOrigins: list('text'), allowCredentials: 'flag', allowMethods: list('text'), allowHeaders: list('text'), exposeHeaders: list('text'), maxAge: 'count',
      }),
      extensionRef: fields({ group: 'text', kind: 'text', name: 'text' }),
    },
    'type',
  ),
)
const filteredBackends = list(fields({ ...weighted, filters }, 'name'))
const values = list(fields({ type: 'text', name: 'text', value: 'text' }, 'name', 'value'))
const sessionPersistence = fields({
  sessionName: 'text', absoluteTimeout: 'text', idleTimeout: 'text', type: 'text', cookieConfig: fields({ lifetimeType: 'text' }),
})
const httpRule = fields({
  matches: list(fields({ path: fields({ type: 'text', value: 'text' }), method: 'text', headers: values, queryParams: values })),
  filters,
  backendRefs: filteredBackends,
  timeouts: fields({ request: 'text', backendRequest: 'text' }),
  retry: fields({ codes: list('count'), attempts: 'count', backoff: 'text' }),
  sessionPersistence,
})
const grpcRule = fields({
  matches: list(fields({ method: fields({ type: 'text', service: 'text', method: 'text' }), headers: values })),
  filters,
  backendRefs: filteredBackends,
  sessionPersistence,
})
const l4Rules = list(fields({ backendRefs: list(fields(weighted, 'name')) }))

/** Source: metav1.LabelSelector. */
export const selectorShape: Shape = fields({ matchLabels: labels, matchExpressions: list(fields({ key: 'text', operator: 'text', values: list('text') }, 'key', 'operator')) })
const listener = fields(
  {
    name: 'text',
    port: 'port',
    protocol: 'text',
    allowedRoutes: fields({ namespaces: fields({ from: 'text', selector: selectorShape }), kinds: list(fields({ group: 'text', kind: 'text' }, 'kind')) }),
  },
  'name', 'port', 'protocol',
)

/** Source: GEP-1867. */
export const infrastructureShape: Shape = fields({ labels, annotations: labels, parametersRef: fields({ group: 'text', kind: 'text', name: 'text' }, 'group', 'kind', 'name') })

/** What of a policy says what it is about. */
export const targetRefsShape: Shape = list(fields({ group: 'text', kind: 'text', name: 'text' }, 'group', 'kind', 'name'))

const texts = list('text')
const source = fields({
  namespaces: texts, notNamespaces: texts, serviceAccounts: texts, notServiceAccounts: texts, spiffeIds: texts, notSpiffeIds: texts, cidrs: texts, notCidrs: texts,
})
const paths = list(fields({ type: 'text', value: 'text' }, 'value'))
const calls = list(fields({ service: 'text', method: 'text' }))
const operation = fields({
  ports: list('port'), notPorts: list('port'), methods: texts, notMethods: texts, paths, notPaths: paths, hosts: texts, notHosts: texts,
  headers: values, notHeaders: values, grpc: calls, notGrpc: calls,
})
const authorizationRules = list(fields({ from: list(source), to: list(operation) }))

const grantFrom = fields({ group: 'text', kind: 'text', namespace: 'text' }, 'group', 'kind', 'namespace')
const servicePort = fields({ name: 'text', port: 'port', protocol: 'text', targetPort: 'port or name', appProtocol: 'text' }, 'port')
const condition = fields({ ready: 'flag', serving: 'flag', terminating: 'flag' })
const endpoint = fields(
  { addresses: list('text'), conditions: condition, nodeName: 'text', zone: 'text', targetRef: fields({ kind: 'text', namespace: 'text', name: 'text' }) },
  'addresses',
)

interface KindShape {
  /** What of the object, besides its metadata, is read. */
  readonly shape: Readonly<Record<string, Shape>>
  readonly required: readonly string[]
}

const kind = (shape: Readonly<Record<string, Shape>>, ...required: readonly string[]): KindShape => ({ shape, required })
const route = (rules: Shape): KindShape =>
  kind({ spec: fields({ parentRefs: parentRefsShape, hostnames: list('text'), rules }) }, 'spec')

/** The fields that translation reads, of every kind that it reads. */
export const kindShapes: { readonly [K in ResourceKind]?: KindShape } = {
  GatewayClass: kind({ spec: fields({ controllerName: 'text' }, 'controllerName') }, 'spec'),
  Gateway: kind({ spec: fields({ gatewayClassName: 'text', listeners: list(listener) }, 'gatewayClassName') }, 'spec'),
  HTTPRoute: route(list(httpRule)),
  GRPCRoute: route(list(grpcRule)),
  TLSRoute: route(l4Rules),
  TCPRoute: route(l4Rules),
  ReferenceGrant: kind({ spec: fields({ from: list(grantFrom), to: list(fields({ group: 'text', kind: 'text', name: 'text' }, 'group', 'kind')) }, 'from', 'to') }, 'spec'),
  AuthorizationPolicy: kind({ spec: fields({ targetRefs: targetRefsShape, selector: selectorShape, action: 'text', rules: authorizationRules }) }, 'spec'),
  MTLSPolicy: kind({ spec: fields({ selector: selectorShape, mode: 'text' }, 'mode') }, 'spec'),
  Namespace: kind({}),
  Service: kind({
    spec: fields({ type: 'text', clusterIP: 'text', clusterIPs: list('text'), ports: list(servicePort), publishNotReadyAddresses: 'flag' }),
  }),
  EndpointSlice: kind(
    { addressType: 'text', endpoints: list(endpoint), ports: list(fields({ name: 'text', port: 'port', protocol: 'text' })) },
    'addressType',
  ),
  Pod: kind({
    spec: fields({ serviceAccountName: 'text', nodeName: 'text', hostNetwork: 'flag' }),
    status: fields({ phase: 'text', podIP: 'text', podIPs: list(fields({ ip: 'text' })) }),
  }),
  ConfigMap: kind({ data: { map: 'text' } }),
}

/** What of the status of these kinds is read; one of another shape counts as absent, for it is ours to write. */
export const statusShapes: { readonly [K in ResourceKind]?: Shape } = {
  Gateway: fields({ addresses: list(fields({ type: 'text', value: 'text' }, 'value')) }),
  HTTPRoute: fields({ parents: list(fields({ controllerName: 'text' }, 'controllerName')) }),
  GRPCRoute: fields({ parents: list(fields({ controllerName: 'text' }, 'controllerName')) }),
  TLSRoute: fields({ parents: list(fields({ controllerName: 'text' }, 'controllerName')) }),
  TCPRoute: fields({ parents: list(fields({ controllerName: 'text' }, 'controllerName')) }),
}
