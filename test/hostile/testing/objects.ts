import type { KubeObject } from '../../../src/kube/object.ts'

/** A namespace whose objects are meant to do harm. */
export const hostileNamespace = 'hostile'

const gatewayVersion = 'gateway.networking.k8s.io/v1'

/** An object that was made to do harm, and what its own status must say of it. */
export interface Hostile {
  readonly name: string
  readonly objects: readonly KubeObject[]
  /** The condition of the first object's first parent that must come, `Type=Status`; undefined: it need not have a status. */
  readonly condition?: string
  /** What its message must hold. */
  readonly says?: RegExp
}

const route = (name: string, spec: object, metadata: object = {}): KubeObject => ({
  apiVersion: gatewayVersion, kind: 'HTTPRoute', metadata: { name, namespace: hostileNamespace, ...metadata }, spec,
})
const web = { group: '', kind: 'Service', name: 'web', port: 80 }
const backendRefs = [{ name: 'web', port: 80 }]
const path = (type: string, value: string): object => ({ path: { type, value } })
/** From JSON, as it comes over the network: there `__proto__` is a field like any other. */
const parsed = (text: string): KubeObject => JSON.parse(text) as KubeObject

function nested(depth: number): unknown {
  let value: unknown = 'deep'
  for (let level = 0; level < depth; level++) value = level % 2 === 0 ? [value] : { x: value }
  return value
}

/** Everything that we could think of. The larger ones are near the limits of the CRDs and of the API server. */
export const hostileObjects: readonly Hostile[] = [
  {
    name: 'many matches',
    objects: [route('many-matches', {
      parentRefs: [web],
      rules: Array.from({ length: 16 }, (_, rule) => ({
        backendRefs,
        matches: Array.from({ length: 64 }, (_, match) => ({
          ...path('PathPrefix', `/${'p'.repeat(400)}/${rule}/${match}`),
          headers: Array.from({ length: 8 }, (_, header) => ({ type: 'Exact', name: `x-header-${header}`, value: 'v'.repeat(20) })),
        })),
      })),
    })],
    condition: 'Accepted=True',
  },
  {
    name: 'catastrophic patterns',
    objects: [route('catastrophic', {
      parentRefs: [web],
      rules: ['(a+)+$', '([a-zA-Z]+)*$', '(a|aa)+$', '(.*a){20}', '(?:(?:a{1,30}){1,30})'].map((value) => ({
        backendRefs,
        matches: Array.from({ length: 64 }, (_, at) => path('RegularExpression', `/${at}/${value}`)),
      })),
    })],
    condition: 'Accepted=True',
  },
  {
    name: 'patterns that expand beyond every measure',
    objects: [route('expanding', { parentRefs: [web], rules: [{ backendRefs, matches: [path('RegularExpression', '/((((a{100}){100}){100}){100}){100}')] }] })],
    condition: 'Accepted=False',
    says: /regular expression/,
  },
  {
    name: 'a pattern with a look-behind',
    objects: [route('look-behind', { parentRefs: [web], rules: [{ backendRefs, matches: [path('RegularExpression', '/(?<=a)b(?!c)\\1')] }] })],
    condition: 'Accepted=False',
    says: /regular expression/,
  },
  {
    name: 'inherited names',
    objects: [parsed(JSON.stringify(route('inherited', {
      parentRefs: [web],
      rules: [{
        matches: [{ headers: [{ type: 'Exact', name: '__proto__', value: 'x' }, { type: 'Exact', name: 'constructor', value: 'x' }] }],
        backendRefs: [{ name: 'constructor', port: 80 }, { name: '__proto__', port: 80 }],
        PROTO: { polluted: true },
      }],
      PROTO: { polluted: true, parentRefs: [] },
    }, { labels: { PROTO: 'x', constructor: 'y' }, annotations: { PROTO: 'x', toString: 'y' } })).replaceAll('PROTO', '__proto__'))],
    condition: 'ResolvedRefs=False',
    says: /Service hostile\/constructor does not exist/,
  },
  {
    name: 'a parent with an inherited name',
    objects: [route('proto-parent', { parentRefs: [{ group: '', kind: 'Service', name: '__proto__', port: 80 }], rules: [{ backendRefs }] })],
    condition: 'Accepted=False',
    says: /Service hostile\/__proto__ does not exist/,
  },
  {
    name: 'a megabyte of annotations',
    objects: [route('annotated', { parentRefs: [web], rules: [{ backendRefs }] }, { annotations: { 'example.dev/notes': 'n'.repeat(1_000_000) } })],
    condition: 'Accepted=True',
  },
  {
    name: 'thousands of parents',
    objects: Array.from({ length: 100 }, (_, index) =>
      route(`parents-${index}`, {
        parentRefs: Array.from({ length: 32 }, (_, at) => ({ group: '', kind: 'Service', name: `no-${index}-${at}`, port: 80 })),
        rules: Array.from({ length: 16 }, () => ({ backendRefs: Array.from({ length: 16 }, (_, at) => ({ name: `missing-${at}`, port: 80 })) })),
      })),
    condition: 'Accepted=False',
    says: /does not exist/,
  },
  {
    name: 'thousands of attachments through a Gateway',
    objects: Array.from({ length: 100 }, (_, index) =>
      route(`gateway-${index}`, { parentRefs: [{ name: 'waypoint' }, { name: 'waypoint', sectionName: 'mesh' }], rules: [{ backendRefs }] })),
    condition: 'Accepted=True',
  },
  {
    name: 'two thousand levels',
    objects: [route('deep', { parentRefs: [web], rules: [{ backendRefs, matches: [{ ...path('PathPrefix', '/deep'), extra: nested(2_000) }] }], extra: nested(2_000) })],
    condition: 'Accepted=True',
  },
  {
    name: 'wrong shapes, as without a schema',
    objects: [
      route('no-list', { parentRefs: [web], rules: 'all of them' }),
      route('no-parents', { parentRefs: { group: '', kind: 'Service', name: 'web' }, rules: [{ backendRefs }] }),
      route('nulls', { parentRefs: [null], rules: [null] }),
      route('null-parts', { parentRefs: [web], rules: [{ matches: [null], filters: [null], backendRefs: [null], timeouts: { request: 7 } }] }),
      route('numbers', { parentRefs: [web], rules: [{ matches: [{ path: { type: 'RegularExpression', value: 12 } }], backendRefs: [{ name: {}, port: 'x' }] }] }),
      { apiVersion: gatewayVersion, kind: 'HTTPRoute', metadata: { name: 'no-spec', namespace: hostileNamespace } },
      { apiVersion: gatewayVersion, kind: 'Gateway', metadata: { name: 'no-listeners', namespace: hostileNamespace }, spec: { gatewayClassName: 'waypoint', listeners: 'mesh' } },
      { apiVersion: gatewayVersion, kind: 'ReferenceGrant', metadata: { name: 'no-lists', namespace: hostileNamespace }, spec: { from: null, to: 7 } },
      { apiVersion: 'v1', kind: 'Service', metadata: { name: 'ports', namespace: hostileNamespace }, spec: { ports: { port: 80 } } },
      { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name: 'odd', namespace: hostileNamespace, labels: { 'kubernetes.io/service-name': 'web' } }, endpoints: [{}, { addresses: 'x' }], ports: [7] },
      { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'odd', namespace: hostileNamespace, labels: 'none' }, spec: 'x', status: { podIPs: 'y' } } as unknown as KubeObject,
    ],
  },
]

/** A namespace with a waypoint, a Service with an endpoint, and a route that is edited. */
export function plainNamespace(name: string): readonly KubeObject[] {
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: { 'kubernetes.io/metadata.name': name, 'waymark.dev/mesh': 'enabled' } } },
    {
      apiVersion: gatewayVersion, kind: 'Gateway', metadata: { name: 'waypoint', namespace: name },
      spec: { gatewayClassName: 'waypoint', listeners: [{ name: 'mesh', port: 15008, protocol: 'HBONE' }] },
    },
    { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web', namespace: name }, spec: { ports: [{ name: 'http', port: 80, appProtocol: 'http' }] } },
    {
      apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', addressType: 'IPv4', ports: [{ name: 'http', port: 8080 }],
      metadata: { name: 'web-1', namespace: name, labels: { 'kubernetes.io/service-name': 'web' } }, endpoints: [{ addresses: ['10.0.0.1'] }],
    },
    editedRoute(name, 0),
  ]
}

/** The route of a plain namespace in its edition of that number. */
export function editedRoute(namespace: string, edition: number): KubeObject {
  return {
    apiVersion: gatewayVersion, kind: 'HTTPRoute', metadata: { name: 'edited', namespace },
    spec: { parentRefs: [web], rules: [{ matches: [path('Exact', `/edition-${edition}`)], backendRefs }] },
  }
}
