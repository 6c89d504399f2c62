import fc from 'fast-check'
import type { Resource } from '../../api/resources.ts'

const names = ['one', 'two'] as const
const ports = [80, 81] as const
const apiVersions = { gateway: 'gateway.networking.k8s.io/v1', core: 'v1', slices: 'discovery.k8s.io/v1' } as const

/** `usual`, or now and then `rare`. */
function often<T>(usual: T, rare: T): fc.Arbitrary<T> {
  return fc.oneof({ weight: 5, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constant(rare) })
}

/**
 * Any object that `translate` reads, good or bad, that lives in and refers to `namespaces` only.
 * Names are few, so that objects meet.
 */
export function arbitraryObject(namespaces: readonly [string, ...string[]]): fc.Arbitrary<Resource> {
  const namespace = fc.constantFrom(...namespaces)
  const name = fc.constantFrom(...names)
  const metadata = fc.record(
    {
      namespace,
      name,
      creationTimestamp: fc.constantFrom('2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'),
      generation: fc.integer({ min: 1, max: 3 }),
      labels: often<Record<string, string>>({}, { 'waymark.dev/waypoint': 'none', 'waymark.dev/mesh': 'disabled' }),
    },
    { requiredKeys: ['namespace', 'name'] },
  )

  const service = fc.record({
    apiVersion: fc.constant(apiVersions.core),
    kind: fc.constant('Service'),
    metadata,
    spec: fc.record(
      {
        type: often('ClusterIP', 'ExternalName'),
        clusterIP: fc.constantFrom('None', '10.96.0.1', '10.96.0.2', '10.96.0.3', 'FD00::1'),
        ports: fc.uniqueArray(
          fc.record(
            {
              port: fc.constantFrom(...ports),
              name: fc.constantFrom('http', 'tcp-x', 'web'),
              appProtocol: fc.constantFrom('tcp', 'grpc', 'constructor'),
              protocol: often('TCP', 'UDP'),
            },
            { requiredKeys: ['port'] },
          ),
          { minLength: 1, maxLength: 2, selector: ({ port }) => port },
        ),
      },
      { requiredKeys: ['ports'] },
    ),
  })

  const parent = fc.oneof(
    { weight: 4, arbitrary: fc.record(
      {
        group: fc.constantFrom('', 'core'),
        kind: fc.constant('Service'),
        namespace,
        name,
        port: often(undefined, 80),
        sectionName: often(undefined, 'http'),
      },
      { requiredKeys: ['group', 'kind', 'name', 'port', 'sectionName'] },
    ) },
    {
      weight: 1,
      arbitrary: fc.record(
        { kind: fc.constantFrom('Gateway', 'Service', 'Other'), namespace, name: fc.constantFrom(...names, 'waypoint') },
        { requiredKeys: ['name'] },
      ),
    },
  )
  const backendRef = fc.record(
    {
      kind: fc.constantFrom('Service', 'ConfigMap'),
      namespace,
      name,
      port: fc.constantFrom(...ports),
      weight: fc.integer({ min: 0, max: 3 }),
    },
    { requiredKeys: ['name'] },
  )
  const filter = fc.oneof(
    fc.record({ type: fc.constant('RequestHeaderModifier'), requestHeaderModifier: fc.constant({ set: [{ name: 'A', value: 'b' }] }) }),
    fc.record({ type: fc.constant('RequestRedirect'), requestRedirect: often({ port: 81 }, { statusCode: 200 }) }),
    fc.record({ type: fc.constant('RequestMirror'), requestMirror: fc.record({ backendRef }) }),
    fc.record({ type: fc.constant('ExtensionRef'), extensionRef: fc.constant({ group: 'example.org', kind: 'Guard', name: 'door' }) }),
  )
  const pattern = often('[a-z]+', '(')
  const path = fc.record({ type: fc.constantFrom('Exact', 'PathPrefix', 'RegularExpression'), value: pattern })
  const method = fc.record({ type: fc.constantFrom('Exact', 'RegularExpression'), service: pattern })
  const httpRule = fc.record(
    {
      matches: fc.array(fc.record({ path }), { maxLength: 2 }),
      filters: fc.array(filter, { maxLength: 2 }),
      backendRefs: fc.array(backendRef, { maxLength: 2 }),
      timeouts: fc.record({ request: often('1s', 'soon') }),
      retry: fc.constantFrom({}, { attempts: 2, backoff: '1ms' }),
    },
    { requiredKeys: [] },
  )
  const grpcRule = fc.record({
    matches: fc.array(fc.record({ method }), { maxLength: 2 }),
    backendRefs: fc.array(backendRef, { maxLength: 2 }),
  })
  const l4Rule = fc.record({ backendRefs: fc.array(backendRef, { maxLength: 2 }) })
  const route = (kind: string, rule: fc.Arbitrary<object>): fc.Arbitrary<object> =>
    fc.record({
      apiVersion: fc.constant(apiVersions.gateway),
      kind: fc.constant(kind),
      metadata,
      spec: fc.record({ parentRefs: fc.array(parent, { minLength: 1, maxLength: 3 }), rules: fc.array(rule, { maxLength: 3 }) }),
    })

  const gateway = fc.record({
    apiVersion: fc.constant(apiVersions.gateway),
    kind: fc.constant('Gateway'),
    metadata,
    spec: fc.record({
      gatewayClassName: often('waypoint', 'other'),
      listeners: fc.constantFrom(
        [{ name: 'mesh', port: 15008, protocol: 'HBONE' }],
        [{ name: 'mesh', port: 15008, protocol: 'HBONE', allowedRoutes: { namespaces: { from: 'All' } } }],
        [{ name: 'mesh', port: 15008, protocol: 'HBONE', allowedRoutes: { namespaces: { from: 'Selector', selector: { matchLabels: { team: 'red' } } } } }],
        [{ name: 'web', port: 80, protocol: 'HTTP' }],
      ),
    }),
  })
  const namespaceObject = fc.record({
    apiVersion: fc.constant(apiVersions.core),
    kind: fc.constant('Namespace'),
    metadata: fc.record({
      name: namespace,
      labels: fc.constantFrom<Record<string, string>>(
        {},
        { 'waymark.dev/mesh': 'enabled', 'waymark.dev/waypoint': 'auto' },
        { 'waymark.dev/waypoint': 'auto' },
        { 'team': 'red', 'waymark.dev/waypoint': 'auto' },
        { team: 'red' },
      ),
    }),
  })
  const pod = fc.record({
    apiVersion: fc.constant(apiVersions.core),
    kind: fc.constant('Pod'),
    metadata,
    spec: fc.record({ serviceAccountName: name, hostNetwork: fc.boolean() }, { requiredKeys: [] }),
    status: fc.record({ phase: fc.constantFrom('Running', 'Failed'), podIP: fc.constantFrom('10.1.0.1', '10.1.0.2') }),
  })
  const slice = fc
    .record({
      namespace,
      service: name,
      name,
      address: fc.constantFrom('10.1.0.1', '10.1.0.2'),
      port: fc.constantFrom('http', 'web', ''),
      terminating: fc.boolean(),
      pod: name,
    })
    .map((drawn) => ({
      apiVersion: apiVersions.slices,
      kind: 'EndpointSlice',
      metadata: { namespace: drawn.namespace, name: drawn.name, labels: { 'kubernetes.io/service-name': drawn.service } },
      addressType: 'IPv4',
      ports: [{ name: drawn.port, port: 8080 }],
      endpoints: [
        { addresses: [drawn.address], conditions: { terminating: drawn.terminating }, targetRef: { kind: 'Pod', name: drawn.pod } },
      ],
    }))
  const grant = fc.record({ namespace, from: namespace, kind: fc.constantFrom('HTTPRoute', 'GRPCRoute') }).map((drawn) => ({
    apiVersion: apiVersions.gateway,
    kind: 'ReferenceGrant',
    metadata: { namespace: drawn.namespace, name: 'grant' },
    spec: { from: [{ group: 'gateway.networking.k8s.io', kind: drawn.kind, namespace: drawn.from }], to: [{ group: '', kind: 'Service' }] },
  }))

  const target = fc.oneof(
    fc.record({ group: fc.constant(''), kind: fc.constant('Service'), name }),
    fc.record({ group: fc.constant('gateway.networking.k8s.io'), kind: fc.constantFrom('Gateway', 'HTTPRoute', 'GRPCRoute'), name: fc.constantFrom(...names, 'waypoint') }),
  )
  const aimed = fc.oneof(
    fc.constant({}),
    fc.record({ targetRefs: fc.array(target, { minLength: 1, maxLength: 2 }) }),
    fc.constant({ selector: { matchLabels: { 'waymark.dev/mesh': 'disabled' } } }),
    fc.constant({ selector: { matchExpressions: [{ key: 'app', operator: 'DoesNotExist' }] } }),
  )
  const authorization = fc.record({
    action: fc.constantFrom('Allow', 'Deny', 'Audit'),
    rules: fc.array(fc.record({
      from: fc.array(fc.record({ namespaces: fc.array(namespace, { minLength: 1, maxLength: 2 }) }), { minLength: 1, maxLength: 1 }),
      to: fc.array(fc.constantFrom<object>({ ports: [80] }, { methods: ['GET'] }, { paths: [{ type: 'RegularExpression', value: '(' }] }), { minLength: 1, maxLength: 2 }),
    }, { requiredKeys: [] }), { maxLength: 2 }),
  }, { requiredKeys: ['action'] })
  const authorizationPolicy = fc.record({ metadata, aimed, spec: authorization }).map((drawn) => ({
    apiVersion: 'policy.waymark.dev/v1alpha1', kind: 'AuthorizationPolicy', metadata: drawn.metadata, spec: { ...drawn.aimed, ...drawn.spec },
  }))
  const mtlsPolicy = fc.record({ metadata, aimed, mode: fc.constantFrom('Strict', 'Permissive') }).map((drawn) => ({
    apiVersion: 'policy.waymark.dev/v1alpha1', kind: 'MTLSPolicy', metadata: drawn.metadata, spec: { mode: drawn.mode, ...('selector' in drawn.aimed ? drawn.aimed : {}) },
  }))

  // Drawn objects have the right shape by construction; some break rules that only the API server's validation knows.
  return fc.oneof(
    { weight: 3, arbitrary: service },
    { weight: 4, arbitrary: route('HTTPRoute', httpRule) },
    { weight: 2, arbitrary: route('GRPCRoute', grpcRule) },
    { weight: 1, arbitrary: route('TLSRoute', l4Rule) },
    { weight: 1, arbitrary: route('TCPRoute', l4Rule) },
    { weight: 2, arbitrary: gateway },
    { weight: 2, arbitrary: namespaceObject },
    { weight: 1, arbitrary: pod },
    { weight: 1, arbitrary: slice },
    { weight: 1, arbitrary: grant },
    { weight: 2, arbitrary: authorizationPolicy },
    { weight: 1, arbitrary: mtlsPolicy },
  ).map((drawn) => structuredClone(drawn)) as unknown as fc.Arbitrary<Resource>
}
